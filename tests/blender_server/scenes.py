"""Scenes for the server's tests, as the code that builds them."""

SMALL = """
import math

def material(name, color):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*color, 1)
    return made

def box(name, location, parent=None, size=1.0):
    bpy.ops.mesh.primitive_cube_add(size=size, location=location)
    made = bpy.context.object
    made.name = made.data.name = name
    made.parent = parent
    return made

scene = bpy.context.scene
red, blue = material("Red", (0.8, 0.05, 0.05)), material("Blue", (0.05, 0.1, 0.8))
table = box("Table", (0, 0, 0.5))
table.data.materials.append(red)
table.data.materials.append(blue)
cup = box("Cup", (0, 0, 1.25), table, 0.5)
cup.data.materials.append(blue)
bpy.ops.mesh.primitive_plane_add(size=8)
bpy.context.object.name = bpy.context.object.data.name = "Ground"

world = bpy.data.worlds.new("World")
world.use_nodes = True
world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.3, 0.4, 0.6, 1)
scene.world = world
lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "AREA"))
lamp.location, lamp.rotation_euler, lamp.data.energy = (3, -3, 5), (0.6, 0.3, 0), 500
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.location, camera.rotation_euler = (4, -8, 4), (math.radians(68), 0, math.radians(25))
for thing in (lamp, camera):
    scene.collection.objects.link(thing)
scene.camera = camera
"""

RICH = (
    SMALL
    + """
image = bpy.data.images.new("Wood", 4, 4)
image.pixels[:] = [0.25] * 64
sky = bpy.data.images.new("Sky", 4, 4)
sky.pixels[:] = [0.5] * 64
texture = red.node_tree.nodes.new("ShaderNodeTexImage")
texture.name = "Picture"
texture.image = image
red.node_tree.links.new(texture.outputs["Color"], red.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
ramp = blue.node_tree.nodes.new("ShaderNodeValToRGB")
ramp.name = "Ramp"
environment = world.node_tree.nodes.new("ShaderNodeTexEnvironment")
environment.image = sky

group = bpy.data.node_groups.new("Paint", "ShaderNodeTree")
value = group.nodes.new("ShaderNodeValue")
value.name = "Value"
inner = blue.node_tree.nodes.new("ShaderNodeGroup")
inner.node_tree = group

bevel = table.modifiers.new("Bevel", "BEVEL")
bevel.width = 0.02
table.modifiers.new("Smooth", "SUBSURF")
table.shape_key_add(name="Basis")
table.shape_key_add(name="Tall")
for block in table.data.shape_keys.key_blocks:
    block.value = 0  # 5.0 begins with 1
table.data.shape_keys.key_blocks["Tall"].data[0].co.z += 1
legs = table.vertex_groups.new(name="Legs")
legs.add([0, 1], 0.5, "REPLACE")
layer = cup.data.vertex_colors.new(name="Dirt") if not hasattr(cup.data, "color_attributes") else (
    cup.data.color_attributes.new("Dirt", "FLOAT_COLOR", "CORNER"))

line = bpy.data.curves.new("Wire", "CURVE")
line.dimensions, line.bevel_depth = "3D", 0.05
spline = line.splines.new("BEZIER")
spline.bezier_points.add(2)
for index, point in enumerate(spline.bezier_points):
    point.co = point.handle_left = point.handle_right = (index, 0, 2)
wire = bpy.data.objects.new("Wire", line)
letters = bpy.data.curves.new("Letters", "FONT")
letters.body = "seig"
label = bpy.data.objects.new("Label", letters)
inner_node = bpy.data.objects.new("Kitchen", None)
for thing in (wire, label, inner_node):
    scene.collection.objects.link(thing)
cup["maker"] = "us"
limit = cup.constraints.new("LIMIT_LOCATION")
limit.name = "Limit"
things = bpy.data.collections.new("Things")
scene.collection.children.link(things)
things.objects.link(wire)
"""
)

ZOO = (
    SMALL
    + '''
def kinds(owner, name):
    """The names that an enum of a Blender function's parameter allows."""
    return [item.identifier for item in owner.bl_rna.functions["new"].parameters[name].enum_items]

for kind in kinds(bpy.types.ObjectModifiers, "type"):
    try:
        table.modifiers.new(kind, kind)
    except (RuntimeError, TypeError):
        continue
for modifier in table.modifiers:
    modifier.show_render = modifier.show_viewport = False
for kind in kinds(bpy.types.ObjectConstraints, "type"):
    cup.constraints.new(kind).mute = True

def fill(tree, prefix):
    for name in sorted(dir(bpy.types)):
        if name.startswith(prefix) and not name.endswith(("Base", "Custom", "CustomGroup", "Group", "GroupInput")):
            try:
                tree.nodes.new(name)
            except RuntimeError:
                continue

fill(red.node_tree, "ShaderNode")
fill(world.node_tree, "ShaderNode")
geometry = bpy.data.node_groups.new("Fields", "GeometryNodeTree")
if hasattr(geometry, "interface"):
    geometry.interface.new_socket("Amount", in_out="INPUT", socket_type="NodeSocketFloat")
else:
    geometry.inputs.new("NodeSocketFloat", "Amount")
fill(geometry, "GeometryNode")
fill(geometry, "FunctionNode")
geometry.nodes.new("ShaderNodeMath")
nodes = cup.modifiers.new("Fields", "NODES")
nodes.node_group = geometry
nodes.show_viewport = nodes.show_render = False

def add(name, data):
    made = bpy.data.objects.new(name, data)
    scene.collection.objects.link(made)
    return made

ball = bpy.data.metaballs.new("Drop")
ball.elements.new().radius = 0.3
add("Drop", ball)
bpy.ops.object.armature_add(location=(3, 3, 0))
bpy.context.object.name = "Bones"
bpy.ops.mesh.primitive_ico_sphere_add(location=(-3, 0, 1))
fur = bpy.context.object
fur.name = "Fur"
fur.modifiers.new("Hair", "PARTICLE_SYSTEM")
fur.particle_systems[0].settings.type = "HAIR"
fur.particle_systems[0].settings.name = "Fur"
add("Cage", bpy.data.lattices.new("Cage"))
surface = bpy.data.curves.new("Sheet", "SURFACE")
surface.splines.new("NURBS").points.add(3)
add("Sheet", surface)
for name in ("pointclouds", "hair_curves", "grease_pencils", "grease_pencils_v3", "volumes", "lightprobes"):
    collection = getattr(bpy.data, name, None)
    if collection is not None:
        try:
            data = collection.new(name) if name != "lightprobes" else collection.new(name, "SPHERE")
        except (AttributeError, TypeError):
            continue
        try:
            add("Kind " + name, data)
        except RuntimeError:
            pass
for kind in ("CLOUDS", "WOOD", "IMAGE"):
    bpy.data.textures.new(kind, kind).use_fake_user = True
bpy.data.linestyles.new("Line").use_fake_user = True
fur["numbers"], fur["more"] = [1.5, 2.5], {"a": 1, "b": [1, 2]}
fur["friend"] = cup
'''
)
