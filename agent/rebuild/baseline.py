"""Owns the change of a run to a newer Blender: what that one takes for the scene that an older one has left.

A scene is what its program builds, so the program is built again in the newer Blender; where that comes to the same in
every property both have, the rebuilt scene stands in for the old one, and every later proof holds. Where it does not,
the scene is gone on with as the newer Blender opens it, and the reason is told. The old snapshot stays as it is.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from agent.rebuild.across import compare_across
from agent.rebuild.elsewhere import LISTED_AT_MOST, as_opened, in_short, side_of
from agent.rebuild.program import program_text
from agent.rebuild.proof import ProgramFailed, build
from agent.runs.journal import read_journal
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import Value
from sandbox.pool import Pool
from sandbox.snapshots import Snapshot

log = logging.getLogger(__name__)


class Baseline(Value):
    """What a newer Blender took for an older one's scene."""

    snapshot: str
    made_with: str
    blender: str
    rebuilt: bool
    """By its program; else it is as the newer Blender opens it."""
    names: tuple[str, ...]
    """Of a rebuilt one, what the program leaves to Blender and this one sets otherwise; else why it was not taken."""

    def told(self) -> str:
        listed = "; ".join(self.names[:4]) + ("; …" if len(self.names) > 4 else "")
        if not self.rebuilt:
            made = f"its program does not build it in {self.blender}, as it does in {self.made_with}"
            return f"the scene is as Blender {self.blender} opens it, for {made}: {listed}"
        left = f"; what it leaves to Blender is {self.blender}'s ({listed})" if self.names else ""
        return f"the scene was built again from its program by Blender {self.blender}{left}"


def baselines_of(journal: Path) -> tuple[Baseline, ...]:
    """What a run's journal says of the baselines that were taken in it."""
    found = []
    for entry in read_journal(journal):
        if entry["event"] == "baseline":
            with contextlib.suppress(ValueError):  # a line that was changed from outside
                found.append(Baseline.model_validate({name: entry.get(name) for name in Baseline.model_fields}))
    return tuple(found)


def take_baseline(pool: Pool, head: Snapshot) -> Baseline | None:
    """See to it that this Blender has a scene and a fingerprint of its own for a snapshot; None where it has already.
    Raises SetupFailed for a newer Blender's snapshot."""
    store, version = pool.store, pool.blender.version
    if store.is_read(head.id, version):
        return None
    pool.check_version(head)
    names, rebuilt = _differences(pool, head)
    if rebuilt:
        store.let_stand_in(head.id, rebuilt)
    else:
        pool.fingerprint(head.id)
    log.info("baseline of %s in Blender %s: %s", head.id[:12], version, "rebuilt" if rebuilt else "as it is opened")
    return Baseline(
        snapshot=head.id,
        made_with=head.blender,
        blender=version,
        rebuilt=rebuilt is not None,
        names=names[:LISTED_AT_MOST],
    )


def _differences(pool: Pool, head: Snapshot) -> tuple[tuple[str, ...], Snapshot | None]:
    """What the program builds here, and how it differs in what nobody has set; or else why it is not taken."""
    store = pool.store
    edits = [one.edit for one in store.ancestry(head.id) if one.edit is not None]
    try:
        rebuilt = build(pool, program_text(edits, title="A baseline", blender=pool.blender.version))
        opened = as_opened(pool, store.verify(head.id), None)
        found = compare_across(opened, side_of(pool, store.verify(rebuilt.id)))
    except ProgramFailed as error:
        return (in_short(str(error)),), None
    except (RequestFailed, ProcessFault) as error:
        return (f"the two could not be compared: {error}",), None
    return (found.different, None) if found.different else (found.defaults, rebuilt)
