"""Snapshots that pile up are let go of, but for those that something may still need."""

import json
import shutil
import signal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from scripted_runs import entries, start
from small_disk import QUICK, lines

from agent.runs.journal import Journal, read_journal
from agent.runs.keeping import spare_snapshots
from protocol.models import FingerprintReply
from sandbox.snapshots import PROOF, Edit, SnapshotStore

pytestmark = pytest.mark.farm


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
        self.store.prune(lambda freed: False)
        assert all(self.store.path(one.id).exists() for one in seen)

    def conclude(self, head, stage):
        for _ in range(self.draw(0, 1)):
            self.commit(self.root, PROOF)
        self.note(f"stage/{stage}/{head.id}", {"snapshot_id": head.id})
        self.accepted.add(head.id)
        self.store.can_spare(spare_snapshots(read_journal(self.path), self.store))
        if self.draw(True, False):
            self.store.prune(lambda freed: False)
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
        self.store.prune(lambda freed: False)

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
