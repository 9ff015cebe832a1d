"""The plain twin of a scene has all that the scene has, under the same names, and nothing that anybody has set."""

import pytest

from protocol.models import DumpRequest, PlainRequest
from tests.blender_server.scenes import ZOO

pytestmark = pytest.mark.blender

PAINTED = """
import bpy
material = bpy.data.materials.new("Wood")
material.use_nodes = True
shader = material.node_tree.nodes["Principled BSDF"]
shader.inputs["Roughness"].default_value = 0.25
material.node_tree.nodes.new("ShaderNodeTexNoise").noise_dimensions = "4D"
mesh = bpy.data.meshes.new("Board")
mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0)], [], [(0, 1, 2)])
mesh.materials.append(material)
thing = bpy.data.objects.new("Board", mesh)
thing.location = (1, 2, 3)
thing.modifiers.new("Thick", "SOLIDIFY").offset = 0.5
bpy.context.scene.collection.objects.link(thing)
sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
sun.data.energy = 7
bpy.context.scene.collection.objects.link(sun)
text = bpy.data.objects.new("Text", bpy.data.curves.new("Text", "FONT"))
text.data.extrude = 0.5
bpy.context.scene.collection.objects.link(text)
"""


def test_a_twin_differs_from_its_scene_in_what_was_set(server):
    server.edit(PAINTED)
    scene = server.call(DumpRequest(portable=True))
    server.call(PlainRequest())
    plain = server.call(DumpRequest(portable=True))
    changed = {
        (key, path)
        for key, values in scene.numbers.items()
        for path, value in values.items()
        if plain.numbers[key][path] != value and key != "scene:Scene"
    }
    assert changed == {
        ("material:Wood", "node_tree.nodes['Principled BSDF'].inputs['Roughness'].default_value"),
        ("object:Board", "location"),
        ("object:Board", "modifiers['Thick'].offset"),
        ("light:Sun", "energy"),
        ("curve:Text", "extrude"),
    }


def test_every_kind_of_thing_has_a_twin_or_counts_as_set(shared):
    shared.fresh()
    shared.edit(ZOO)
    before = shared.call(DumpRequest(portable=True))
    shared.call(PlainRequest())
    after = shared.call(DumpRequest(portable=True))
    kinds = {key.partition(":")[0] for key in before.texts.keys() - after.texts.keys()}
    assert kinds.isdisjoint({"object", "material", "light", "camera", "world", "mesh", "scene", "nodetree"})
