"""Owns the proof in another Blender: the program is built there and compared with the delivered scene as it is read by
the Blender that made it.

How the two are compared is left to `across.py`. A Blender never gets to see a newer one's file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from agent.errors import InputUnreadable
from agent.rebuild.across import Across, Side, compare_across
from agent.rebuild.equivalence import Dump
from agent.rebuild.proof import BUILD_S, ProgramFailed, Proof, build
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import DumpReply, DumpRequest, PlainRequest, Value
from sandbox.pool import Pool
from sandbox.scratch import temporary_folder
from sandbox.worker import Worker

NAMED_AT_MOST = 100
LISTED_AT_MOST = 20
NOTHING = Dump({}, {}, {})
"""In the place of a plain twin: then nothing counts as a default, for every doubt is a difference."""


class OnlyOne(Value):
    """Properties that only one of two versions has."""

    count: int
    names: tuple[str, ...]
    """Some of them, those that the scene has set first."""


class ProofElsewhere(Proof):
    """How what a program builds in another Blender compares with the delivered scene. Never `identical`."""

    made_with: str
    read_by: str
    """The version that opened the delivered scene: the one that made it, or of its series; else the other one itself,
    and then what was left at a default cannot be told from what was set."""
    differences: int
    """How many there are; `names` holds the first hundred."""
    defaults: tuple[str, ...]
    """What the scene leaves to Blender and the two versions set otherwise, some of it."""
    only_made_with: OnlyOne
    only_here: OnlyOne

    def told(self) -> list[str]:
        """As lines for a screen."""
        summary, *lines = super().told()
        read = f", read by {self.read_by}" if self.read_by != self.made_with else ""
        lines = [f"{summary}; made with {self.made_with}{read}", *lines]
        if (more := self.differences - len(self.names)) > 0:
            lines.append(f"  and {more} more")
        if self.defaults:
            lines += ["left to Blender, whose versions differ in it:", *(f"  {name}" for name in self.defaults)]
        for version, only in ((self.made_with, self.only_made_with), (self.blender, self.only_here)):
            if only.count:
                lines.append(f"only {version} has {only.count} properties: {', '.join(only.names[:5])}, …")
        return lines


def verify_elsewhere(
    reader: Pool | None, pool: Pool, scene: Path, program: str, maker: str, timeout_s: float = BUILD_S
) -> ProofElsewhere:
    """The proof in the pool's Blender. `reader` has the Blender that made the scene; None: it is not there, and the
    pool's own, which is newer, opens it. Raises InputUnreadable where the scene cannot be opened."""
    began = time.monotonic()
    try:
        delivered = side_of(reader, scene) if reader else as_opened(pool, scene, NOTHING)
    except (RequestFailed, ProcessFault, OSError) as error:
        raise InputUnreadable(f"The scene {scene} cannot be verified: {error}.") from error
    failure, found = "", Across()
    try:
        rebuilt = build(pool, program, timeout_s)
        found = compare_across(delivered, side_of(pool, pool.store.verify(rebuilt.id)))
    except ProgramFailed as error:
        failure = f"program: {in_short(str(error))}"
    names = (failure,) if failure else found.different
    return ProofElsewhere(
        outcome="different" if names else "equivalent",
        largest_deviation=found.deviation,
        names=names[:NAMED_AT_MOST],
        blender=pool.blender.version,
        duration_s=round(time.monotonic() - began, 3),
        made_with=maker,
        read_by=(reader or pool).blender.version,
        differences=len(names),
        defaults=found.defaults[:LISTED_AT_MOST],
        only_made_with=_only_one(found.only_first),
        only_here=_only_one(found.only_second),
    )


def side_of(pool: Pool, scene: Path) -> Side:
    """A scene and its plain twin, read by a process that ran no generated code."""
    worker = pool.boot()
    try:
        worker.restore(scene)
        read = _dumped(worker)
        worker.call(PlainRequest())
        return Side(read, _dumped(worker))
    finally:
        pool.retire(worker)


def as_opened(pool: Pool, scene: Path, plain: Dump | None) -> Side:
    """An older Blender's scene as this one opens it, beside `plain`: its twin opened likewise, or a stand-in."""
    worker = pool.boot()
    try:
        worker.restore(scene)
        return Side(_dumped(worker), plain)
    finally:
        pool.retire(worker)


def twin_as_opened(reader: Pool, pool: Pool, scene: Path) -> Dump:
    """The plain twin that a scene's own Blender, `reader`'s, makes of it, as a newer one opens it: under the newer
    one's names, as the scene is when that opens it. What the two have alike nobody has set."""
    with temporary_folder() as folder:
        twin = folder / "plain.blend"
        twin.touch()
        worker = reader.boot()
        try:
            worker.restore(scene)
            worker.call(PlainRequest())
            worker.save(twin)
        finally:
            reader.retire(worker)
        return as_opened(pool, twin, None).scene


def in_short(failure: str) -> str:
    """Of a traceback the sentence that names the failing edit and its error."""
    sentences = re.findall(r"edit \d+ \(.*\) failed: .*", failure)
    return str(sentences[-1]) if sentences else failure


def _dumped(worker: Worker) -> Dump:
    return Dump.of(*cast(tuple[DumpReply, list[bytes]], worker.call(DumpRequest(portable=True))))


def _only_one(names: Sequence[str]) -> OnlyOne:
    return OnlyOne(count=len(names), names=tuple(names[:LISTED_AT_MOST]))
