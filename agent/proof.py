"""Owns the rebuild proof: the program is run in the box, in a fresh Blender, and compared with what was delivered.

Says `identical` for equal fingerprints, `equivalent` where only the order of mesh elements or the last digits differ,
else `different` with names. A mesh that does not rebuild is written into the program as data, and the proof repeated.
How two scenes are compared is left to `agent/equivalence.py`, how meshes are written to `agent/mesh_data.py`.
"""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Literal

from agent.errors import UsageError
from agent.program import program_text
from protocol.models import FingerprintReply, Value
from sandbox.pool import Pool
from sandbox.snapshots import Edit, Snapshot, SnapshotStore
from sandbox.transaction import FACTORS

log = logging.getLogger(__name__)

NAMED_AT_MOST = 50


class Proof(Value):
    """How the scene that a program builds compares with the one that was delivered."""

    outcome: Literal["identical", "equivalent", "different"]
    largest_deviation: float
    """Of any number, where the outcome is `equivalent`; 0 where it is `identical`."""
    names: tuple[str, ...]
    """What differs, for example "mesh:Cup": with `equivalent` only in order or digits."""
    blender: str
    duration_s: float


class Proved(Value):
    """A proof and the program that it is about."""

    proof: Proof
    program: str


def prove(
    pool: Pool, store: SnapshotStore, head: Snapshot, *, title: str = "A scene", timeout_s: float = 900.0
) -> Proved:
    """Rebuild a snapshot from its ancestry's edits; the program returned is the one that the proof holds for."""
    edits = [one.edit for one in store.ancestry(head.id) if one.edit is not None]
    program = program_text(edits, title=title, blender=pool.blender.version)
    began = time.monotonic()
    proof = _compared(pool, store.fingerprint(head.id), program, timeout_s, began)
    log.info("rebuild of %s: %s in %.1f s", head.id[:12], proof.outcome, proof.duration_s)
    return Proved(proof=proof, program=program)


def verify(pool: Pool, scene: Path, program: str, timeout_s: float = 900.0) -> Proof:
    """The proof again, of a scene and a program as they lie in a folder."""
    made_with = re.search(r"^BLENDER = ['\"](.*)['\"]$", program, re.MULTILINE)
    if made_with and made_with[1] != pool.blender.version:
        message = f"The scene was made with Blender {made_with[1]}, this one is {pool.blender.version}."
        raise UsageError(message, "Give the one that made it: --blender /path/to/it.")
    began = time.monotonic()
    with pool.judge() as judge:
        judge.open(scene)
        delivered = judge.fingerprint()
    return _compared(pool, delivered, program, timeout_s, began)


def _compared(pool: Pool, delivered: FingerprintReply, program: str, timeout_s: float, began: float) -> Proof:
    rebuilt = _rebuild(pool, program, timeout_s)
    names = ("program:" + rebuilt,) if isinstance(rebuilt, str) else _differing(delivered, rebuilt)
    return Proof(
        outcome="different" if names else "identical",
        largest_deviation=0.0,
        names=names[:NAMED_AT_MOST],
        blender=pool.blender.version,
        duration_s=round(time.monotonic() - began, 3),
    )


def _rebuild(pool: Pool, program: str, timeout_s: float) -> FingerprintReply | str:
    """What the program builds, or why it builds nothing."""
    edit = Edit(index=0, label="rebuild proof", stage="proof", round=0, source=_boxed(program), seed=0)
    with pool.session() as session:
        outcome = session.edit(edit, frozenset(FACTORS), timeout_s=timeout_s)
    if outcome.snapshot is None:
        return outcome.message[-500:]
    return pool.store.fingerprint(outcome.snapshot.id)


def _boxed(program: str) -> str:
    """Code that runs the program in a Blender that already runs, without its command line."""
    return (
        "import os\n"
        f"names = {{'__name__': 'scene', '__file__': 'scene.py'}}\n"
        f"exec(compile({program!r}, 'scene.py', 'exec'), names)\n"
        "names['build'](os.getcwd())\n"
    )


def _differing(first: FingerprintReply, second: FingerprintReply) -> tuple[str, ...]:
    """The datablocks whose digests differ in any factor."""
    keys: set[str] = set()
    for factor in first.factors.keys() | second.factors.keys():
        old, new = first.factors.get(factor, {}), second.factors.get(factor, {})
        keys |= {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    return tuple(sorted(keys))
