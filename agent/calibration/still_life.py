"""Owns the first scene: a still life on a checked table before a wall, in the sun; a full picture."""

from __future__ import annotations

from agent.calibration.scenes import ALL, CAMERA_WORDS, LIGHT_WORDS, MADE, TINT_WORDS, Scene, Variant
from agent.scene_graph import Relation, SceneGraph, SceneNode

SOURCE = """\
table = checks("Table", (0.62, 0.50, 0.36), (0.20, 0.11, 0.06), 4, 0.6)
block("Table", (2.6, 1.9, 0.12), table, (0, 0, -0.12))
block("Wall", (9, 0.1, 6), paint("Wall", (0.42, 0.46, 0.48), 0.9), (0, 1.6, -3))
plate = [(0.22, 0), (0.38, 0.05), (0.38, 0.06), (0.20, 0.025)]
lathe("Plate", plate, paint("Plate", (0.8, 0.8, 0.77), 0.3), (-0.62, -0.2, 0))
ball("Ball", 0.24, paint("Ball", (0.62, 0.03, 0.03), 0.35), (-0.62, -0.2, 0.025))
vase = [(0.14, 0), (0.24, 0.18), (0.27, 0.36), (0.22, 0.55), (0.12, 0.72), (0.10, 0.80), (0.15, 0.90)]
lathe("Vase", vase, paint("Vase", (0.04, 0.12, 0.45), 0.8), (0.02, 0.35, 0))
block("Crate", (0.46, 0.46, 0.46), paint("Crate", (0.75, 0.48, 0.05), 0.6), (0.78, 0.02, 0), (0, 0, 25))
drum("Tin", 0.14, 0.32, paint("Tin", (0.75, 0.75, 0.76), 0.4, 1.0), (0.22, -0.5, 0))
light("Sun", "SUN", 3.2, (-3, -2.2, 3.4), (0, 0, 0), angle=0.05)
sky((0.75, 0.85, 1.0), 0.35)
camera((0, -4.4, 1.9), (0.02, 0, 0.28), 50)
"""

GRAPH = SceneGraph(
    environment="A still life on a table with a pattern of squares, before a plain grey wall; sun from the upper left.",
    nodes=(
        SceneNode(name="Table", kind="part", description="a flat table top", geometry="slab",
                  material="squares of beige and dark brown", picture_box=(0.03, 0.48, 0.96, 0.83)),
        SceneNode(name="Wall", kind="part", description="the wall behind the table", geometry="plane",
                  material="matte grey", picture_box=(0.0, 0.0, 1.0, 1.0)),
        SceneNode(name="Plate", kind="part", description="a shallow round plate", geometry="flat dish",
                  material="white, glossy",
                  relations=(Relation(relation="stands on", to="Table"),), picture_box=(0.19, 0.56, 0.42, 0.68)),
        SceneNode(name="Ball", kind="part", description="a ball on the plate", geometry="sphere",
                  material="red, a little glossy",
                  relations=(Relation(relation="lies on", to="Plate"),), picture_box=(0.23, 0.44, 0.38, 0.64)),
        SceneNode(name="Vase", kind="part", description="a vase with a narrow neck, behind the other things",
                  geometry="solid of revolution, widest below its middle, with a flared lip",
                  material="matte dark blue",
                  relations=(Relation(relation="stands on", to="Table"),), picture_box=(0.43, 0.22, 0.57, 0.57)),
        SceneNode(name="Crate", kind="part", description="a box at the right", geometry="cube, turned by 25 degrees",
                  material="matte yellow",
                  relations=(Relation(relation="stands on", to="Table"),), picture_box=(0.63, 0.4, 0.82, 0.65)),
        SceneNode(name="Tin", kind="part", description="a tin in front", geometry="cylinder, taller than wide",
                  material="polished metal",
                  relations=(Relation(relation="stands on", to="Table"),), picture_box=(0.52, 0.54, 0.61, 0.71)),
    ),
)  # fmt: skip

VARIANTS = (
    Variant(name="as_it_is", fault="nothing: the scene that the reference shows", source="", spares=ALL),
    Variant(
        name="unseen",
        fault="nothing that can be seen: a colour off by 0.005, the vase by 1 mm, the sun by 0.2 degrees",
        source='shader("Ball")["Base Color"].default_value[0] += 0.005\n'
        'bpy.data.objects["Vase"].location.x += 0.001\n'
        'bpy.data.objects["Sun"].rotation_euler.x += radians(0.2)\n',
        factors=("material", "transform", "light"),
        spares=ALL,
    ),
    Variant(
        name="missing_ball",
        fault="the ball is missing",
        source='remove("Ball")\n',
        factors=MADE,
        breaks=("initialisation", "geometry"),
        named_by=("Ball",),
    ),
    Variant(
        name="extra_block",
        fault="a big green block that the reference does not show stands in front",
        source='block("Extra", (0.7, 0.5, 0.9), paint("Extra", (0.1, 0.5, 0.15)), (-0.05, -0.62, 0))\n',
        factors=MADE,
        breaks=("initialisation", "geometry"),
        named_by=("Extra", "green", "block"),
    ),
    Variant(
        name="cube_for_ball",
        fault="the ball is a cube",
        source='for vertex in bpy.data.objects["Ball"].data.vertices:\n'
        "    offset = vertex.co - Vector((0, 0, 0.24))\n"
        "    vertex.co = Vector((0, 0, 0.24)) + offset * 0.24 / max(map(abs, offset))\n",
        factors=("geometry",),
        breaks=("geometry",),
        spares=("lighting",),
        named_by=("Ball",),
    ),
    Variant(
        name="squat_vase",
        fault="the vase is half as tall and a third wider",
        source='stretch("Vase", 1.35, 1.35, 0.5)\n',
        factors=("geometry",),
        breaks=("geometry",),
        spares=("material", "lighting"),
        named_by=("Vase",),
    ),
    Variant(
        name="green_ball",
        fault="the ball is green instead of red",
        source='shader("Ball")["Base Color"].default_value = (0.03, 0.45, 0.06, 1)\n',
        factors=("material",),
        breaks=("material",),
        spares=("geometry", "composition", "lighting"),
        named_by=("Ball",),
    ),
    Variant(
        name="plain_table",
        fault="the table has one colour instead of squares",
        source='tree = bpy.data.materials["Table"].node_tree\n'
        'tree.nodes.remove(next(node for node in tree.nodes if node.type == "TEX_CHECKER"))\n'
        'shader("Table")["Base Color"].default_value = (0.38, 0.29, 0.20, 1)\n',
        factors=("material",),
        breaks=("material",),
        spares=("initialisation", "geometry", "composition"),
        named_by=("Table",),
    ),
    Variant(
        name="mirror_vase",
        fault="the vase is polished metal instead of matte",
        source='shader("Vase")["Roughness"].default_value, shader("Vase")["Metallic"].default_value = 0.03, 1.0\n'
        'shader("Vase")["Base Color"].default_value = (0.5, 0.6, 0.9, 1)\n',
        factors=("material",),
        breaks=("material",),
        named_by=("Vase",),
    ),
    Variant(
        name="floating_vase",
        fault="the vase floats above the table",
        source='bpy.data.objects["Vase"].location.z += 0.32\n',
        factors=("transform",),
        breaks=("initialisation", "composition"),
        spares=("geometry", "material"),
        named_by=("Vase",),
    ),
    Variant(
        name="crate_left",
        fault="the crate stands on the left instead of the right",
        source='bpy.data.objects["Crate"].location = (-0.72, 0.55, 0)\n',
        factors=("transform",),
        breaks=("composition",),
        spares=("geometry", "material"),
        named_by=("Crate",),
    ),
    Variant(
        name="sunken_vase",
        fault="the vase is sunk halfway into the table",
        source='bpy.data.objects["Vase"].location.z -= 0.42\n',
        factors=("transform",),
        breaks=("composition",),
        named_by=("Vase",),
    ),
    Variant(
        name="large_tin",
        fault="the tin is twice as large",
        source='bpy.data.objects["Tin"].scale = (2, 2, 2)\n',
        factors=("transform",),
        breaks=("composition",),
        spares=("material",),
        named_by=("Tin",),
    ),
    Variant(
        name="from_the_side",
        fault="the camera looks from another side",
        source='aim(bpy.data.objects["Camera"], (3.4, -2.6, 2.2), (0.02, 0, 0.28))\n',
        factors=("camera",),
        breaks=("initialisation", "composition"),
        named_by=CAMERA_WORDS,
    ),
    Variant(
        name="cropped",
        fault="the camera is too near: things at the sides are cut off",
        source='bpy.data.cameras["Camera"].lens = 105\n',
        factors=("camera",),
        breaks=("initialisation", "composition"),
        named_by=CAMERA_WORDS,
    ),
    Variant(
        name="sun_from_the_right",
        fault="the sun comes from the right instead of the left",
        source='aim(bpy.data.objects["Sun"], (3, -2.2, 3.4), (0, 0, 0))\n',
        factors=("light",),
        breaks=("lighting",),
        spares=("initialisation", "geometry", "material", "composition"),
        named_by=LIGHT_WORDS,
    ),
    Variant(
        name="no_shadows",
        fault="flat light without shadows instead of the sun",
        source='bpy.data.lights["Sun"].energy = 0\nsky((1, 1, 1), 0.75)\n',
        factors=("light", "world"),
        breaks=("lighting",),
        spares=("geometry", "composition"),
        named_by=LIGHT_WORDS,
    ),
    Variant(
        name="blue_light",
        fault="the light is strongly blue instead of white",
        source='bpy.data.lights["Sun"].color = (0.25, 0.45, 1.0)\nsky((0.3, 0.5, 1.0), 0.35)\n',
        factors=("light", "world"),
        breaks=("lighting",),
        spares=("geometry", "material", "composition"),
        named_by=TINT_WORDS,
    ),
    Variant(
        name="black",
        fault="no light at all: the render is black",
        source='bpy.data.lights["Sun"].energy = 0\nsky((0, 0, 0), 0)\n',
        factors=("light", "world"),
        breaks=("initialisation", "lighting"),
        named_by=LIGHT_WORDS,
    ),
    Variant(
        name="burnt_out",
        fault="far too much light: the render is burnt out",
        source="bpy.context.scene.view_settings.exposure = 5\n",
        factors=("view",),
        breaks=("initialisation", "lighting"),
        named_by=LIGHT_WORDS,
    ),
)

STILL_LIFE = Scene(name="still_life", kind="full", source=SOURCE, graph=GRAPH, variants=VARIANTS)
