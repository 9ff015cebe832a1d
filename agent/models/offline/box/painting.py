"""Colours of materials and faces."""
# mypy: ignore-errors
# ruff: noqa: B905, F821, UP


def recolor(name, color, roughness=None):
    """Another colour (linear) for a material: of all of it, or of what multiplies its gradient."""
    made = bpy.data.materials[name]
    shader, tint = made.node_tree.nodes["Principled BSDF"], made.node_tree.nodes.get("Tint")
    if tint is None:
        shader.inputs["Base Color"].default_value = (color[0], color[1], color[2], 1.0)
    else:
        tint.inputs[1].default_value = color
    made.diffuse_color = (color[0], color[1], color[2], 1.0)
    if roughness is not None:
        shader.inputs["Roughness"].default_value = roughness


def tint(name, factor):
    """Multiply the colours of all materials of an object (red, green and blue, linear)."""
    for surface in bpy.data.objects[name].data.materials:
        nodes = surface.node_tree.nodes
        now = nodes["Tint"].inputs[1] if "Tint" in nodes else nodes["Principled BSDF"].inputs["Base Color"]
        recolor(surface.name, [now.default_value[c] * factor[c] for c in range(3)])


def shades(name, colors, lens, corner, step, rows):
    """Several colours for one object: each face takes the one whose digit stands in `rows` where the camera sees it.

    `lens` as in `relief`; `corner` and `step` place the rows on the picture. The first colour is for the object's own
    material.
    """
    thing = bpy.data.objects[name]
    recolor(thing.data.materials[0].name, colors[0])
    for number, color in enumerate(colors[1:], start=2):
        made = thing.data.materials[0].copy()
        made.name = f"{name}_shade_{number}"
        thing.data.materials.append(made)
        recolor(made.name, color)
    turn, chosen = thing.matrix_world, []
    for face in thing.data.polygons:
        x, y = pixel(lens, turn @ face.center)
        line = rows[min(max(int((y - corner[1]) / step), 0), len(rows) - 1)]
        chosen.append(int(line[min(max(int((x - corner[0]) / step), 0), len(line) - 1)]))
    thing.data.polygons.foreach_set("material_index", chosen)


def gradient(name, lens, box, terms, low, high):
    """Blends an object's colour over the picture: for red, green and blue the square of a polynomial, within bounds.

    `terms` are (i, j, (red, green, blue)) for u^i v^j, with u and v from -1 to 1 across and down the `box` (left, top,
    right, bottom in pixels). The colours stay with the vertices; the material multiplies them by its tint.
    """
    thing = bpy.data.objects[name]
    mesh, colors = thing.data, []
    for vertex in mesh.vertices:
        x, y = pixel(lens, thing.matrix_world @ vertex.co)
        u, v = (2 * (x - box[0]) / (box[2] - box[0]) - 1, 2 * (y - box[1]) / (box[3] - box[1]) - 1)
        u, v = max(-1.0, min(1.0, u)), max(-1.0, min(1.0, v))
        sums = [sum(factor[c] * u**i * v**j for i, j, factor in terms) for c in range(3)]
        colors.append([max(low[c], min(high[c], sums[c])) ** 2 for c in range(3)] + [1.0])
    if hasattr(mesh, "color_attributes"):
        layer = mesh.color_attributes.get("Gradient") or mesh.color_attributes.new("Gradient", "FLOAT_COLOR", "POINT")
        layer.data.foreach_set("color", [value for color in colors for value in color])
    else:
        layer = mesh.vertex_colors.get("Gradient") or mesh.vertex_colors.new(name="Gradient")
        for loop, spot in zip(mesh.loops, layer.data):
            spot.color = [value ** (1 / 2.2) for value in colors[loop.vertex_index]]
    for surface in mesh.materials:
        nodes, links = surface.node_tree.nodes, surface.node_tree.links
        if "Tint" not in nodes:
            source, tint = nodes.new("ShaderNodeVertexColor"), nodes.new("ShaderNodeVectorMath")
            source.name, source.layer_name = "Gradient", "Gradient"
            tint.name, tint.operation = "Tint", "MULTIPLY"
            links.new(source.outputs["Color"], tint.inputs[0])
            links.new(tint.outputs[0], nodes["Principled BSDF"].inputs["Base Color"])
        recolor(surface.name, (1.0, 1.0, 1.0))


def pixel(lens, point):
    """Where the camera of `relief` sees a point."""
    x0, y0, z0, focal, middle_x, middle_y, sine, cosine = lens
    x, y, z = point[0] - x0, point[1] - y0, point[2] - z0
    depth = max(y * cosine - z * sine, 1e-6)
    return middle_x + focal * x / depth, middle_y - focal * (y * sine + z * cosine) / depth
