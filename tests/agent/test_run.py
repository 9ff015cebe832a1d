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
from needs import lacking
from PIL import Image
from scripted_runs import ENVIRONMENT, SCRIPTED, draw_box, entries, start

from agent.delivery import Result
from agent.last_screen import last_screen
from agent.runs.folder import RunFolder

pytestmark = pytest.mark.blender


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return draw_box(tmp_path_factory.mktemp("picture") / "box.png")


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
        assert "belongs to another run" in ended.stderr and f"make resume OUT={folder}" in ended.stderr
        what = "image" if arguments[0] == other else "settings"
        assert f"({what} differs)" in ended.stderr


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
    command = [sys.executable, "-m", "agent", "run", str(picture), "--out", str(folder)]
    ended = subprocess.run(
        [*command, "--blender", "wheel", "--recording", str(whole)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "scene.py").read_text() == (whole / "scene.py").read_text()


@pytest.mark.timeout(300)
def test_a_budget_ends_the_run_with_the_best_scene_so_far_and_a_larger_one_lets_it_go_on(finished, picture, tmp_path):
    folder, asked = tmp_path / "stopped", tmp_path / "asked"
    arguments = ("run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel")
    ended = start(*arguments, "--max-calls", "7", asked=asked)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["spent"]["calls"]) == ("budget_stopped", 7)
    assert "7 calls" in result["stopped_by"]
    assert result["proof"]["outcome"] == "identical"
    go_on = f"make resume OUT={folder} ARGS='--max-calls 14'"
    assert go_on in ended.stdout

    for again in (("resume", folder), (*arguments, "--max-calls", "7")):
        ended = start(*again, asked=tmp_path / "nothing")
        assert ended.returncode == 0 and "budget_stopped" in ended.stdout and go_on in ended.stdout
    assert json.loads((folder / "result.json").read_text()) == result
    assert not (tmp_path / "nothing").exists()

    ended = start("resume", folder, "--max-calls", "9", asked=asked)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "9 calls" in json.loads((folder / "result.json").read_text())["stopped_by"]
    ended = start(*arguments, asked=asked)  # into the same folder, with the ordinary budget
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((folder / "result.json").read_text())["status"] == "accepted"
    assert (folder / "scene.py").read_text() == (finished[0] / "scene.py").read_text()
    keys = asked.read_text().splitlines()
    assert len(keys) == len(set(keys)) == len((finished[0] / "ledger.jsonl").read_text().splitlines())


def test_a_budget_too_small_for_any_scene_exits_10_until_it_is_raised(blender, picture, tmp_path):
    folder = tmp_path / "none"
    arguments = ("--preset", "quick", "--blender", "wheel", "--max-calls", "1")
    ended = start("run", picture, "--out", folder, *arguments, asked=tmp_path / "a")
    assert ended.returncode == 10, ended.stdout + ended.stderr
    assert "1 calls" in ended.stderr and f"make resume OUT={folder} ARGS='--max-calls 2'" in ended.stderr
    failed = entries(folder)[-1]
    assert (failed["event"], failed["kind"], failed["exit_code"]) == ("failed", "BudgetExhausted", 10)
    assert start("resume", folder, asked=tmp_path / "nothing").returncode == 10
    assert not (tmp_path / "nothing").exists()

    killed = start("resume", folder, "--max-calls", "7", asked=tmp_path / "a", KILL_AFTER="3")
    assert killed.returncode == -signal.SIGKILL
    ended = start("resume", folder, asked=tmp_path / "a")  # under the budget that it was last given
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((folder / "result.json").read_text())["spent"]["calls"] == 7


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "copied")


@pytest.mark.parametrize("name", ["scene.blend", "scene.py"])
def test_what_a_finished_run_lost_is_missed_by_verify_and_written_again_by_resume(copied, tmp_path, name):
    before = (copied / name).read_bytes()
    (copied / name).unlink()
    ended = start("verify", copied, asked=tmp_path / "a")
    assert ended.returncode == 65
    assert (
        f"{copied / name} cannot be read: no such file" in ended.stderr and f"make resume OUT={copied}" in ended.stderr
    )
    ended = start("resume", copied, asked=tmp_path / "a")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (copied / name).read_bytes() == before
    assert not (tmp_path / "a").exists()


def test_verify_needs_to_write_nothing_into_the_run(copied, tmp_path):
    command = [sys.executable, "-m", "agent", "verify", str(copied)]
    if os.getuid() == 0:
        if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
            lacking("root that may make a mount namespace")
        read_only = f'mount --bind "{copied}" "{copied}"; mount -o remount,ro,bind "{copied}"; exec "$@"'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", read_only, "sh", *command]
    before = sorted(copied.rglob("*"))
    for folder in (copied, *(one for one in before if one.is_dir())):
        folder.chmod(0o555)
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=110)
    for folder in (copied, *(one for one in before if one.is_dir())):
        folder.chmod(0o755)
    assert ended.returncode == 0, ended.stderr
    assert "rebuild identical" in ended.stdout
    assert sorted(copied.rglob("*")) == before


def test_a_damaged_record_is_told_and_only_that_step_is_asked_again(copied, tmp_path):
    (copied / "result.json").unlink()
    lines = (copied / "journal.jsonl").read_text().splitlines(keepends=True)
    (copied / "journal.jsonl").write_text("".join(_with_first_reply_damaged(lines)))
    ended = start("resume", copied, asked=tmp_path / "a")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 step of the record was damaged and is done again" in ended.stdout
    assert len((tmp_path / "a").read_text().splitlines()) == 1


def _with_first_reply_damaged(lines):
    number = next(number for number, line in enumerate(lines) if '"event": "step", "key": "reply/' in line)
    return [*lines[:number], "{garbage\n", *lines[number + 1 :]]


def test_fresh_says_where_the_old_run_is_now(copied, picture, tmp_path):
    arguments = ("run", picture, "--out", copied, "--preset", "quick", "--blender", "wheel", "--fresh")
    ended = start(*arguments, asked=tmp_path / "a", KILL_AFTER="1")
    said = next(
        line for line in ended.stdout.splitlines() if line.startswith(f"The run that was in {copied} is now in ")
    )
    assert (Path(said.rpartition(" ")[2]) / "result.json").exists()


def test_a_finished_run_says_so_in_its_status(finished):
    status = json.loads((finished[0] / "status.json").read_text())
    assert (status["state"], status["where"], status["percent"]) == ("finished", "finished", 100)


@pytest.mark.parametrize(("db", "said"), [(-70.53, "70.53 dB under a flat"), (3.2, "3.20 dB over a flat")])
def test_the_last_screen_says_whether_the_scene_is_over_or_under_a_flat_picture(finished, db, said):
    result = Result.model_validate_json((finished[0] / "result.json").read_bytes())
    assert said in last_screen(RunFolder(finished[0]), result.model_copy(update={"above_flat_db": db}))


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
    assert (folder / "scene.py").read_text() == (whole / "scene.py").read_text()
    keys = asked.read_text().splitlines()
    assert len(keys) == len(set(keys)), "a stored reply was asked for again"
    booked = [json.loads(line)["key"] for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert {f"reply/{key}" for key in keys} <= set(booked)
    assert not _blenders_of(folder)


def test_a_call_that_a_kill_cut_off_is_asked_again_once_and_booked_at_its_worst(blender, picture, tmp_path):
    folder, asked = tmp_path / "cut", tmp_path / "asked"
    arguments = ("run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel")
    assert start(*arguments, asked=asked, KILL_IN_CALL="4").returncode == -signal.SIGKILL
    assert start("resume", folder, asked=asked, KILL_AFTER="2").returncode == -signal.SIGKILL
    ended = start("resume", folder, "--max-calls", "6", asked=asked)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert [line["usd"] for line in lines] == [0.01] * 3 + [0.5] + [0.01] * 2, "booked once, however often resumed"
    assert len(asked.read_text().splitlines()) == 5, "three before, the fourth again, the fifth"
    assert [one["event"] for one in entries(folder)].count("lost") == 1


def test_a_reply_that_a_kill_left_unbooked_is_booked_when_the_run_goes_on(blender, picture, tmp_path):
    folder, asked = tmp_path / "unbooked", tmp_path / "asked"
    arguments = ("run", picture, "--out", folder, "--preset", "quick", "--blender", "wheel")
    assert start(*arguments, asked=asked, KILL_IN_CALL="4").returncode == -signal.SIGKILL
    ledger = folder / "ledger.jsonl"
    before = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(before[:2]))  # as if killed between storing the third reply and booking it
    assert start("resume", folder, asked=asked, KILL_AFTER="3").returncode == -signal.SIGKILL
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["usd"] for line in lines] == [0.01] * 3 + [0.5]
    third = json.loads(before[2])
    assert {name: lines[2][name] for name in ("key", "place", "tokens", "answered")} == {
        name: third[name] for name in ("key", "place", "tokens", "answered")
    }


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
    folder = tmp_path / "unfinished"
    shutil.copytree(finished[0], folder)
    (folder / "result.json").unlink()
    with RunFolder(folder).lease():
        ended = start("resume", folder, "--blender", "wheel", asked=tmp_path / "a")
    assert ended.returncode == 75
    assert "being worked on" in ended.stderr


def _blenders_of(folder):
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]
