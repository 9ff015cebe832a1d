"""What days bring: disks that fill, clocks that are set, snapshots and logs that pile up. Real disks, real Blenders."""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from box_helpers import Editor, eventually
from fake_blender import adding, fake
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from needs import lacking
from scripted_runs import ENVIRONMENT, SCRIPTED, draw_box, entries, start

from agent import opening
from agent.farm.manifest import Row
from agent.farm.outcomes import outcome_of
from agent.runs import lease
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal, read_journal
from agent.runs.keeping import spare_snapshots
from agent.runs.lease import Lease, RunHeld
from protocol.models import FingerprintReply
from sandbox import logs, remembered
from sandbox.folders import ROOT
from sandbox.limits import GIB, Limits
from sandbox.pool import Pool
from sandbox.snapshots import PROOF, Edit, SnapshotStore

pytestmark = pytest.mark.farm

QUICK = ("--preset", "quick", "--blender", "wheel", "--rollouts", "1")
MIB = 1 << 20


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return draw_box(tmp_path_factory.mktemp("picture") / "box.png")


@pytest.fixture(scope="module")
def undisturbed(blender, picture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    ended = start("run", picture, "--out", folder / "run", *QUICK, asked=folder / "asked")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture
def short_path():
    """A folder that may be TMPDIR: a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as folder:
        yield Path(folder)


def settings(folder, **disk):
    file = folder / "settings.toml"
    file.write_text("[disk]\n" + "".join(f"{name} = {value}\n" for name, value in disk.items()))
    return file


class Mounted:
    """A command of ours with a small disk of its own, which is seen, filled and freed through /proc."""

    def __init__(self, process, place, ended, said):
        self.inside = Path(f"/proc/{process.pid}/root{place}")
        self._ended, self._said = ended, said

    def said(self):
        return self._said.read_text()

    def fill(self):
        with open(self.inside / "filler", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(64 << 10))

    def free(self):
        (self.inside / "filler").unlink()

    def comes_to(self, condition, patience_s=60):
        """Wait for what happens while the command works."""
        eventually(lambda: self.exit_code() is not None or condition(), patience_s)
        assert self.exit_code() is None, self.said()

    def exit_code(self):
        return int(self._ended.read_text() or -1) if self._ended.exists() else None

    def ends(self, patience_s=100):
        eventually(lambda: self.exit_code() is not None, patience_s)
        return self.exit_code()


@contextmanager
def on_a_small_disk(folder, size_mib, *arguments, disk, **environment):
    """The command line with a scripted model, and a tmpfs at `disk` that it alone sees."""
    if os.getuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lacking("root that may make a mount namespace")
    disk.mkdir(exist_ok=True)
    ended, said = folder / f"ended-{time.monotonic_ns()}", folder / "said"
    script = f'mount -t tmpfs -o size={size_mib}m tmpfs "{disk}"; "$@" </dev/null; echo $? >"{ended}"; read _'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, str(SCRIPTED), *map(str, arguments)]
    with open(said, "wb") as output:
        process = subprocess.Popen(
            command,
            env={**ENVIRONMENT, **environment},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Mounted(process, disk, ended, said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.wait()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def status_of(run):
    try:
        return json.loads((run / "status.json").read_text())
    except OSError:
        return {}


# ── a disk that fills ─────────────────────────────────────────────────────────────────────────────────────────────────
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
    ledger.book(place, "m", Usage(input_tokens=5, usd=1.0), 1.0)
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


# ── snapshots that pile up ────────────────────────────────────────────────────────────────────────────────────────────
PRINT = FingerprintReply(factors={}, topology={}, objects={})


class Walk:
    """A run's way through its stages, as its journal and its store see it; it knows itself what it may need."""

    def __init__(self, folder, data):
        self.store, self.data = SnapshotStore(folder / "snapshots"), data
        self.journal = Journal(folder)
        self.path = folder / "journal.jsonl"
        self.edits, self.steps = 0, 0
        self.accepted, self.ends, self.given_up = set(), set(), set()

    def draw(self, *choices):
        return self.data.draw(st.sampled_from(choices))

    def note(self, key, value):
        self.journal.note("step", key=key, value=value)

    def commit(self, head, stage):
        self.edits += 1
        edit = Edit(index=self.edits, label="e", stage=stage, round=1, source="1", seed=1)
        with self.store.draft("4.5.0") as draft:
            draft.path.write_bytes(b"BLENDER-v405" + bytes(self.edits % 7))
            draft.check()
            return draft.adopt(head and head.id, edit if head else None, PRINT)

    def tool(self, rollout, stage, head):
        self.steps += 1
        self.note(f"tool/{rollout}/{stage}/1/generator/{self.steps}/0/d", {"head": head.id})

    def rounds(self, head, stage, rollout=-1):
        """Edits, reverts and attempts; where the stage ends up, and all that it came by."""
        start, seen = head, [head]
        for _ in range(self.data.draw(st.integers(0, 5))):
            what = self.draw("edit", "edit", "revert", "attempt", "look")
            if what == "edit":
                head = self.commit(head, stage)
                seen.append(head)
            elif what == "revert":
                head = self.draw(*seen)
            if what == "attempt":
                self.note(f"attempt/{head.id}", {"snapshot_id": head.id})
            else:
                self.tool(rollout, stage, head)
            if what == "look":
                self.needs_all_of(seen)
        return self.draw(start, *seen), seen

    def needs_all_of(self, seen):
        """In the middle of a stage, when the disk is full, whatever was seen in it may be gone back to."""
        self.store.prune(lambda: False)
        assert all(self.store.path(one.id).exists() for one in seen)

    def conclude(self, head, stage):
        for _ in range(self.draw(0, 1)):
            self.commit(self.root, PROOF)
        self.note(f"stage/{stage}/{head.id}", {"snapshot_id": head.id})
        self.accepted.add(head.id)
        self.store.can_spare(spare_snapshots(read_journal(self.path), self.store))
        if self.draw(True, False):
            self.store.prune(lambda: False)
            self.agrees()

    def agrees(self):
        """Nothing that is needed is gone, and nothing else is left."""
        needed = {one.id for id in self.accepted for one in self.store.ancestry(id)} | self.ends | self.given_up
        assert self.store.ids() == needed

    def go(self):
        self.root = self.commit(None, "")
        begun = self.commit(self.root, "initialisation")
        self.note("begin", {"id": begun.id})
        self.accepted.add(begun.id)
        ends = [self.rollout(begun, number) for number in range(self.data.draw(st.integers(1, 3)))]
        ends = [one for one in ends if one is not None]
        if not ends:
            return
        head = self.draw(*ends)
        self.conclude(head, "initialisation")
        if self.draw(True, False):
            aligned = self.commit(head, "alignment")
            self.note(f"align/{head.id}", {"head": aligned.id})
            self.accepted.add(aligned.id)
            head = aligned
        for stage in ("geometry", "material", "geometry, again"):
            head, _ = self.rounds(head, stage)
            self.conclude(head, stage)
        self.journal.note("result", result={"snapshot": head.id})
        self.store.prune(lambda: False)

    def rollout(self, begun, number):
        head, seen = self.rounds(begun, "initialisation", number)
        if head is not begun and self.draw(True, True, False):
            self.note(f"side/{head.id}", {"png": ""})
            self.ends.add(head.id)
            return head
        self.given_up |= {one.id for one in seen}  # for it is tried again
        return None


@settings_of(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_way_a_run_goes_nothing_that_it_may_need_is_removed_and_all_else_is(tmp_path_factory, data):
    Walk(tmp_path_factory.mktemp("walk"), data).go()


def tint(color):
    node = 'bpy.data.materials["Box"].node_tree.nodes["Principled BSDF"]'
    code = f'import bpy\n{node}.inputs["Base Color"].default_value[1] = {color}'
    return ("run_code", {"purpose": "tint", "code": code})


WAVERING = [["material", "generator", [tint(0.3), ("look", {}), ("revert", {"to": "start"}), tint(0.2), tint(0.1),
                                       ("revert", {"to": "s2"}), tint(0.15)]]]  # fmt: skip


@pytest.fixture(scope="module")
def pruned(blender, picture, tmp_path_factory):
    """Two runs that are the same but for the bound of one, with what each asked."""
    folder = tmp_path_factory.mktemp("pruned")
    for name, bound in (("whole", 8192), ("bounded", 1)):
        file = folder / f"{name}.toml"
        file.write_text(f"prove_stages = true\n[disk]\nsnapshots_mib = {bound}\n")
        command = ("run", picture, "--out", folder / name, "--config", file, *QUICK)
        ended = start(*command, asked=folder / f"{name}-asked", SCRIPT=json.dumps(WAVERING))
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def files_of(run):
    return {path.stem for path in (run / "snapshots").glob("*.blend")}


def manifests_of(run):
    return {path.stem for path in (run / "snapshots").glob("*.json")}


@pytest.mark.blender
def test_a_run_whose_snapshots_are_bounded_comes_to_the_same_and_keeps_what_was_accepted(pruned):
    whole, bounded = pruned / "whole", pruned / "bounded"
    assert (bounded / "scene.py").read_text() == (whole / "scene.py").read_text()
    assert lines(pruned / "bounded-asked") == lines(pruned / "whole-asked")
    assert files_of(whole) == manifests_of(whole)
    assert files_of(bounded) < manifests_of(bounded)
    store, result = SnapshotStore(bounded / "snapshots"), json.loads((bounded / "result.json").read_text())
    accepted = [
        entry["value"]["snapshot_id"] for entry in entries(bounded) if entry.get("key", "").startswith("stage/")
    ]
    for id in (*accepted, result["snapshot"]):
        assert all(store.verify(one.id) for one in store.ancestry(id))
    assert sum(entry["files"] for entry in entries(bounded) if entry["event"] == "pruned") > 3
    ended = start("verify", bounded, asked=pruned / "nothing")
    assert ended.returncode == 0 and "identical" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.blender
def test_a_bounded_run_is_gone_on_with_from_each_of_its_stages(pruned, tmp_path):
    for stage in ("geometry", "material", "lighting", "camera"):
        new, asked = tmp_path / stage, tmp_path / f"{stage}-asked"
        command = ("resume", pruned / "bounded", "--from-stage", stage, "--out", new)
        ended = start(*command, asked=asked, SCRIPT=json.dumps(WAVERING))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert (new / "scene.py").read_text() == (pruned / "whole" / "scene.py").read_text()


@pytest.mark.blender
@pytest.mark.parametrize("how", [{"KILL_AFTER_REMOVAL": "1"}, {"KILL_AFTER_REMOVAL": "2"}, {"KILL_AFTER": "5"}],
                         ids=["in its pruning", "later in its pruning", "anywhere"])  # fmt: skip
def test_a_bounded_run_that_is_killed_goes_on_and_asks_nothing_twice(how, pruned, picture, tmp_path):
    folder, asked, script = tmp_path / "run", tmp_path / "asked", json.dumps(WAVERING)
    command = ("run", picture, "--out", folder, "--config", pruned / "bounded.toml", *QUICK)
    killed = [start(*command, asked=asked, SCRIPT=script, **how).returncode]
    while killed[-1] == -signal.SIGKILL and len(killed) < 30:
        more = {name: str(int(count) + len(killed) % 3 * 4) for name, count in how.items()}
        killed.append(start("resume", folder, asked=asked, SCRIPT=script, **more).returncode)
    assert killed[-1] == 0 and len(killed) > 1
    assert sorted(lines(asked)) == sorted(lines(pruned / "whole-asked"))
    assert (folder / "scene.py").read_text() == (pruned / "whole" / "scene.py").read_text()


@pytest.mark.blender
def test_a_scene_that_was_removed_and_is_asked_for_all_the_same_is_refused_in_words(pruned, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(pruned / "bounded", copied)
    said = (copied / "journal.jsonl").read_text().splitlines(keepends=True)
    looks = [line for line in said if '"tool": "look"' in line and "/material/" in line]
    assert len(looks) == 1 and json.loads(looks[0])["value"]["head"] not in files_of(copied)
    (copied / "journal.jsonl").write_text("".join(line for line in said if line not in looks))  # so it is done again
    (copied / "result.json").unlink()
    ended = start("resume", copied, asked=tmp_path / "asked", SCRIPT=json.dumps(WAVERING))
    assert ended.returncode == 70, ended.stdout + ended.stderr
    assert "was removed to make room" in ended.stderr and "--from-stage" in ended.stderr
    assert "Traceback" not in ended.stderr


# ── clocks that are set ───────────────────────────────────────────────────────────────────────────────────────────────
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
    "agent/console.py", "agent/farm/batch.py", "agent/farm/outcomes.py", "agent/models/claude_failures.py",
    "agent/runs/budget.py", "agent/runs/folder.py", "agent/runs/journal.py", "agent/runs/lease.py",
    "sandbox/remembered.py",
}  # fmt: skip
"""What reads it: to say when something was; names; ages that may be wrong (above); a service's own dates."""


def test_nothing_else_goes_by_the_wall_clock():
    files = [path for top in ("agent", "sandbox", "protocol", "blender_server") for path in (ROOT / top).rglob("*.py")]
    reads = {str(path.relative_to(ROOT)) for path in files if "time.time()" in path.read_text(encoding="utf-8")}
    assert reads == WALL_CLOCK


# ── logs that pile up ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_of_hundreds_of_blenders_the_newest_logs_and_those_of_lost_ones_are_kept(tmp_path):
    for number in range(300):
        for kind in ("log", "nanny.log"):
            (tmp_path / f"blender-1-{number}.{kind}").write_text("x")
        if number % 3 == 0:
            logs.mark_lost(tmp_path / f"blender-1-{number}.log")
        logs.bound(tmp_path, {"blender-1-1"})
    names = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    lost = {f"blender-1-{number}-lost" for number in range(300) if number % 3 == 0}
    others = [f"blender-1-{number}" for number in range(300) if number % 3]
    assert names == {*sorted(lost, key=lambda name: int(name.split("-")[2]))[-40:], *others[-40:], "blender-1-1"}
    assert len(list(tmp_path.iterdir())) == 2 * 81


def test_what_logs_hold_is_bounded_in_bytes_too_the_lost_ones_first(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "KEPT_BYTES", 1000)
    for number in range(10):
        (tmp_path / f"blender-1-{number}.log").write_bytes(bytes(300))
        os.utime(tmp_path / f"blender-1-{number}.log", (number, number))
    logs.mark_lost(tmp_path / "blender-1-0.log")
    logs.bound(tmp_path, set())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "blender-1-0-lost.log",
        "blender-1-8.log",
        "blender-1-9.log",
    ]


def test_a_log_that_has_grown_too_large_keeps_its_end(tmp_path):
    log = tmp_path / "a.out"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    logs.keep_end(log, 20_000)
    assert len(log.read_text().splitlines()) == 1000
    logs.keep_end(log, 2000)
    kept = log.read_text().splitlines()
    assert kept[-1] == "line 999" and kept[0] == f"line {1000 - len(kept)}" and len(log.read_text()) <= 1000


def test_the_log_of_a_blender_that_was_lost_is_told_from_the_others(tmp_path):
    store, limits = SnapshotStore(tmp_path / "snapshots"), Limits(memory_bytes=GIB, boot_s=20)
    with Pool(fake(tmp_path), limits, store, tmp_path / "logs") as pool, pool.session() as scene:
        edit = Editor(scene)
        assert edit(adding("Box")).kind == "committed"
        assert edit("import os; os._exit(1)").kind == "exited"
        assert edit(adding("Lid")).kind == "committed"
    lost = [path.name for path in (tmp_path / "logs").iterdir() if "-lost." in path.name]
    assert sorted(name.partition(".")[2] for name in lost) == ["log", "nanny.log"]


def test_what_a_run_notes_of_itself_in_detail_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LOG_BYTES", 1000)
    folder = RunFolder(tmp_path)
    folder.prepare()
    with opening._log(folder):
        for number in range(200):
            logging.getLogger("days").info("line %d of many", number)
    assert "line 199 of many" in (tmp_path / "logs" / "agent.log").read_text()
    assert sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) <= 4 * 1000
