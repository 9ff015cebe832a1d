"""Owns the second scene: a lamp, books, a mug and a pencil on a board, without surroundings; a cut-out."""

from __future__ import annotations

from agent.calibration.scenes import ALL, CAMERA_WORDS, LIGHT_WORDS, MADE, TINT_WORDS, Scene, Variant
from agent.scene_graph import Relation, SceneGraph, SceneNode

SOURCE = """\
block("Board", (2.5, 1.5, 0.1), checks("Board", (0.50, 0.27, 0.12), (0.40, 0.20, 0.08), 3, 0.7), (0, 0, -0.1))
lamp = bpy.data.objects.new("Lamp", None)
bpy.context.scene.collection.objects.link(lamp)
lamp.location = (-0.7, 0.2, 0)
dark = paint("Lamp_Metal", (0.04, 0.045, 0.05), 0.4)
drum("Lamp_Base", 0.27, 0.07, dark, (0, 0, 0), parent=lamp)
drum("Lamp_Arm", 0.035, 1.0, dark, (-0.05, 0, 0.04), (0, 16, 0), lamp)
shade = [(0.02, -0.34), (0.30, -0.34), (0.12, 0), (0.06, 0.05)]
lathe("Lamp_Shade", shade, paint("Lamp_Shade", (0.85, 0.22, 0.02), 0.45), (0.24, 0, 1.04), (0, -25, 0), False, lamp)
block("Book_Low", (0.75, 0.52, 0.12), paint("Book_Low", (0.45, 0.04, 0.05), 0.6), (0.55, 0.28, 0), (0, 0, -8))
block("Book_High", (0.62, 0.44, 0.10), paint("Book_High", (0.05, 0.30, 0.14), 0.6), (0.55, 0.28, 0.12), (0, 0, 14))
mug = [(0.13, 0), (0.16, 0.03), (0.16, 0.34), (0.145, 0.34), (0.14, 0.05)]
white = paint("Mug", (0.78, 0.78, 0.75), 0.2)
lathe("Mug", mug, white, (0.0, -0.28, 0))
ring("Mug_Handle", 0.12, 0.032, white, (0.21, -0.28, 0.18), (90, 0, 0))
drum("Pencil", 0.026, 0.62, paint("Pencil", (0.85, 0.60, 0.03), 0.4), (0.42, -0.5, 0.026), (0, 90, 12))
light("Key", "AREA", 330, (2.8, -1.8, 2.6), (0, 0, 0.2), size=0.4)
sky((1, 1, 1), 0.25)
camera((0.15, -4.3, 2.2), (-0.02, 0, 0.38), 50)
"""

GRAPH = SceneGraph(
    environment="Things on a wooden board, cut out; a lamp of the room from the upper right.",
    nodes=(
        SceneNode(name="Board", kind="part", description="a rectangular board under everything", geometry="flat slab",
                  material="brown wood with squares of two close tones", picture_box=(0.08, 0.52, 0.92, 0.84)),
        SceneNode(name="Lamp", kind="group", description="a desk lamp at the left",
                  relations=(Relation(relation="stands on", to="Board"),)),
        SceneNode(name="Lamp_Base", parent="Lamp", kind="part", description="its round foot", geometry="flat cylinder",
                  material="nearly black", picture_box=(0.24, 0.53, 0.39, 0.64)),
        SceneNode(name="Lamp_Arm", parent="Lamp", kind="part", description="its arm, leaning to the right",
                  geometry="thin long cylinder", material="nearly black", picture_box=(0.29, 0.35, 0.34, 0.58)),
        SceneNode(name="Lamp_Shade", parent="Lamp", kind="part", description="its shade, open below",
                  geometry="truncated cone, wide end down, tilted to the right", material="orange",
                  relations=(Relation(relation="on top of", to="Lamp_Arm"),), picture_box=(0.34, 0.19, 0.5, 0.4)),
        SceneNode(name="Book_Low", kind="part", description="the lower of two books", geometry="flat box",
                  material="dark red",
                  relations=(Relation(relation="lies on", to="Board"),), picture_box=(0.55, 0.52, 0.77, 0.65)),
        SceneNode(name="Book_High", kind="part", description="the upper book, turned", geometry="flat box, smaller",
                  material="dark green",
                  relations=(Relation(relation="lies on", to="Book_Low"),), picture_box=(0.56, 0.48, 0.77, 0.59)),
        SceneNode(name="Mug", kind="part", description="a mug in front", geometry="hollow cylinder",
                  material="white, glossy",
                  relations=(Relation(relation="stands on", to="Board"),), picture_box=(0.45, 0.54, 0.55, 0.71)),
        SceneNode(name="Mug_Handle", kind="part", description="its handle, at the right", geometry="ring",
                  material="white, glossy",
                  relations=(Relation(relation="at the right of", to="Mug"),), picture_box=(0.55, 0.56, 0.62, 0.68)),
        SceneNode(name="Pencil", kind="part", description="a pencil at the right in front", geometry="thin cylinder",
                  material="yellow",
                  relations=(Relation(relation="lies on", to="Board"),), picture_box=(0.63, 0.69, 0.83, 0.73)),
    ),
)  # fmt: skip

VARIANTS = (
    Variant(name="as_it_is", fault="nothing: the scene that the reference shows", source="", spares=ALL),
    Variant(
        name="unseen",
        fault="nothing that can be seen: a colour off by 0.003, the mug by 1 mm, the lens by 0.02 mm",
        source='shader("Book_Low")["Base Color"].default_value[0] += 0.003\n'
        'bpy.data.objects["Mug"].location.y += 0.001\n'
        'bpy.data.cameras["Camera"].lens += 0.02\n',
        factors=("material", "transform", "camera"),
        spares=ALL,
    ),
    Variant(
        name="missing_mug",
        fault="the mug and its handle are missing",
        source='remove("Mug", "Mug_Handle")\n',
        factors=MADE,
        breaks=("initialisation", "geometry"),
        named_by=("Mug",),
    ),
    Variant(
        name="missing_handle",
        fault="the mug has no handle",
        source='remove("Mug_Handle")\n',
        factors=MADE,
        breaks=("geometry",),
        spares=("lighting",),
        named_by=("Handle", "Mug"),
    ),
    Variant(
        name="extra_ball",
        fault="a big purple ball that the reference does not show lies in front",
        source='ball("Extra", 0.42, paint("Extra", (0.35, 0.05, 0.40)), (-0.45, -0.4, 0))\n',
        factors=MADE,
        breaks=("initialisation", "geometry"),
        named_by=("Extra", "purple", "ball", "sphere"),
    ),
    Variant(
        name="shade_upside_down",
        fault="the lamp's shade is upside down: its wide end is on top",
        source='for vertex in bpy.data.objects["Lamp_Shade"].data.vertices:\n    vertex.co.z = -0.29 - vertex.co.z\n'
        'bpy.data.objects["Lamp_Shade"].data.flip_normals()\n',
        factors=("geometry",),
        breaks=("geometry",),
        spares=("material", "lighting"),
        named_by=("Shade",),
    ),
    Variant(
        name="tall_mug",
        fault="the mug is twice as tall and thinner",
        source='stretch("Mug", 0.8, 0.8, 2.1)\n',
        factors=("geometry",),
        breaks=("geometry",),
        spares=("material", "lighting"),
        named_by=("Mug",),
    ),
    Variant(
        name="blue_shade",
        fault="the lamp's shade is blue instead of orange",
        source='shader("Lamp_Shade")["Base Color"].default_value = (0.03, 0.12, 0.75, 1)\n',
        factors=("material",),
        breaks=("material",),
        spares=("geometry", "composition", "lighting"),
        named_by=("Shade",),
    ),
    Variant(
        name="pale_books",
        fault="both books are nearly white instead of dark red and dark green",
        source='for name in ("Book_Low", "Book_High"):\n'
        '    shader(name)["Base Color"].default_value = (0.8, 0.78, 0.74, 1)\n',
        factors=("material",),
        breaks=("material",),
        spares=("initialisation", "geometry", "composition"),
        named_by=("Book",),
    ),
    Variant(
        name="metal_board",
        fault="the board is a polished mirror instead of matte wood",
        source='tree = bpy.data.materials["Board"].node_tree\n'
        'tree.nodes.remove(next(node for node in tree.nodes if node.type == "TEX_CHECKER"))\n'
        'shader("Board")["Base Color"].default_value = (0.8, 0.8, 0.8, 1)\n'
        'shader("Board")["Roughness"].default_value, shader("Board")["Metallic"].default_value = 0.02, 1.0\n',
        factors=("material",),
        breaks=("material",),
        spares=("geometry",),
        named_by=("Board",),
    ),
    Variant(
        name="floating_mug",
        fault="the mug and its handle float above the board",
        source='for name in ("Mug", "Mug_Handle"):\n    bpy.data.objects[name].location.z += 0.4\n',
        factors=("transform",),
        breaks=("initialisation", "composition"),
        spares=("geometry", "material"),
        named_by=("Mug",),
    ),
    Variant(
        name="lamp_right",
        fault="the lamp stands at the right behind the books instead of at the left",
        source='bpy.data.objects["Lamp"].location = (0.75, 0.45, 0)\n',
        factors=("transform",),
        breaks=("composition",),
        spares=("geometry", "material"),
        named_by=("Lamp",),
    ),
    Variant(
        name="sunken_books",
        fault="the lower book is sunk in the board, and the upper one halfway too",
        source='for name in ("Book_Low", "Book_High"):\n    bpy.data.objects[name].location.z -= 0.17\n',
        factors=("transform",),
        breaks=("composition",),
        spares=("material",),
        named_by=("Book",),
    ),
    Variant(
        name="pencil_upright",
        fault="the pencil stands upright instead of lying",
        source='bpy.data.objects["Pencil"].rotation_euler = (0, 0, 0)\n',
        factors=("transform",),
        breaks=("composition",),
        spares=("geometry", "lighting"),
        named_by=("Pencil",),
    ),
    Variant(
        name="from_above",
        fault="the camera looks down from high above",
        source='aim(bpy.data.objects["Camera"], (0.1, -1.0, 4.8), (-0.02, 0, 0.3))\n',
        factors=("camera",),
        breaks=("initialisation", "composition"),
        named_by=CAMERA_WORDS,
    ),
    Variant(
        name="cropped",
        fault="the camera points too far left: the right third is cut off",
        source='bpy.data.cameras["Camera"].shift_x = -0.38\n',
        factors=("camera",),
        breaks=("initialisation", "composition"),
        named_by=CAMERA_WORDS,
    ),
    Variant(
        name="light_from_the_left",
        fault="the light comes from the left instead of the right",
        source='aim(bpy.data.objects["Key"], (-2.8, -1.8, 2.6), (0, 0, 0.2))\n',
        factors=("light",),
        breaks=("lighting",),
        spares=("initialisation", "geometry", "material", "composition"),
        named_by=LIGHT_WORDS,
    ),
    Variant(
        name="too_dark",
        fault="the picture is far too dark: a fifth of the light",
        source="bpy.context.scene.view_settings.exposure = -2.3\n",
        factors=("view",),
        breaks=("lighting",),
        spares=("geometry", "material", "composition"),
        named_by=LIGHT_WORDS,
    ),
    Variant(
        name="orange_light",
        fault="the light is strongly orange instead of white",
        source='bpy.data.lights["Key"].color = (1.0, 0.45, 0.12)\nsky((1.0, 0.55, 0.25), 0.25)\n',
        factors=("light", "world"),
        breaks=("lighting",),
        spares=("geometry", "material", "composition"),
        named_by=TINT_WORDS,
    ),
    Variant(
        name="black",
        fault="no light at all: the render is black",
        source='bpy.data.lights["Key"].energy = 0\nsky((0, 0, 0), 0)\n',
        factors=("light", "world"),
        breaks=("initialisation", "lighting"),
        named_by=LIGHT_WORDS,
    ),
    Variant(
        name="burnt_out",
        fault="far too much light: the render is burnt out",
        source="bpy.context.scene.view_settings.exposure = 5.5\n",
        factors=("view",),
        breaks=("initialisation", "lighting"),
        named_by=LIGHT_WORDS,
    ),
)

DESK = Scene(name="desk", kind="cutout", source=SOURCE, graph=GRAPH, variants=VARIANTS)
