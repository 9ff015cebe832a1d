"""Colours of materials and faces."""
# mypy: ignore-errors
# ruff: noqa: F821, UP


def recolor(name, color, roughness=None):
    """Another colour (linear) for a material of one colour; `roughness` too where it is given."""
    shader = bpy.data.materials[name].node_tree.nodes["Principled BSDF"]
    for link in list(shader.inputs["Base Color"].links):
        bpy.data.materials[name].node_tree.links.remove(link)
    shader.inputs["Base Color"].default_value = (color[0], color[1], color[2], 1.0)
    bpy.data.materials[name].diffuse_color = (color[0], color[1], color[2], 1.0)
    if roughness is not None:
        shader.inputs["Roughness"].default_value = roughness


def shades(name, colors, lens, corner, step, rows):
    """Several colours for one object: each face takes the one whose digit stands in `rows` where the camera sees it.

    `lens` as in `relief`; `corner` and `step` place the rows on the picture. The first colour is the object's own material.
    """
    thing = bpy.data.objects[name]
    recolor(thing.data.materials[0].name, colors[0])
    for number, color in enumerate(colors[1:], start=2):
        made = thing.data.materials[0].copy()
        made.name = "{}_shade_{}".format(name, number)
        thing.data.materials.append(made)
        recolor(made.name, color)
    x0, y0, z0, focal, middle_x, middle_y, sine, cosine = lens
    turn, chosen = thing.matrix_world, []
    for face in thing.data.polygons:
        x, y, z = turn @ face.center
        x, y, z = x - x0, y - y0, z - z0
        depth = max(y * cosine - z * sine, 1e-6)
        column = (middle_x + focal * x / depth - corner[0]) / step
        row = (middle_y - focal * (y * sine + z * cosine) / depth - corner[1]) / step
        line = rows[min(max(int(row), 0), len(rows) - 1)]
        chosen.append(min(int(line[min(max(int(column), 0), len(line) - 1)]), len(colors) - 1))
    thing.data.polygons.foreach_set("material_index", chosen)


def gradient(name, colors):
    """A colour for each vertex of an object (linear, the vertices in turn), blended between them."""
    mesh = bpy.data.objects[name].data
    if hasattr(mesh, "color_attributes"):
        layer = mesh.color_attributes.get("Gradient") or mesh.color_attributes.new("Gradient", "FLOAT_COLOR", "POINT")
        layer.data.foreach_set("color", [value for color in colors for value in (color[0], color[1], color[2], 1.0)])
    else:
        layer = mesh.vertex_colors.get("Gradient") or mesh.vertex_colors.new(name="Gradient")
        for loop, spot in zip(mesh.loops, layer.data):
            spot.color = [min(1.0, value) ** (1 / 2.2) for value in colors[loop.vertex_index]] + [1.0]
    tree = mesh.materials[0].node_tree
    node = tree.nodes.get("Gradient") or tree.nodes.new("ShaderNodeVertexColor")
    node.name, node.layer_name = "Gradient", "Gradient"
    tree.links.new(node.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
