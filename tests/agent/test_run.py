"""A whole run with a scripted model and a real Blender: what it leaves behind, and that killing it loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageDraw

pytestmark = pytest.mark.blender

HERE = Path(__file__).resolve().parent
SCRIPTED = HERE.parent / "fakes" / "run_scripted.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{SCRIPTED.parent}"}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "box.png"
    image = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((30, 30, 66, 66), fill=(180, 30, 30, 255))
    image.save(path)
    return path


def start(*arguments, asked, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPTED), *map(str, arguments)],
        env={**ENVIRONMENT, "ASKED": str(asked), **environment},
        capture_output=True,
        text=True,
        timeout=110,
    )


def entries(folder):
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(blender, picture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    ended = start("run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel", asked=folder.parent / "a")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended


def test_a_run_leaves_scene_program_pictures_and_figures(finished):
    folder, _ = finished
    for name in ("scene.blend", "scene.py", "render.png", "comparison.png", "scene_graph.json", "metrics.json",
                 "result.json", "status.json", "journal.jsonl", "ledger.jsonl", "lease.json"):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name
    stages = ["1_initialisation", "2_geometry", "3_material", "4_composition", "5_lighting", "6_camera"]
    assert sorted(path.name for path in (folder / "stages").iterdir()) == stages
    for stage in stages:
        assert {"render.png", "scene.blend", "program.py", "checklist.json"} <= {
            path.name for path in (folder / "stages" / stage).iterdir()
        }
    with Image.open(folder / "render.png") as render:
        assert max(render.size) == 256


def test_the_result_says_status_score_proof_and_cost(finished):
    folder, _ = finished
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "accepted"
    assert result["proof"]["outcome"] == "identical"
    assert result["spent"]["calls"] == len((folder / "ledger.jsonl").read_text().splitlines())
    assert result["measures"]["iou"] > 0


def test_the_last_screen_says_where_the_scene_is_what_it_scored_and_whether_it_rebuilds(finished):
    folder, ended = finished
    assert str(folder / "scene.blend") in ended.stdout
    assert "PSNR" in ended.stdout and "rebuild    identical" in ended.stdout


def test_every_object_of_the_graph_is_in_the_scene(finished):
    folder, _ = finished
    graph = json.loads((folder / "scene_graph.json").read_text())
    manifest = max((folder / "snapshots").glob("*.json"), key=lambda path: path.stat().st_mtime)
    assert {node["name"] for node in graph["nodes"]} <= set(json.loads(manifest.read_text())["fingerprint"]["objects"])


def test_an_edit_that_changes_nothing_is_told_so_and_is_no_commit(finished):
    folder, _ = finished
    used = [one["value"] for one in entries(folder) if one.get("tool") == "run_code"]
    told = [json.loads(outcome["content"][0]["text"]) for outcome in used]
    assert [one["result"] for one in told] == ["committed", "committed", "no_change"]
    assert told[2]["printed"] == "2\n"
    assert [outcome["committed"] for outcome in used] == [True, True, False]
    assert used[2]["head"] == used[1]["head"]


def test_the_scene_opens_in_a_plain_blender_whole_and_without_scripts(finished, blender):
    folder, _ = finished
    look = (
        "import bpy, json, sys; bpy.ops.wm.open_mainfile(filepath=sys.argv[-1]); "
        "print('SEEN' + json.dumps({'objects': [one.name for one in bpy.data.objects], "
        "'scripts': len(bpy.data.texts), 'outside': [one.filepath for one in bpy.data.images if not one.packed_file], "
        "'libraries': len(bpy.data.libraries), 'size': bpy.context.scene.render.resolution_x}))"
    )
    command = [str(blender.executable), "-I", "-c", look, str(folder / "scene.blend")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=True)
    seen = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("SEEN"))[4:])
    graph = json.loads((folder / "scene_graph.json").read_text())
    assert {node["name"] for node in graph["nodes"]} <= set(seen["objects"])
    assert (seen["scripts"], seen["outside"], seen["libraries"], seen["size"]) == (0, [], 0, 256)


def test_a_finished_run_is_said_again_at_once_and_asks_nothing(finished, picture):
    folder, _ = finished
    asked = folder.parent / "again"
    again = start("run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel", asked=asked)
    assert again.returncode == 0 and not asked.exists()
    assert "rebuild    identical" in again.stdout


def test_another_picture_or_setting_does_not_enter_the_folder(finished, picture, tmp_path):
    folder, _ = finished
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64), (9, 90, 200)).save(other)
    for arguments in ([other, "--preset", "quick"], [picture, "--preset", "quick", "--seed", "5"], [picture]):
        ended = start("run", *arguments, "--out", folder, "--blender", "wheel", asked=tmp_path / "a")
        assert ended.returncode == 64, ended.stderr
        assert "belongs to another run" in ended.stderr


def test_verify_rebuilds_the_scene_and_finds_a_changed_program(finished, tmp_path):
    folder, _ = finished
    ended = start("verify", folder, "--json", asked=tmp_path / "a")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["outcome"] == "identical"
    program = (folder / "scene.py").read_text()
    afterwards = '    bpy.data.objects["Lid"].location.z = 1.5\n    if target:'
    for old, new in (("(0, 0, 1.05)", "(0, 0, 1.5)"), ("    if target:", afterwards)):
        assert old in program
        (folder / "scene.py").write_text(program.replace(old, new))
        try:
            ended = start("verify", folder, "--json", asked=tmp_path / "a")
            assert ended.returncode == 3
            assert any("Lid" in name for name in json.loads(ended.stdout)["names"])
        finally:
            (folder / "scene.py").write_text(program)


def test_a_recorded_run_replays_to_the_same_program_without_the_model(finished, picture, tmp_path):
    whole, folder = finished[0], tmp_path / "replayed"
    command = [sys.executable, "-m", "agent", "run", str(picture), "--out", str(folder), "--preset", "quick"]
    ended = subprocess.run(
        [*command, "--blender", "wheel", "--model", "recorded", "--recording", str(whole)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "scene.py").read_text().replace("replayed", "whole") == (whole / "scene.py").read_text()


def test_a_budget_ends_the_run_with_the_best_scene_so_far(blender, picture, tmp_path):
    folder = tmp_path / "stopped"
    arguments = ("--preset", "quick", "--blender", "wheel", "--max-calls", "7")
    ended = start("run", picture, "--out", folder, *arguments, asked=tmp_path / "a")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["spent"]["calls"]) == ("budget_stopped", 7)
    assert "7 calls" in result["stopped_by"]
    assert result["proof"]["outcome"] == "identical"


def test_a_budget_too_small_for_any_scene_exits_10(blender, picture, tmp_path):
    arguments = ("--preset", "quick", "--blender", "wheel", "--max-calls", "1")
    ended = start("run", picture, "--out", tmp_path / "none", *arguments, asked=tmp_path / "a")
    assert ended.returncode == 10, ended.stdout + ended.stderr
    assert "1 calls" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_many_moments_a_run_resumes_to_the_same_program_asking_nothing_twice(finished, picture, tmp_path):
    folder, asked = tmp_path / "killed", tmp_path / "asked"
    whole = finished[0]
    arguments = ("run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel")
    ended = start(*arguments, asked=asked, KILL_AFTER="2")
    moments = 1
    while ended.returncode == -signal.SIGKILL:
        assert moments < 60, "the run makes no progress"
        ended = start("resume", folder, "--blender", "wheel", asked=asked, KILL_AFTER=str(4 + 3 * moments % 7))
        moments += 1
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert moments > 5
    assert (folder / "scene.py").read_text().replace("killed", "whole") == (whole / "scene.py").read_text()
    keys = asked.read_text().splitlines()
    assert len(keys) == len(set(keys)), "a stored reply was asked for again"
    assert not _blenders_of(folder)


def test_a_signal_ends_the_run_within_seconds_resumable_and_leaves_no_process(blender, picture, tmp_path):
    folder = tmp_path / "stopped"
    command = [sys.executable, str(SCRIPTED), "run", str(picture), "--out", str(folder), "--preset", "quick"]
    environment = {**ENVIRONMENT, "ASKED": str(tmp_path / "a")}
    with subprocess.Popen([*command, "--blender", "wheel"], env=environment, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if b"geometry" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=6) == 75
    assert children
    _, alive = psutil.wait_procs(children, timeout=3)
    assert not alive
    assert not (folder / "result.json").exists()


def test_two_processes_do_not_work_in_one_run(finished, tmp_path):
    import fcntl

    folder = tmp_path / "unfinished"
    shutil.copytree(finished[0], folder)
    (folder / "result.json").unlink()
    with (folder / "lease.json").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = start("resume", folder, "--blender", "wheel", asked=tmp_path / "a")
    assert ended.returncode == 75
    assert "being worked on" in ended.stderr


def _blenders_of(folder):
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]
