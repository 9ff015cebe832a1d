"""Owns which snapshots of a run can never be needed again, and lets their files go when disk or bound asks for it.

What a run may still open, and why:

- To go on: the head, and in a stage under way every snapshot of that stage, for `revert` goes to any of them, the best
  of its attempts is chosen at its end, and its start may be it. So nothing is let go but at a stage's end.
- To be resumed at any instant: a resumed run walks through its record and opens a scene only for what is not on record.
  A process that came to a stage's end without a budget's bound has everything before it on record. After a bound was
  reached, which may be raised, nothing is let go; nor of a rollout that was given up, for it is tried again; nor where
  records are damaged, for they are done again.
- To lay out a stage's files again, to branch from a stage (`resume --from-stage`), to deliver: the results of stages,
  the alignment's, what was delivered, and the end of each rollout; and for the program, `verify` and another Blender
  the whole ancestry of each, with what stands in for it in another Blender.

All else is spare: lines that were left by `revert` or lost to a better attempt, rollouts that were not chosen but for
their ends, what rebuild proofs built. Only files go, one after the other, each in one step; manifests stay, so a kill at
any moment leaves a store like any other. What is asked for all the same (prompts or the model changed, so that an old
place is asked anew) is refused by `SnapshotStore.verify`, in words.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from typing import Any

from agent.runs.journal import read_journal
from agent.runs.run import Opened
from sandbox.limits import MIB
from sandbox.snapshots import SnapshotStore, SnapshotUnfit

log = logging.getLogger(__name__)

Entry = dict[str, Any]


def let_go(run: Opened) -> None:
    """To be called at a stage's end that was come to just now: let go of what is spare, as far as there is need."""
    if run.ledger.was_reached:
        return
    disk = run.config.disk
    run.store.can_spare(spare_snapshots(read_journal(run.folder.journal), run.store))
    run.room.make_room = lambda: _told(run, *run.store.prune(lambda _: not run.room.lacking()))

    held = run.store.file_bytes()

    def is_enough(freed: int) -> bool:
        free = shutil.disk_usage(run.folder.path).free
        return held - freed <= disk.snapshots_mib * MIB and free >= disk.start_mib * MIB

    files, freed = run.store.prune(is_enough)
    if files:
        _told(run, files, freed)
        run.journal.note("pruned", files=files, bytes=freed)
    if held - freed > disk.snapshots_mib * MIB:
        over = f"snapshots take {(held - freed) // MIB:,} MiB, more than the {disk.snapshots_mib:,} that they should"
        run.console.say_once(f"{over}: all of them may still be needed")


def _told(run: Opened, files: int, freed: int) -> None:
    if files:
        run.console.say(f"{files} snapshots that nothing can need any more were removed: {freed / MIB:,.1f} MiB")


def spare_snapshots(entries: Iterable[Entry], store: SnapshotStore) -> list[str]:
    """Ids whose files nothing can need, the least likely missed first. Of a journal at a stage's end."""
    needed = needed_snapshots(list(entries), store)
    return sorted(store.ids() - needed, key=store.order) if needed is not None else []


def needed_snapshots(entries: list[Entry], store: SnapshotStore) -> set[str] | None:
    """None where everything is."""
    if any(entry["event"] == "damaged" for entry in entries):
        return None
    steps = [(str(entry.get("key", "")).split("/"), entry["value"]) for entry in entries if entry["event"] == "step"]
    accepted = {entry["result"]["snapshot"] for entry in entries if entry["event"] == "result"}
    rollouts: dict[str, set[str]] = {}
    ends, since = set[str](), set[str]()
    for (kind, *place), value in steps:
        if kind == "begin":
            accepted.add(value["id"])
        elif kind == "stage":
            accepted.add(value["snapshot_id"])
            since.clear()
        elif kind == "align":
            accepted.add(value["head"])
        elif kind == "side":
            ends.add(place[0])
        elif kind == "attempt":
            since.add(value["snapshot_id"])
        elif kind == "tool" and value["head"] is not None:
            since.add(value["head"])
            if place[0] != "-1":
                rollouts.setdefault(place[0], set()).add(value["head"])
    given_up = [heads for heads in rollouts.values() if not heads & ends]
    return _whole(accepted | since, store) | ends.union(*given_up)


def _whole(ids: set[str], store: SnapshotStore) -> set[str]:
    """With the ancestry of each, and what stands in for any of them."""
    found = set[str]()
    for id in ids:
        try:
            found |= {one.id for one in store.ancestry(id)}
        except SnapshotUnfit as error:  # a branch, or a damaged store, may lack what it never opens
            log.warning("not kept: %s", error)
    return found | {other for id in found for other in store.stand_ins(id)}
