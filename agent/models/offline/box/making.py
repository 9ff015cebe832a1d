"""From lists of vertices and faces to Blender's objects and materials."""
# mypy: ignore-errors
# ruff: noqa: B905, F821, UP


def material(name, color, roughness=0.6, metallic=0.0):
    """A principled material of one colour (linear), with little gloss."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.diffuse_color = (color[0], color[1], color[2], 1.0)
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (color[0], color[1], color[2], 1.0)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    for gloss in ("Specular IOR Level", "Specular"):
        if gloss in shader.inputs:
            shader.inputs[gloss].default_value = 0.1
    return made


def add(name, solid, location, surface, parent=None, turn=0.0, smooth=True):
    """A new object; `location` is in the world, `turn` an angle about the y axis."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(solid[0], [], solid[1])
    mesh.polygons.foreach_set("use_smooth", [smooth] * len(mesh.polygons))
    mesh.materials.append(surface)
    made = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(made)
    place(made, location, parent)
    made.rotation_euler = (0.0, turn, 0.0)
    return made


def group(name, location):
    """An empty that its parts are parented to."""
    made = bpy.data.objects.new(name, None)
    made.empty_display_size = 0.2
    made.location = location
    bpy.context.scene.collection.objects.link(made)
    return made


def place(thing, location, parent=None):
    """At a place of the world, also below a parent that is neither turned nor scaled."""
    if parent is not None:
        thing.parent = parent
        location = [a - b for a, b in zip(location, parent.location)]
    thing.location = location


def reshape(name, location, solid, smooth_faces):
    """Another mesh for an object, in the world's coordinates around `location`, unturned; its material slots stay."""
    thing = bpy.data.objects[name]
    thing.rotation_euler, thing.scale = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    place(thing, location, thing.parent)
    thing.data.clear_geometry()
    thing.data.from_pydata([[p - q for p, q in zip(vertex, location)] for vertex in solid[0]], [], solid[1])
    faces = thing.data.polygons
    faces.foreach_set("use_smooth", [number < smooth_faces for number in range(len(faces))])
    thing.data.update()


def sun_light(energy, turn, angle):
    """A sun named Sun; `angle` is how wide it is seen, which softens its shadows."""
    data = bpy.data.lights.new("Sun", "SUN")
    data.energy, data.angle = energy, angle
    made = bpy.data.objects.new("Sun", data)
    made.rotation_euler, made.location = turn, (0.0, 0.0, 8.0)
    bpy.context.scene.collection.objects.link(made)


def sky(strength, seen=None):
    """A world that shines evenly and white; `seen` is the colour that the camera sees instead (linear)."""
    world = bpy.data.worlds.get("World") or bpy.data.worlds.new("World")
    bpy.context.scene.world = world
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    output, shine = nodes.new("ShaderNodeOutputWorld"), nodes.new("ShaderNodeBackground")
    shine.name = "Sky"
    shine.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    shine.inputs["Strength"].default_value = strength
    links.new(shine.outputs[0], output.inputs["Surface"])
    if seen is not None:
        backdrop, ray, mix = (nodes.new("ShaderNode" + kind) for kind in ("Background", "LightPath", "MixShader"))
        backdrop.name = "Backdrop"
        backdrop.inputs["Color"].default_value = (seen[0], seen[1], seen[2], 1.0)
        links.new(ray.outputs["Is Camera Ray"], mix.inputs[0])
        links.new(shine.outputs[0], mix.inputs[1])
        links.new(backdrop.outputs[0], mix.inputs[2])
        links.new(mix.outputs[0], output.inputs["Surface"])


def camera(location, turn, lens):
    """The scene's camera."""
    data = bpy.data.cameras.new("Camera")
    data.lens, data.sensor_width, data.clip_end = lens, 36.0, 1000.0
    made = bpy.data.objects.new("Camera", data)
    made.location, made.rotation_euler = location, turn
    bpy.context.scene.collection.objects.link(made)
    bpy.context.scene.camera = made
