"""Kinds of data that Blenders keep in different ways: what changes in them is found by every Blender, in its factor."""

import shutil

import pytest

from tests.blender_server.scenes import SMALL
from tests.blender_server.servers import changed

pytestmark = [pytest.mark.blender, pytest.mark.matrix("fingerprint")]

RARE = (
    SMALL
    + """
def made(operator, name):
    operator()
    bpy.context.object.name = bpy.context.object.data.name = name
    return bpy.context.object.data

def linked(name, data):
    thing = bpy.data.objects.new(name, data)
    scene.collection.objects.link(thing)
    return data

made(bpy.ops.object.curves_random_add, "Hair")
if "pointcloud_random_add" in dir(bpy.ops.object):
    made(bpy.ops.object.pointcloud_random_add, "Dust")
else:
    linked("Dust", bpy.data.pointclouds.new("Dust"))

pencils = getattr(bpy.data, "grease_pencils_v3", bpy.data.grease_pencils)
ink = linked("Ink", pencils.new("Ink"))
frame = ink.layers.new("Line").frames.new(1)
if hasattr(frame, "drawing"):
    frame.drawing.add_strokes([3])
else:
    frame.strokes.new().points.add(3)

linked("Smoke", bpy.data.volumes.new("Smoke"))
linked("Voice", bpy.data.speakers.new("Voice"))
bpy.ops.object.lightprobe_add()
bpy.context.object.name = bpy.context.object.data.name = "Probe"

lamp.data.use_nodes = True
emission = next(node for node in lamp.data.node_tree.nodes if node.type == "EMISSION")
emission.name = "Emission"
for frame, x in ((1, 0), (9, 2)):
    cup.location.x = x
    cup.keyframe_insert("location", index=0, frame=frame)
cup.animation_data.action.name = "Slide"
cup.animation_data.action.use_fake_user = True

if hasattr(scene, "compositing_node_group"):
    glow = scene.compositing_node_group = bpy.data.node_groups.new("Glow", "CompositorNodeTree")
else:
    scene.use_nodes = True
    glow = scene.node_tree
glow.nodes.new("CompositorNodeBlur").name = "Blur"
table.data.attributes.new("wear", "FLOAT", "POINT")
"""
)

CLOUD = """
dust = bpy.data.pointclouds["Dust"]
if len(dust.points):
    dust.points[1].co = (0, 0, 9)
else:  # only newer Blenders make points by themselves
    dust.attributes.new("wear", "FLOAT", "POINT")
"""
STROKE = """
pencils = getattr(bpy.data, "grease_pencils_v3", bpy.data.grease_pencils)
frame = pencils["Ink"].layers[0].frames[0]
if hasattr(frame, "drawing"):
    frame.drawing.strokes[0].points[1].position = (0, 0, 1)
else:
    frame.strokes[0].points[1].co = (0, 0, 1)
"""
KEY_FRAME = """
action = bpy.data.actions["Slide"]
curves = action.fcurves if hasattr(action, "fcurves") else action.layers[0].strips[0].channelbags[0].fcurves
curves[0].keyframe_points[1].co.y = 3
"""
BLUR = """
tree = getattr(bpy.context.scene, "compositing_node_group", None) or bpy.context.scene.node_tree
tree.nodes["Blur"].mute = True
"""

CHANGES = [
    # what is done, code, the factor, and the key where it is called the same in all Blenders
    ("a hair's point", 'bpy.data.hair_curves["Hair"].points[1].position = (0, 0, 9)', "geometry", "curves:Hair"),
    ("a cloud's point", CLOUD, "geometry", "pointcloud:Dust"),
    ("a stroke's point", STROKE, "geometry", ""),
    ("a volume's step", 'bpy.data.volumes["Smoke"].render.step_size = 0.5', "geometry", "volume:Smoke"),
    ("an attribute", 'bpy.data.meshes["Table"].attributes["wear"].data[2].value = 1', "geometry", "mesh:Table"),
    ("a probe's reach", 'bpy.data.objects["Probe"].data.clip_end = 7', "light", "lightprobe:Probe"),
    (
        "a light's node",
        'bpy.data.lights["Lamp"].node_tree.nodes["Emission"].inputs["Strength"].default_value = 2',
        "light",
        "light:Lamp",
    ),
    ("a light's size", 'bpy.data.lights["Lamp"].size = 2', "light", "light:Lamp"),
    ("a camera's focus", 'bpy.data.cameras["Camera"].dof.focus_distance = 3', "camera", "camera:Camera"),
    ("the world's mist", 'bpy.data.worlds["World"].mist_settings.depth = 7', "world", "world:World"),
    ("the tone curve", "bpy.context.scene.view_settings.use_curve_mapping = True", "view", "scene:Scene"),
    ("a speaker's volume", 'bpy.data.speakers["Voice"].volume = 0.5', "host", "speaker:Voice"),
    ("a key frame's value", KEY_FRAME, "host", "action:Slide"),
    ("a compositor's node", BLUR, "host", ""),
]


@pytest.fixture(scope="session")
def rare_base(shared):
    shared.fresh()
    shared.edit(RARE)
    shutil.copy(shared.folder / "edit.blend", shared.folder / "rare.blend")
    return shared.fingerprint()


@pytest.fixture
def rare(shared, rare_base):
    shared.fresh("rare.blend")
    return shared


@pytest.mark.parametrize(("source", "factor", "key"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_in_rare_data_is_found_in_its_factor(rare, rare_base, source, factor, key):
    rare.edit(source)
    found = changed(rare_base, rare.fingerprint())
    assert {where for where, _ in found} == {factor}
    assert not key or found == {(factor, key)}


def test_rare_data_stays_the_same_through_files_and_processes(rare, rare_base, another):
    rare.reload()
    assert changed(rare_base, rare.fingerprint()) == set()
    shutil.copy(rare.folder / "rare.blend", another.folder / "rare.blend")
    another.fresh("rare.blend")
    assert another.fingerprint() == rare_base
