"""Owns the scene under work: its head, the short names of its snapshots, and a live Blender once one is needed.

A replayed run moves the head from record to record and starts no Blender. Everything that touches the live scene goes
through `session()`, which first brings it to the head.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel

from agent.config import StageLimits
from agent.evaluation.measures import Measures, measure
from agent.models.base import Picture
from agent.rebuild.baseline import take_baseline
from agent.runs.run import Run
from agent.scene_graph import SceneGraph
from agent.stages.table import EVERYTHING, Stage
from agent.tools.base import Outcome
from agent.tools.quick import COARSE, QuickViews, quick_views
from agent.which_blender import made_by
from protocol.client import Answer
from protocol.errors import (
    CallTimedOut,
    ProcessCrashed,
    ProcessExited,
    ProcessFault,
    ProtocolViolated,
    RequestFailed,
    SetupFailed,
)
from protocol.models import Made, RenderReply, RenderRequest, Request, TargetView, Value, View
from sandbox.pool import Pool
from sandbox.snapshots import Edit, Snapshot
from sandbox.transaction import EditOutcome, SceneSession

log = logging.getLogger(__name__)

REMARK_LIMIT = 800
"""Characters of what a stage passes on."""
REPEATS = 3
"""Failures of one kind in a row that end an attempt: identical ones, or two that alternate."""


class Remark(Value):
    """What a stage said last, in the words of its generator or verifier."""

    stage: str
    """And the role: "geometry, verifier"."""
    text: str


class Ticket(Value):
    """What a verifier found wrong in a factor of an earlier stage."""

    stage: str
    by: str
    """The stage that filed it."""
    text: str


class Looked(Value):
    """The target view of a snapshot and how it compares, remembered by the journal."""

    png: bytes
    measures: Measures
    made: Made | None = None
    """None in records of before this was told."""


class _Measured(BaseModel):
    """What a record of a look and one of an attempt have in common."""

    measures: Measures | None = None


class Workbench:
    def __init__(
        self,
        run: Run,
        graph: SceneGraph,
        head: Snapshot | None = None,
        remarks: Iterable[Remark] = (),
        tickets: Iterable[Ticket] = (),
    ) -> None:
        self.run, self.graph = run, graph
        self._session: SceneSession | None = None
        self._lifetime = contextlib.ExitStack()
        self._head = head
        self._names: list[str] = []
        self._failures: list[str] = []
        self.plan: str | None = None
        """What was handed in before anything was built."""
        self.tickets = list(tickets)
        """What stages ask of others, and was not told to those yet."""
        self.remarks = list(remarks)
        """What was said last, in each stage so far, of what is still open."""
        self._in_temporary = False
        self._quick: QuickViews | None = None
        self.stage: Stage
        self.round = 1
        self.start: Snapshot

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        self._lifetime.close()

    # ── where the work stands ─────────────────────────────────────────────────────────────────────────────────────────
    @property
    def head(self) -> Snapshot:
        if self._head is None:
            self._head = self.session().head
        return self._head

    def begin(self, stage: Stage) -> None:
        """Start a stage: in a clean process, with fresh names, from the head."""
        self.stage = stage if self.run.config.scopes else stage.model_copy(update={"scope": EVERYTHING})
        self.round = 1
        self.start = self.head
        self._names = [self.head.id]
        if self._session is not None:
            self._session.fresh(self.run.config.limits.of_process(stage.name))

    @property
    def _limits(self) -> StageLimits:
        return self.run.config.limits.of(self.stage.name)

    def file(self, tickets: Iterable[Ticket]) -> None:
        """Remember what this stage asks of others, each once."""
        known = {(one.stage, one.text) for one in self.tickets}
        self.tickets += [one for one in tickets if one.stage != one.by and (one.stage, one.text) not in known]

    def asked_of(self, stage: Stage) -> list[Remark]:
        """What earlier stages ask of this one, which is told it now; nothing where it is reopened for its tickets."""
        asked = [] if stage.reopened else [one for one in self.tickets if one.stage == stage.name]
        self.tickets = [one for one in self.tickets if one not in asked]
        return [Remark(stage=f"{one.by}, verifier", text=one.text) for one in asked]

    def remark(self, role: str, text: str) -> None:
        """Remember what a role of this stage has said last, for the stages after it."""
        said_by = f"{self.stage.name}, {role}"
        self.remarks = [one for one in self.remarks if one.stage != said_by]
        if text.strip():
            self.remarks.append(Remark(stage=said_by, text=text.strip()[:REMARK_LIMIT]))

    def begin_round(self, number: int) -> None:
        self.round = number
        self._failures.clear()

    def move_to(self, snapshot_id: str, committed: bool = False) -> None:
        """Make a snapshot the head; a live Blender follows when it is next used."""
        if self._head is None or snapshot_id != self._head.id:
            self._head = self.run.store.get(snapshot_id)
        if committed:
            self._names.append(snapshot_id)

    def follow(self, outcome: Outcome) -> None:
        """Take over where a tool call, done now or recorded, has left the work."""
        if outcome.head is not None:
            self.move_to(outcome.head, outcome.committed)
        if outcome.committed:
            self._failures.clear()
        if outcome.failure is not None:
            self._failures.append(outcome.failure)
        self.plan = outcome.plan or self.plan

    # ── snapshots by name ─────────────────────────────────────────────────────────────────────────────────────────────
    def named(self, name: str) -> str | None:
        """Snapshot id behind "start", "previous" or "s3"; None where this stage has none of that name."""
        if name == "start":
            return self.start.id
        if name == "previous":
            return self.head.parent if self.head.id != self.start.id else None
        number = name.removeprefix("s")
        return self._names[int(number)] if number.isdecimal() and int(number) < len(self._names) else None

    def name_of(self, snapshot_id: str) -> str:
        return f"s{self._names.index(snapshot_id)}" if snapshot_id in self._names else snapshot_id[:8]

    def name_after(self) -> str:
        """The short name that the snapshot just committed gets."""
        return f"s{len(self._names)}"

    def snapshots(self) -> dict[str, Snapshot]:
        """This stage's, by name, from its start on."""
        return {f"s{number}": self.run.store.get(id) for number, id in enumerate(self._names)}

    def measured(self, snapshot_id: str) -> Measures | None:
        """How a snapshot compares, where that has been recorded."""
        for key in (f"look/{snapshot_id}", f"attempt/{snapshot_id}"):
            if self.run.journal.has(key):
                with contextlib.suppress(LookupError):
                    return self.run.journal.step(key, _Measured, _nothing).measures
        return None

    def stalled(self) -> bool:
        """Three identical failures in a row, or two that alternate."""
        last = self._failures[-2 * REPEATS :]
        return len(self._failures) >= REPEATS and (
            len(set(last[-REPEATS:])) == 1
            or (len(last) == 2 * REPEATS and len(set(last[::2])) == 1 and len(set(last[1::2])) == 1)
        )

    # ── the live scene ────────────────────────────────────────────────────────────────────────────────────────────────
    def session(self) -> SceneSession:
        if self._head is not None:
            self._take_baseline(self._head)
        if self._session is None:
            with self.run.console.waiting("starting Blender"):
                limits = self.run.config.limits.of_process(self.stage.name)
                self._session = self._lifetime.enter_context(self.run.pool.session(self._head, limits))
        if self._head is not None and self._session.head.id != self._head.id:
            self._session.move_to(self._head)
        return self._session

    def _take_baseline(self, head: Snapshot) -> None:
        """Of a scene that an older Blender has left, before this one goes on with it."""
        if self.run.store.is_read(head.id, self.run.blender.version):
            return
        with self.run.console.waiting(f"Blender {self.run.blender.version} takes over a scene of {head.blender}"):
            with self._maker(head.blender) as maker:
                baseline = take_baseline(self.run.pool, head, maker)
        if baseline:
            self.run.journal.note("baseline", **baseline.model_dump())
            self.run.console.say(baseline.told())

    @contextlib.contextmanager
    def _maker(self, version: str) -> Iterator[Pool | None]:
        """Blenders of the version that made a scene; None where it is not here, or lacks what it needs."""
        blender, pool = None, self.run.pool
        with contextlib.suppress(SetupFailed):
            blender = made_by(version, self.run.folder)
        if blender is None:
            yield None
            return
        logs = self.run.folder.logs / f"maker-{blender.version}"
        with Pool(blender, pool.limits, self.run.store, logs, standby=False, level=pool.level) as maker:
            yield maker

    def edit(self, source: str, purpose: str) -> EditOutcome:
        """Run generated code as one transaction in the stage's scope."""
        index = len(self.run.store.ancestry(self.head.id))
        edit = Edit(
            index=index,
            label=purpose,
            stage=self.stage.name,
            round=self.round,
            source=source,
            seed=self.run.config.seed * 100_003 + index,
            keep_slots=self.stage.keeps_slots,
        )
        required = self.graph.required_objects() if self.stage.keeps_objects else frozenset()
        with self.run.console.waiting("running an edit"):
            outcome = self.session().edit(edit, self.stage.scope, required, self._limits.execute_s)
            if _was_killed(outcome.kind, outcome.message):  # run once more: the code need not have to do with it
                outcome = self.session().edit(edit, self.stage.scope, required, self._limits.execute_s)
        if outcome.snapshot is not None:
            self._head = outcome.snapshot
        else:  # a full disk is the machine's fault: neither told to the model nor recorded as what its code did
            self.run.room.check()
        return outcome

    def ask(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Ask what changes nothing. A Blender that dies over it is replaced, and asked once more: it may have been
        killed by the machine. One that used up its time or memory would do so again."""
        with self._blaming_the_disk():
            return self._asked(self.session(), request, timeout_s)

    @contextlib.contextmanager
    def _blaming_the_disk(self) -> Iterator[None]:
        """What fails inside while a disk is full is neither told to the model nor recorded: it is done again."""
        try:
            yield
        except (RequestFailed, ProcessFault):
            self.run.room.check()
            raise

    def _asked(self, session: SceneSession, request: Request, timeout_s: float | None) -> Answer:
        try:
            return session.call(request, timeout_s)
        except (ProcessCrashed, ProcessExited, CallTimedOut, ProtocolViolated) as fault:
            by_itself = isinstance(fault, CallTimedOut) and not _was_stopped(fault)
            by_itself |= isinstance(fault, ProtocolViolated) and not _was_killed(fault.kind, fault.message)
            if self._in_temporary or by_itself:
                raise
            log.warning("asked again: %s", fault)
            return session.call(request, timeout_s)

    def render(self, view: View | None = None, long_side_px: int | None = None, **settings: object) -> bytes:
        """PNG (RGBA) of the head, or inside `session().temporary()` of what stands there now."""
        return self.render_with_reply(view, long_side_px, **settings)[0]

    def render_with_reply(
        self, view: View | None = None, long_side_px: int | None = None, **settings: object
    ) -> tuple[bytes, RenderReply]:
        config, view = self.run.config, view or TargetView()
        width, height = self.run.reference.frame(long_side_px or config.look_px)
        fields = {"samples": config.look_samples, "transparent": self.run.reference.kind == "cutout", **settings}
        request = RenderRequest.model_validate({"view": view, "width_px": width, "height_px": height, **fields})
        with self.run.console.waiting("rendering"):
            reply, payloads = self.ask(request, self._limits.render_s)
        assert isinstance(reply, RenderReply)
        for note in reply.made.notes:
            self.run.console.say_once(note)
        with self._blaming_the_disk():
            return checked_picture(payloads, width, height), reply

    def look(self) -> tuple[Picture, Measures]:
        """The head's target view and how it compares with the reference; rendered once for each snapshot."""

        def render() -> Looked:
            png, reply = self.render_with_reply()
            return Looked(png=png, measures=measure(self.run.reference, png), made=reply.made)

        looked = self.run.journal.step(f"look/{self.head.id}", Looked, render)
        return Picture(png=looked.png, caption=captioned("target view of the scene", looked.made)), looked.measures

    def quick_look(self, view: View, px: int, isolate: tuple[str, ...]) -> tuple[bytes, Made]:
        """PNG of shapes and colours in plain light. By Cycles from where the quick engine has ended a Blender."""
        quick, note = self._quick or quick_views(self.run), ""
        if quick.engine not in self.run.blender.facts.rendering:  # it was another's that they were chosen for
            quick = self._quick = COARSE
            self.run.console.say_once("Quick views cannot be made as before here, so Cycles makes them, coarsely.")
        try:
            png, reply = self._quickly(quick, view, px, isolate)
        except ProcessFault as fault:
            if quick.engine == "cycles":
                raise
            self._quick = COARSE
            note = f"Blender ended over a picture by {quick.engine} ({fault.message[:300]}), so Cycles made it."
            self.run.console.say_once(note)
            png, reply = self._quickly(COARSE, view, px, isolate)
        return png, reply.made.model_copy(update={"notes": (*reply.made.notes, note)}) if note else reply.made

    def _quickly(self, quick: QuickViews, view: View, px: int, isolate: tuple[str, ...]) -> tuple[bytes, RenderReply]:
        long_px = min(px, quick.most_px or px)
        return self.render_with_reply(view, long_px, engine=quick.engine, samples=quick.samples, isolate=isolate)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[SceneSession]:
        """Change the live scene without a commit; the head stands again afterwards."""
        session = self.session()
        self._in_temporary = True
        try:
            with session.temporary():
                yield session
        finally:
            self._in_temporary = False


def captioned(what: str, made: Made | None) -> str:
    """With how it was made: "target view of the scene (Cycles, 16 samples, CPU)"."""
    return f"{what} ({made.told()})" if made else what


def _nothing() -> _Measured:
    """In the place of a record that turns out to be damaged: nothing is measured only to be listed."""
    raise LookupError


T = TypeVar("T")


def once_more(work: Callable[[], T]) -> T:
    """What work comes to that takes many requests and leaves the scene as it is: begun anew, once, where its Blender
    was killed meanwhile."""
    try:
        return work()
    except ProcessFault as fault:
        if not _was_killed(fault.kind, fault.message):
            raise
        log.warning("begun anew: %s", fault)
        return work()


def _was_killed(kind: str, message: str) -> bool:
    """As a machine does that is short of memory, and whoever ends processes: its Blender, or the nanny of it, or the
    standby that was to judge it."""
    return kind in (ProcessCrashed.kind, ProtocolViolated.kind, "snapshot_failed") and "SIGKILL" in message


def _was_stopped(fault: CallTimedOut) -> bool:
    """Not busy with what was asked, but held up from outside."""
    return "did not respond" in fault.message


def checked_picture(payloads: Sequence[bytes], width_px: int, height_px: int) -> bytes:
    """The pixels of a render's one picture: what comes out of the box is a claim until it is decoded, and nothing but
    pixels is taken, for Blender writes paths and times beside them."""
    try:
        with Image.open(io.BytesIO(payloads[0]), formats=("PNG",)) as picture:
            if picture.size != (width_px, height_px):
                raise ProtocolViolated(
                    "render", f"a picture of {picture.size} px where {(width_px, height_px)} was asked"
                )
            pixels = Image.fromarray(np.asarray(picture.convert("RGBA")))
    except (IndexError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ProtocolViolated("render", f"no readable picture: {error}") from None
    clean = io.BytesIO()
    pixels.save(clean, "PNG", compress_level=3)
    return clean.getvalue()
