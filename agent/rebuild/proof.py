"""Owns the rebuild proof: the program is run in the box, in a fresh Blender, and compared with what was delivered.

Says `identical` for equal fingerprints, `equivalent` where only the order of mesh elements or the last digits differ,
else `different` with names. A mesh that does not rebuild is written into the program as data, and the proof repeated.
How two scenes are compared is left to `equivalence.py`, how meshes are written to `mesh_data.py`.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal, cast

from agent.errors import InputUnreadable, UsageError
from agent.rebuild.equivalence import Comparison, Dump, compare
from agent.rebuild.mesh_data import mesh_edit
from agent.rebuild.mesh_order import Arrays
from agent.rebuild.program import boxed, made_with, program_text
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import DumpReply, DumpRequest, FingerprintReply, Value
from sandbox.blend_file import parse_version
from sandbox.pool import Pool
from sandbox.snapshots import PROOF, Edit, Snapshot, SnapshotStore, SnapshotUnfit
from sandbox.transaction import FACTORS
from sandbox.worker import Worker

log = logging.getLogger(__name__)

LONGEST_PROGRAM = 15 * 2**20
"""What can be sent to a Blender in one request."""

BUILD_S = 900.0
Outcome = Literal["identical", "equivalent", "different"]


class Proof(Value):
    """How the scene that a program builds compares with the one that was delivered."""

    outcome: Outcome
    largest_deviation: float
    """Of any number, where the outcome is `equivalent`; 0 where it is `identical`."""
    names: tuple[str, ...]
    """What differs, for example "mesh:Cup": with `equivalent` only in order or digits."""
    blender: str
    duration_s: float

    def told(self) -> list[str]:
        """As lines for a screen."""
        summary = f"rebuild {self.outcome}, by Blender {self.blender} in {self.duration_s:.1f} s"
        return [summary, *(f"  {name}" for name in self.names)]


class Proved(Value):
    """A proof and the program that it is about."""

    proof: Proof
    program: str


def prove(
    pool: Pool, store: SnapshotStore, head: Snapshot, *, title: str = "A scene", timeout_s: float = BUILD_S
) -> Proved:
    """Rebuild a snapshot from its ancestry's edits; the program returned is the one that the proof holds for."""
    edits = [one.edit for one in store.ancestry(head.id) if one.edit is not None]
    trial = Trial(pool, pool.file(head.id), pool.fingerprint(head.id), timeout_s)
    program = program_text(edits, title=title, blender=pool.blender.version)
    proof = trial.run(program)
    if proof.outcome == "different" and (meshes := trial.meshes_to_write(proof)):
        log.info("written as data: %s", ", ".join(meshes))
        index = edits[-1].index + 1
        with_data = program_text([*edits, mesh_edit(meshes, index)], title=title, blender=pool.blender.version)
        again = trial.run(with_data)
        if again.outcome != "different" or set(again.names) < set(proof.names):
            proof, program = again, with_data
    log.info("rebuild of %s: %s in %.1f s", head.id[:12], proof.outcome, proof.duration_s)
    return Proved(proof=proof, program=program)


def verify(pool: Pool, scene: Path, program: str, timeout_s: float = BUILD_S) -> Proof:
    """The proof again, of a scene and a program as they lie in a folder."""
    maker = made_with(program)
    if maker and parse_version(maker) != parse_version(pool.blender.version):
        message = f"The scene was made with Blender {maker}, this one is {pool.blender.version}."
        raise UsageError(message, "Give the one that made it: --blender /path/to/it.")
    try:
        with pool.judge() as judge:
            judge.open(scene)
            delivered = judge.fingerprint()
    except (SnapshotUnfit, OSError) as error:
        raise InputUnreadable(f"The scene {scene} cannot be verified: {error}.") from error
    return Trial(pool, scene, delivered, timeout_s).run(program)


class ProgramFailed(Exception):
    """A program that did not run to its end: the edit that failed, and its error."""


def build(pool: Pool, program: str, timeout_s: float = BUILD_S) -> Snapshot:
    """What a program builds in a Blender of the pool's. Raises ProgramFailed where it builds nothing."""
    source = boxed(program)
    if len(source.encode("utf-8", "surrogatepass")) > LONGEST_PROGRAM:
        raise ProgramFailed(f"longer than {LONGEST_PROGRAM:,} bytes")
    edit = Edit(index=0, label="rebuild proof", stage=PROOF, round=0, source=source, seed=0)
    with pool.session() as session:
        outcome = session.edit(edit, frozenset(FACTORS), timeout_s=timeout_s)
    if outcome.snapshot is None:
        raise ProgramFailed(outcome.message.strip()[-1000:])
    return outcome.snapshot


class Trial:
    """One delivered scene, to be compared with what programs build."""

    def __init__(self, pool: Pool, scene: Path, fingerprint: FingerprintReply, timeout_s: float) -> None:
        self._pool, self._scene, self._fingerprint, self._timeout_s = pool, scene, fingerprint, timeout_s
        self._began = time.monotonic()
        self._delivered: Dump | None = None

    def run(self, program: str) -> Proof:
        try:
            rebuilt = build(self._pool, program, self._timeout_s)
        except ProgramFailed as failure:
            return self._proof("different", (f"program: {failure}",))
        names = _differing(self._fingerprint, self._pool.fingerprint(rebuilt.id))
        if not names:
            return self._proof("identical", ())
        try:
            comparison = self._compared(self._pool.store.verify(rebuilt.id))
        except (RequestFailed, ProcessFault) as error:
            log.warning("the scenes could not be compared: %s", error)
            return self._proof("different", names)
        if comparison.different:
            return self._proof("different", comparison.different)
        return self._proof("equivalent", names, comparison.deviation)

    def meshes_to_write(self, proof: Proof) -> dict[str, Arrays]:
        """By name, as delivered; those among what differs that nothing but writing them down can bring back."""
        if self._delivered is None:
            return {}
        found = {key: self._delivered.meshes.get(key, {}) for key in proof.names if key.startswith("mesh:")}
        return {key.removeprefix("mesh:"): arrays for key, arrays in found.items() if arrays}

    def _compared(self, rebuilt: Path) -> Comparison:
        """By a process that ran no generated code."""
        worker = self._pool.boot()
        try:
            self._delivered = self._delivered or dumped(worker, self._scene)
            return compare(self._delivered, dumped(worker, rebuilt))
        finally:
            self._pool.retire(worker)

    def _proof(self, outcome: Outcome, names: tuple[str, ...], deviation: float = 0.0) -> Proof:
        return Proof(
            outcome=outcome,
            largest_deviation=deviation,
            names=names,
            blender=self._pool.blender.version,
            duration_s=round(time.monotonic() - self._began, 3),
        )


def dumped(worker: Worker, scene: Path) -> Dump:
    worker.restore(scene)
    return Dump.of(*cast(tuple[DumpReply, list[bytes]], worker.call(DumpRequest())))


def _differing(first: FingerprintReply, second: FingerprintReply) -> tuple[str, ...]:
    """The datablocks whose digests differ in any factor."""
    keys: set[str] = set()
    for factor in first.factors.keys() | second.factors.keys():
        old, new = first.factors.get(factor, {}), second.factors.get(factor, {})
        keys |= {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    return tuple(sorted(keys))
