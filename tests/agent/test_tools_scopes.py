"""What a stage may not change cannot be changed: each factor, in several ways, in each stage, through the tool."""

import pytest
from benches import Desk, bench_of, facts, graph_of, opened_run
from PIL import Image

from agent.stages.table import CAMERA, INITIALISATION, MONOLITHIC, REFINING
from protocol.models import FingerprintRequest
from sandbox.transaction import FACTORS

pytestmark = [pytest.mark.blender, pytest.mark.timeout(300)]

STAGES = {stage.name: stage for stage in (INITIALISATION, *REFINING, MONOLITHIC, CAMERA)}

START = """
import bpy

def material(name, color):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*color, 1)
    return made

def part(name, x, *materials):
    bpy.ops.mesh.primitive_cube_add(location=(x, 0, 0))
    made = bpy.context.object
    made.name = made.data.name = name
    for each in materials:
        made.data.materials.append(each)
    return made

scene = bpy.context.scene
wood, gold = material("Wood", (0.4, 0.2, 0.1)), material("Gold", (0.9, 0.7, 0.1))
image = bpy.data.images.new("Grain", 4, 4)
image.pixels[:] = [0.25] * 64
texture = wood.node_tree.nodes.new("ShaderNodeTexImage")
texture.name, texture.image = "Picture", image
wood.node_tree.links.new(texture.outputs[0], wood.node_tree.nodes["Principled BSDF"].inputs["Roughness"])
set_of = bpy.data.objects.new("Set", None)
scene.collection.objects.link(set_of)
cup = part("Cup", 0, wood, gold)
plate = part("Plate", 3, gold)
for each in (cup, plate):
    each.parent = set_of
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
spare = bpy.data.objects.new("Spare", bpy.data.cameras.new("Spare"))
lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
for each in (camera, spare, lamp):
    scene.collection.objects.link(each)
    each.location = (0, -9, 1)
camera.rotation_euler = (1.5, 0, 0)
scene.camera = camera
scene.world = bpy.data.worlds.new("World")
scene.world.use_nodes = True
"""
BEGIN = """
import bpy
data, scene, context = bpy.data, bpy.context.scene, bpy.context
cup, plate = data.objects["Cup"], data.objects["Plate"]
camera, lamp, world = data.objects["Camera"], data.objects["Lamp"], data.worlds["World"]
wood, gold = data.materials["Wood"], data.materials["Gold"]
nodes, shader = wood.node_tree.nodes, wood.node_tree.nodes["Principled BSDF"]
"""
WAYS = {
    "structure": {
        "rename": "cup.name = 'Mug'",
        "hide": "cup.hide_render = True",
        "delete": "data.objects.remove(plate)",
        "delete by operator": "plate.select_set(True)\nbpy.ops.object.delete()",
        "reparent": "cup.parent = plate",
        "collection": "made = data.collections.new('Box')\nscene.collection.children.link(made)\n"
        "made.objects.link(cup)",
        "hidden collection": "made = data.collections.new('Box')\nscene.collection.children.link(made)\n"
        "made.objects.link(cup)\nscene.collection.objects.unlink(cup)\nmade.hide_render = True",
        "new object": "scene.collection.objects.link(data.objects.new('Extra', data.meshes['Cup']))",
        "invisible to the camera": "cup.visible_camera = False",
    },
    "geometry": {
        "vertex": "cup.data.vertices[0].co.z += 0.5",
        "modifier": "cup.modifiers.new('Bevel', 'BEVEL')",
        "shape key": "cup.shape_key_add(name='Basis')\ncup.shape_key_add(name='Tall').data[0].co.z += 1",
        "vertex group": "cup.vertex_groups.new(name='Rim').add([0], 1.0, 'REPLACE')",
        "another mesh": "made = data.meshes.new('Other')\n"
        "made.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])\ncup.data = made",
        "smooth": "for face in cup.data.polygons:\n    face.use_smooth = True",
    },
    "transform": {
        "location": "cup.location.x += 1",
        "rotation": "cup.rotation_euler.z = 1",
        "scale": "cup.scale = (1, 1, 2)",
        "matrix": "cup.matrix_world.translation.z = 2\ncup.matrix_world = cup.matrix_world.copy()",
        "delta": "cup.delta_location.x = 1",
        "constraint": "cup.constraints.new('COPY_LOCATION').target = plate",
        "group": "data.objects['Set'].location.z = 1",
    },
    "material": {
        "value": "shader.inputs['Base Color'].default_value = (0, 0, 1, 1)",
        "new node": "nodes.new('ShaderNodeTexNoise')",
        "link": "wood.node_tree.links.clear()",
        "slot": "plate.data.materials[0] = wood",
        "slot of the object": "plate.material_slots[0].link = 'OBJECT'\nplate.material_slots[0].material = wood",
        "face": "cup.data.polygons[0].material_index = 1",
        "UV": "cup.data.uv_layers[0].data[0].uv = (0.9, 0.9)",
        "colours": "getattr(cup.data, 'color_attributes', None).new('Dirt', 'FLOAT_COLOR', 'CORNER')",
        "pixels": "data.images['Grain'].pixels[0] = 1.0\ndata.images['Grain'].update()",
        "image": "nodes['Picture'].image = data.images.new('Other', 2, 2)",
    },
    "camera": {
        "lens": "camera.data.lens = 80",
        "place": "camera.location.z += 1",
        "turn": "camera.rotation_euler.z = 0.2",
        "active": "scene.camera = data.objects['Spare']",
        "clip": "camera.data.clip_end = 50",
        "shift": "camera.data.shift_x = 0.2",
        "new": "scene.collection.objects.link(data.objects.new('Third', data.cameras.new('Third')))",
    },
    "light": {
        "energy": "lamp.data.energy = 99",
        "place": "lamp.location.z = 5",
        "colour": "lamp.data.color = (1, 0, 0)",
        "size": "lamp.data.shadow_soft_size = 2",
        "kind": "lamp.data.type = 'SUN'",
        "new": "scene.collection.objects.link(data.objects.new('Sun', data.lights.new('Sun', 'SUN')))",
        "removed": "data.objects.remove(lamp)",
    },
    "world": {
        "colour": "world.node_tree.nodes['Background'].inputs[0].default_value = (1, 0, 0, 1)",
        "strength": "world.node_tree.nodes['Background'].inputs[1].default_value = 3",
        "new node": "world.node_tree.nodes.new('ShaderNodeTexSky')",
        "another": "scene.world = data.worlds.new('Other')",
        "none": "scene.world = None",
    },
    "view": {
        "exposure": "scene.view_settings.exposure = 1",
        "gamma": "scene.view_settings.gamma = 1.5",
        "transform": "scene.view_settings.view_transform = 'Raw'",
        "curves": "scene.view_settings.use_curve_mapping = True",
    },
    "host": {
        "text": "data.texts.new('run.py').write('import os')",
        "driver": "cup.driver_add('location', 0).driver.expression = '1 + 1'",
        "keyframe": "cup.keyframe_insert('location')",
        "driver of a material": "shader.inputs['Metallic'].driver_add('default_value').driver.expression = '1'",
        "second scene": "data.scenes.new('Other')",
    },
}
"""Factor → ways to change it and nothing else."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    picture, folder = Image.new("RGB", (32, 32), (90, 90, 90)), tmp_path_factory.mktemp("scopes")
    with opened_run("wheel", picture, folder, target_px=32, look_px=16, look_samples=1) as run:
        yield run


@pytest.fixture(scope="module")
def bench(run):
    parts = ({"name": name, "parent": "Set"} for name in ("Cup", "Plate"))
    with bench_of(run, graph_of({"name": "Set", "kind": "group"}, *parts)) as bench:
        bench.begin(INITIALISATION)
        desk = Desk(bench)
        desk.use("submit_plan", plan="everything at once")
        outcome = desk.run(START)
        assert outcome.committed, facts(outcome)
        yield bench


@pytest.fixture(scope="module", params=list(STAGES))
def desk(request, bench):
    """A generator in one stage after another; each begins where the first one left the scene."""
    bench.begin(STAGES[request.param])
    return Desk(bench)


def fingerprint(bench):
    """Of what the live Blender holds, not of what is remembered."""
    return bench.session().call(FingerprintRequest())[0]


def tried(desk, factor, way):
    """The result of one change, and whether the live scene is afterwards what it was."""
    head, before = desk.bench.head.id, fingerprint(desk.bench)
    outcome = desk.run(BEGIN + WAYS[factor][way])
    return outcome, desk.bench.head.id == head and fingerprint(desk.bench) == before


CASES = [(factor, way) for factor, ways in WAYS.items() for way in ways]
LOSES = {"rename", "delete", "delete by operator"}
"""Ways that lose an object of the scene graph."""


def test_every_factor_is_tried():
    assert WAYS.keys() == set(FACTORS)


@pytest.mark.parametrize(("factor", "way"), CASES, ids=[f"{factor}: {way}" for factor, way in CASES])
def test_a_change_is_accepted_in_its_stages_scope_and_impossible_outside_it(desk, factor, way):
    outcome, untouched = tried(desk, factor, way)
    told, stage = facts(outcome), desk.bench.stage
    if factor not in stage.scope:
        assert told["result"] == "violation" and untouched, told
        assert factor in {change["factor"] for change in told["changes"]}
        assert f"The {stage.name} stage may change" in told["message"] and outcome.is_error and not outcome.committed
    elif way in LOSES and stage.keeps_objects:
        assert told["result"] == "missing_object" and untouched, told
        assert ("Cup" if way == "rename" else "Plate") in told["message"]
    else:
        assert told["result"] == "committed" and not untouched, told
        assert factor in {line.partition(":")[0] for line in told["changes"]}
        assert desk.use("revert", to="start").head == desk.bench.start.id


def test_what_is_allowed_does_not_carry_through_what_is_not(desk):
    """An edit is accepted as a whole or not at all."""
    own = next(factor for factor in FACTORS if factor in desk.bench.stage.scope)
    head, before = desk.bench.head.id, fingerprint(desk.bench)
    way = "group" if own == "transform" else next(iter(WAYS[own]))
    outcome = desk.run(BEGIN + WAYS["host"]["text"] + "\n" + WAYS[own][way])
    assert facts(outcome)["result"] == "violation"
    assert desk.bench.head.id == head and fingerprint(desk.bench) == before
