"""Clocks that are set, and machines that are suspended, change nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from box_helpers import eventually
from scripted_runs import ENVIRONMENT, SCRIPTED, start
from small_disk import QUICK, lines, status_of

from agent.farm.manifest import Row
from agent.farm.outcomes import outcome_of
from agent.runs import lease
from agent.runs.lease import Lease, RunHeld
from sandbox import remembered
from sandbox.folders import ROOT

pytestmark = pytest.mark.farm


@pytest.mark.blender
def test_a_clock_that_is_set_by_hours_again_and_again_changes_nothing(undisturbed, picture, tmp_path):
    folder, asked = tmp_path / "run", tmp_path / "asked"
    command = ("run", picture, "--out", folder, *QUICK, "--max-minutes", "5")
    killed = start(*command, asked=asked, CLOCK="5", KILL_AFTER="20")
    assert killed.returncode == -signal.SIGKILL
    ended = start("resume", folder, asked=asked, CLOCK="-7")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "scene.py").read_text() == (undisturbed / "run" / "scene.py").read_text()
    assert sorted(lines(asked)) == sorted(lines(undisturbed / "asked"))
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "accepted" and 0 < result["spent"]["minutes"] < 3
    assert 0 < status_of(folder)["elapsed_s"] < 180


def held_elsewhere(folder, age_s):
    """By a process of another machine, as lease.json lies there after so long, by the disk's clock."""
    with Lease(folder) as held:
        elsewhere = held.holder.model_copy(update={"space": "another machine", "host": "elsewhere"})
    (folder / "lease.json").write_text(elsewhere.model_dump_json())
    written = time.time() - age_s
    os.utime(folder / "lease.json", (written, written))


@pytest.mark.parametrize("age_s", [6 * 3600, -6 * 3600], ids=["set forward", "set back"])
def test_a_holder_that_only_the_disks_clock_makes_look_dead_is_not_taken_for_dead(age_s, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "WATCH_S", 3.0)
    held_elsewhere(tmp_path, age_s)
    beat = threading.Timer(1.0, os.utime, (tmp_path / "lease.json",))
    beat.start()
    with pytest.raises(RunHeld), Lease(tmp_path):
        pass
    beat.join()


@pytest.mark.parametrize("age_s", [6 * 3600, -6 * 3600], ids=["long ago", "before the clock was set back"])
def test_a_holder_that_died_is_taken_over_from_whatever_the_clock_says(age_s, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "WATCH_S", 1.0)
    held_elsewhere(tmp_path, age_s)
    with Lease(tmp_path) as taken:
        assert taken.holder.epoch == 2


def test_a_live_row_is_running_and_a_dead_one_lost_after_the_clock_was_set_back(tmp_path):
    row = Row(index=0, id="a", image=tmp_path / "a.png")
    (tmp_path / "journal.jsonl").touch()
    with Lease(tmp_path) as held:
        assert outcome_of(tmp_path, row).state == "running"
        future = held.holder.model_copy(update={"heartbeat": time.time() + 5 * 3600})
        dead = future.model_copy(update={"started": future.started + 1})  # the number is another process's by now
        for holder, state in ((future, "running"), (dead, "lost")):
            (tmp_path / "lease.json").write_text(holder.model_dump_json())
            assert outcome_of(tmp_path, row).state == state


def test_what_a_blender_could_not_do_once_is_asked_again_after_the_clock_was_set_back(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(remembered, "state_folder", lambda: tmp_path)
    monkeypatch.setattr(remembered, "readable_folders", lambda: [tmp_path])
    remembered.remember(tmp_path / "blender", [Path(__file__)], {"reason": "no"})
    (note,) = (tmp_path / "probes").iterdir()
    entry = json.loads(note.read_text())
    note.write_text(json.dumps({**entry, "at": entry["at"] + 5 * 3600}))
    assert remembered.recall(tmp_path / "blender")["age_s"] > 4 * 3600


@pytest.mark.blender
def test_a_run_that_is_suspended_with_all_its_processes_goes_on(undisturbed, picture, tmp_path):
    folder, asked = tmp_path / "run", tmp_path / "asked"
    command = [sys.executable, str(SCRIPTED), "run", str(picture), "--out", str(folder), *QUICK]
    environment = {**ENVIRONMENT, "ASKED": str(asked)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for calls in (2, 6, 9):
            eventually(lambda calls=calls: len(lines(asked)) >= calls or process.poll() is not None, 60)
            whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for one in whole:
                    with contextlib.suppress(psutil.Error):
                        one.send_signal(number)
                time.sleep(3)
        assert process.wait(100) == 0
    assert (folder / "scene.py").read_text() == (undisturbed / "run" / "scene.py").read_text()
    assert sorted(lines(asked)) == sorted(lines(undisturbed / "asked"))


WALL_CLOCK = {
    "agent/console.py", "agent/experiments/command.py", "agent/farm/batch.py", "agent/farm/outcomes.py",
    "agent/models/claude_failures.py", "agent/runs/budget.py", "agent/runs/folder.py", "agent/runs/journal.py",
    "agent/runs/lease.py", "sandbox/confinement/canaries.py", "sandbox/remembered.py", "sandbox/scratch.py",
}  # fmt: skip
"""What reads it: to say when something was; names; ages that may be wrong (above, and those of what killed processes
left); a service's own dates."""


def test_nothing_else_goes_by_the_wall_clock():
    files = [path for top in ("agent", "sandbox", "protocol", "blender_server") for path in (ROOT / top).rglob("*.py")]
    reads = {str(path.relative_to(ROOT)) for path in files if "time.time()" in path.read_text(encoding="utf-8")}
    assert reads == WALL_CLOCK
