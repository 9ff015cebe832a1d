"""Tickets reopen earlier stages once, in their own scope, and what comes of it is kept only if nothing got worse."""

import json
import subprocess

import pytest
from scripted_runs import draw_box, start

pytestmark = pytest.mark.blender


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return draw_box(tmp_path_factory.mktemp("picture") / "box.png")


FILED = {
    "items": [],
    "critique": "",
    "decision": "approve",
    "tickets": [{"stage": "material", "text": "Box: the colour should be #b41e1e"}],
}
DONE = {"items": [{"id": 1, "text": "the colour", "satisfied": True}], "critique": "", "decision": "approve"}
COLOUR = (
    'import bpy\nbpy.data.materials["Box"].node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value'
    " = ({}, 1)"
)


def script(colour):
    return [
        ["lighting", "verifier", [["verdict", FILED]]],
        ["material_again", "verifier", [["verdict", DONE]]],
        ["material_again", "generator", [["run_code", {"purpose": "the ticket", "code": COLOUR.format(colour)}]]],
    ]


def run_with(tmp_path, picture, colour):
    folder = tmp_path / "run"
    ended = start(
        "run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel", "--stages", "material,lighting",
        asked=tmp_path / "asked", SCRIPT=json.dumps(script(colour)), TOLD=str(tmp_path / "told"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended


def base_colour(folder, blender):
    look = (
        "import bpy, sys; bpy.ops.wm.open_mainfile(filepath=sys.argv[-1]); "
        "node = bpy.data.materials['Box'].node_tree.nodes['Principled BSDF']; "
        "print('RED', node.inputs['Base Color'].default_value[0])"
    )
    command = [str(blender.executable), "-I", "-c", look, str(folder / "scene.blend")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=True)
    return float(next(line for line in ended.stdout.splitlines() if line.startswith("RED")).split()[1])


def test_a_ticket_reopens_its_stage_and_a_gain_is_kept(blender, picture, tmp_path):
    folder, _ = run_with(tmp_path, picture, "0.456, 0.013, 0.013")
    result = json.loads((folder / "result.json").read_text())
    assert result["stages"] == ["initialisation", "material", "lighting", "material_again"]
    assert result["proof"]["outcome"] == "identical"
    assert base_colour(folder, blender) == pytest.approx(0.456)
    assert (folder / "stages" / "5_material_again" / "render.png").exists()
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    first = next(text for stage, role, text in told if (stage, role) == ("material_again", "generator"))
    assert "Box: the colour should be #b41e1e" in first


def test_what_got_worse_is_put_back(blender, picture, tmp_path):
    folder, ended = run_with(tmp_path, picture, "0.5, 0.25, 0.25")
    result = json.loads((folder / "result.json").read_text())
    assert "material_again" not in result["stages"]
    assert base_colour(folder, blender) == pytest.approx(0.5)
    assert "the scene stays as it was before them" in ended.stdout
