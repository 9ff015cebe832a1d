"""Proves with real Blenders that what prompts say about Blender is so: their code runs, their names exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from needs import lacking

from agent.prompting import render

WIDTH, HEIGHT = 512, 384
SPACE = render("shared/space.md", width_px=WIDTH, height_px=HEIGHT)

BEGIN = """
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y = {width}, {height}
"""
SPACE_CHECK = """
from bpy_extras.object_utils import world_to_camera_view
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
scene.collection.objects.link(camera)
camera.location = (0.4, -2.0, 1.3)
camera.rotation_euler = (Vector((0, 0, 0.1)) - camera.location).to_track_quat('-Z', 'Y').to_euler()
bpy.context.view_layer.update()
for u, v in ((0.2, 0.7), (0.5, 0.5), (0.9, 0.95)):
    point = on_plane(camera, u, v, 0.05)
    seen = world_to_camera_view(scene, camera, point)
    assert abs(seen.x - u) < 1e-4 and abs(1 - seen.y - v) < 1e-4, (u, v, seen)
"""
LATHE_CHECK = """
cup = lathe("Cup", [(0, 0), (0.04, 0), (0.05, 0.1), (0.045, 0.1), (0.036, 0.005), (0, 0.005)], 32)
assert cup.name == "Cup" and not cup.data.validate()
edges = {}
for face in cup.data.polygons:
    for key in face.edge_keys:
        edges[key] = edges.get(key, 0) + 1
assert set(edges.values()) == {2}, "not closed"
assert abs(cup.dimensions.z - 0.1) < 1e-6
volume = sum(f.area * f.center.dot(f.normal) for f in cup.data.polygons) / 3
assert volume > 0, "inside out"
"""
MATERIAL_CHECK = """
material = bpy.data.materials.new("Glaze")
material.use_nodes = True
node = principled(material)
set_input(node, ("Transmission Weight", "Transmission"), 1.0)
mix = material.node_tree.nodes.new("ShaderNodeMix")
mix.data_type = 'RGBA'
assert [mix.inputs[i].type for i in (0, 6, 7)] == ['VALUE', 'RGBA', 'RGBA'] and mix.outputs[2].type == 'RGBA'
"""


def blocks(text):
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))


@pytest.fixture(scope="module", params=["wheel", "binary"])
def run(request, tmp_path_factory):
    """Runs a script in a Blender and returns its version; what it prints is shown when it fails."""
    folder = tmp_path_factory.mktemp("prompts")
    binary = shutil.which("blender")
    if request.param == "binary" and not binary:
        lacking("no blender binary on PATH")
    executable = binary if request.param == "binary" else request.getfixturevalue("blender").executable
    flags = ["-b", "--factory-startup", "--python-exit-code", "1", "--python"] if request.param == "binary" else ["-I"]

    def run_script(source):
        script = Path(folder) / "script.py"
        script.write_text(
            BEGIN.format(width=WIDTH, height=HEIGHT) + source + "\nprint('version', bpy.app.version_string)"
        )
        done = subprocess.run([executable, *flags, script], capture_output=True, text=True, timeout=60, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.search(r"^version (\S+)", done.stdout, re.M)[1]

    return run_script


@pytest.mark.blender
def test_a_ray_through_the_picture_meets_what_is_seen_there(run):
    run(blocks(SPACE) + SPACE_CHECK)


@pytest.mark.blender
def test_the_lathe_makes_closed_bodies_that_face_outwards(run):
    text = render("initialisation/generator.md", scope=["structure"], shows_reference=True)
    run(blocks(text) + LATHE_CHECK)


@pytest.mark.blender
def test_the_code_that_finds_a_node_and_its_socket_runs(run):
    run(blocks(render("shared/code.md", blender_version="4.5.15", dialect={})) + MATERIAL_CHECK)
