"""A disk that fills makes a run wait: nothing is lost, nobody is asked, and it goes on once there is room."""

import os
import subprocess
import sys
import time

import pytest
from needs import lacking
from scripted_runs import ENVIRONMENT, start
from small_disk import QUICK, lines, on_a_small_disk, settings, status_of

pytestmark = pytest.mark.farm


@pytest.mark.blender
@pytest.mark.parametrize("which", ["of the run's folder", "of temporary files"])
def test_a_run_waits_while_a_disk_is_full_asks_nobody_and_goes_on_when_there_is_room(
    which, undisturbed, picture, tmp_path, short_path
):
    disk, asked, temporary = short_path, tmp_path / "asked", which == "of temporary files"
    out, more = (tmp_path / "run", {"TMPDIR": str(disk)}) if temporary else (disk / "run", {})
    config = settings(tmp_path, start_mib=32, least_mib=16)
    command = ("run", picture, "--out", out, "--config", config, *QUICK)
    with on_a_small_disk(tmp_path, 160, *command, disk=disk, ASKED=str(asked), **more) as mounted:
        run = tmp_path / "run" if temporary else mounted.inside / "run"
        mounted.comes_to(lambda: len(lines(asked)) >= 3)
        mounted.fill()
        mounted.comes_to(lambda: "the disk is full" in mounted.said())
        mounted.comes_to(lambda: "waiting for room" in str(status_of(run).get("waiting_for")))
        before = lines(asked)
        time.sleep(5)
        assert lines(asked) == before and mounted.exit_code() is None
        mounted.free()
        assert mounted.ends() == 0, mounted.said()
        assert (run / "scene.py").read_text() == (undisturbed / "run" / "scene.py").read_text()
        assert not list(run.rglob(".ballast")) and not list(run.rglob("*.part*"))
    text = mounted.said()
    assert text.count("the disk is full") == text.count("there is room again") == 1
    assert "16 MiB are needed" in text
    assert sorted(lines(asked)) == sorted(lines(undisturbed / "asked"))


@pytest.mark.blender
def test_a_run_that_has_waited_for_room_for_long_ends_with_75_and_is_resumed(undisturbed, picture, tmp_path):
    disk, asked = tmp_path / "disk", tmp_path / "asked"
    config = settings(tmp_path, start_mib=32, least_mib=16, wait_minutes=0.05)
    command = ("run", picture, "--out", disk / "run", "--config", config, *QUICK)
    with on_a_small_disk(tmp_path, 160, *command, disk=disk, ASKED=str(asked)) as mounted:
        mounted.comes_to(lambda: len(lines(asked)) >= 5)
        mounted.fill()
        assert mounted.ends() == 75, mounted.said()
        assert "for 0.05 minutes" in mounted.said() and "resume" in mounted.said()
        mounted.free()
        copied = tmp_path / "copied"
        subprocess.run(["cp", "-a", str(mounted.inside / "run"), str(copied)], check=True)
    ended = start("resume", copied, asked=asked)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert sorted(lines(asked)) == sorted(lines(undisturbed / "asked"))
    assert (copied / "scene.py").read_text() == (undisturbed / "run" / "scene.py").read_text()


def test_too_little_room_at_the_start_is_69_with_the_bytes_needed_and_free(blender, picture, tmp_path):
    disk = tmp_path / "disk"
    command = ("run", picture, "--out", disk / "run", *QUICK)
    with on_a_small_disk(tmp_path, 8, *command, disk=disk, ASKED=str(tmp_path / "asked")) as mounted:
        assert mounted.ends() == 69
        assert not (mounted.inside / "run" / "journal.jsonl").exists()
    assert "8,388,608 bytes of free space" in mounted.said() and "needs 268,435,456" in mounted.said()


PAID = """
import os, sys, threading, time
from pathlib import Path
from agent.config import Budget, Disk
from agent.console import Console
from agent.models.base import Place, Usage
from agent.runs.budget import Ledger
from agent.runs.journal import Journal
from agent.runs.room import Room
from protocol.models import Value

class Reply(Value):
    text: str
    png: bytes

folder, freed_after_s = Path(sys.argv[1]), float(sys.argv[2])
console = Console(stream=sys.stdout)
journal, ledger = Journal(folder), Ledger(folder / "ledger.jsonl", Budget())
place = Place(rollout=-1, stage="geometry", round=1, role="generator", ordinal=0)

def fill():
    with open(folder / "filler", "ab", buffering=0) as file:
        try:
            while file.write(bytes(1 << 14)):
                pass
        except OSError:
            pass

def ask(number):
    fill()  # while the model thinks
    if freed_after_s:
        (folder / ".ballast").unlink()  # and somebody took even what was kept for this
        fill()
        threading.Timer(freed_after_s, (folder / "filler").unlink).start()
    ledger.book("key", place, "m", Usage(input_tokens=5, usd=1.0), 1.0)
    return Reply(text="paid for", png=os.urandom(200_000))

with Room(folder, Disk(least_mib=1), console, ledger.leave_out) as room:
    journal.room = ledger.room = room
    journal.step("reply/1", Reply, lambda: ask(1))
    print("KEPT", sum(1 for line in open(folder / "ledger.jsonl")), flush=True)
again = Journal(folder).step("reply/1", Reply, lambda: 1 / 0)
print("KNOWN", again.text, ledger.spent().minutes < 0.05)
"""


@pytest.mark.parametrize("freed_after_s", [0, 3], ids=["in the room kept for it", "once there is some again"])
def test_a_reply_that_was_paid_for_is_kept_though_the_disk_has_filled_meanwhile(freed_after_s, tmp_path):
    if os.getuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lacking("root that may make a mount namespace")
    command = 'mount -t tmpfs -o size=16m tmpfs "$1" && exec "$0" -c "$3" "$1" "$2"'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, sys.executable, str(tmp_path), str(freed_after_s), PAID],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "KEPT 1\nKNOWN paid for True" in ended.stdout.replace("KEPT 1\n[", "["), ended.stdout + ended.stderr
    assert ("the disk is full" in ended.stdout) == bool(freed_after_s)
