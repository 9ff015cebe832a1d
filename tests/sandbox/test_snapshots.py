import os
import subprocess
import sys

import pytest

from protocol.models import FingerprintReply
from sandbox.blend_file import NoBlendFile, version_of
from sandbox.snapshots import Edit, SnapshotStore, SnapshotUnfit

BLEND = b"BLENDER-v405" + bytes(200)
PRINT = FingerprintReply(factors={"camera": {"object:Camera": "1"}}, topology={}, objects={"Camera": "CAMERA"})
EDIT = Edit(index=1, label="e1", stage="geometry", round=1, source="1", seed=7)


def filled(draft, data=BLEND):
    draft.path.write_bytes(data)
    draft.check()


def keep(store, parent=None, edit=None, data=BLEND):
    with store.draft("4.5.1") as draft:
        filled(draft, data)
        return draft.adopt(parent, edit, PRINT)


def test_a_snapshot_is_found_again_by_another_process(store):
    root = keep(store)
    child = keep(store, root.id, EDIT)
    again = SnapshotStore(store.folder)
    assert again.get(child.id) == child and again.ancestry(child.id) == [root, child]
    assert again.fingerprint(child.id) == PRINT
    assert again.path(child.id).read_bytes() == BLEND and child.bytes == len(BLEND)


def test_a_fingerprint_counts_only_for_the_blender_that_took_it_and_each_is_kept(store):
    root = keep(store)
    other = FingerprintReply(factors={"camera": {"object:Camera": "2"}}, topology={}, objects={"Camera": "CAMERA"})
    assert store.fingerprint(root.id, "5.0.1") is None and not store.is_read(root.id, "5.0.1")
    store.renew(root.id, "5.0.1", other)
    again = SnapshotStore(store.folder)
    assert again.fingerprint(root.id, "5.0.1") == other and again.fingerprint(root.id, "4.5.1") == PRINT
    assert again.fingerprint(root.id, "5.2.3") is None


def test_a_newer_blenders_snapshot_stands_in_for_an_older_ones_there_alone(store):
    root = keep(store)
    with store.draft("5.0.1") as draft:
        filled(draft, b"BLENDER17-01v0500" + bytes(200))
        rebuilt = draft.adopt(None, EDIT, PRINT.model_copy(update={"objects": {}}))
    store.let_stand_in(root.id, rebuilt)
    store.renew(root.id, "5.0.1", PRINT)
    again = SnapshotStore(store.folder)
    assert (again.stand_in(root.id, "5.0.1"), again.stand_in(root.id, "4.5.1")) == (rebuilt.id, None)
    assert again.get(root.id) == root and again.path(root.id).read_bytes() == BLEND


def test_the_same_file_from_another_edit_is_another_snapshot(store):
    root = keep(store)
    child = keep(store, root.id, EDIT)
    other = keep(store, root.id, EDIT.model_copy(update={"index": 2}))
    assert len({root.id, child.id, other.id}) == 3 and root.sha256 == child.sha256 == other.sha256


def test_adopting_the_same_twice_is_one_snapshot(store):
    assert keep(store) == keep(store)
    assert len(list(store.folder.iterdir())) == 2


def test_a_draft_that_is_not_adopted_leaves_nothing(store):
    with store.draft("4.5.1") as draft:
        filled(draft)
        assert draft.path.exists()
    assert not list(store.folder.iterdir())


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (b"BLENDER-v304", (3, 4)),
        (b"BLENDER_V293", (2, 93)),
        (b"BLENDER17-01v0500", (5, 0)),
        (b"BLENDER17-01v0502", (5, 2)),
    ],
)
def test_the_header_tells_which_blender_wrote_a_file(header, version):
    assert version_of(header) == version


@pytest.mark.parametrize(
    "header", [b"", b"BLEND", b"PK\x03\x04", b"BLENDERxv405", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"]
)
def test_what_is_no_plain_blend_file_is_refused(header, store, tmp_path):
    with pytest.raises(NoBlendFile):
        version_of(header)
    with pytest.raises(SnapshotUnfit, match="cannot be used"):
        keep(store, data=header)


def test_a_newer_blenders_file_is_refused(store):
    with pytest.raises(SnapshotUnfit, match=r"Blender 5\.0, newer than 4\.5\.1"):
        keep(store, data=b"BLENDER17-01v0500")


@pytest.mark.parametrize("id", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_what_is_no_id_never_becomes_a_path(store, id):
    with pytest.raises(SnapshotUnfit):
        store.path(id)
    with pytest.raises(SnapshotUnfit):
        store.get(id)


def test_a_file_without_a_manifest_was_never_accepted(store):
    snapshot = keep(store)
    (store.folder / f"{snapshot.id}.json").unlink()
    with pytest.raises(SnapshotUnfit, match="there is no snapshot"):
        SnapshotStore(store.folder).get(snapshot.id)


def test_a_changed_or_lost_file_is_noticed(store):
    snapshot = keep(store)
    assert store.verify(snapshot.id) == store.path(snapshot.id)
    store.path(snapshot.id).write_bytes(BLEND + b"!")
    with pytest.raises(SnapshotUnfit, match="changed from outside"):
        store.verify(snapshot.id)
    store.path(snapshot.id).unlink()
    with pytest.raises(SnapshotUnfit, match="is gone: it was removed"):
        store.verify(snapshot.id)


def test_drafts_of_the_killed_are_removed_whatever_the_clock_says_and_those_of_the_living_left(store):
    lost = store.folder / ".draft-lost"
    lost.write_bytes(b"x")
    os.utime(lost, (2**33, 2**33))
    with store.draft("4.5.1") as draft:
        os.utime(draft.path, (0, 0))
        SnapshotStore(store.folder)
        assert draft.path.exists() and not lost.exists()


def test_a_process_killed_while_it_adopts_leaves_only_whole_snapshots(tmp_path):
    program = """
import os, sys
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from protocol.models import FingerprintReply
from sandbox.snapshots import Edit, SnapshotStore
store = SnapshotStore(Path(sys.argv[2]) / "s")
data = b"BLENDER-v405" + os.urandom(3_000_000)
parent = None
for n in range(10_000):
    edit = Edit(index=n, label="", stage="", round=1, source="", seed=n)
    with store.draft("4.5.1") as draft:
        draft.path.write_bytes(data)
        draft.check()
        parent = draft.adopt(parent, edit, FingerprintReply(factors={}, topology={}, objects={})).id
    print(parent, flush=True)
"""
    root = os.getcwd()
    child = subprocess.Popen([sys.executable, "-c", program, root, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    told = [child.stdout.readline().strip() for _ in range(5)]
    child.kill()
    told += child.stdout.read().split()
    child.wait()
    store = SnapshotStore(tmp_path / "s")
    assert len(store.ancestry(told[-1])) == len(told)
    for manifest in store.folder.glob("[0-9a-f]*.json"):
        store.verify(manifest.stem)
