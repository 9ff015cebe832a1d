"""Owns the transaction: execute → settle → snapshot → (standby) open, fingerprint, compare → commit or roll back.

Whatever the executed code does, the accepted scene is one that the standby read from a file in the store, and the next
edit begins in a scene just opened from such a file. What an edit may change its scope says (`comparison`).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Literal, cast

from protocol.client import Answer, Pending
from protocol.errors import BlenderError, ProcessFault, RequestFailed, ScriptFailed, SetupFailed
from protocol.models import ExecuteReply, ExecuteRequest, Request, SettleReply, SettleRequest, Value
from sandbox import evidence
from sandbox.comparison import FACTORS, Change, compare, outside, sentence
from sandbox.limits import Limits, Recycled
from sandbox.snapshots import Draft, Edit, Snapshot, SnapshotUnfit
from sandbox.worker import Worker

if TYPE_CHECKING:
    from sandbox.pool import Pool

__all__ = ["FACTORS", "Change", "Edit", "EditOutcome", "SceneSession"]

log = logging.getLogger(__name__)

Kind = Literal[
    "committed", "script_error", "violation", "missing_object", "snapshot_failed",
    "deadline", "oom", "crashed", "exited", "protocol_error", "quarantined",
]  # fmt: skip

RESTORE_ATTEMPTS = 3
NAMED_AT_MOST = 20
AS_BEFORE = "Nothing of it was kept: the scene is as it was before this edit."


class EditOutcome(Value):
    """What became of an edit."""

    kind: Kind
    snapshot: Snapshot | None = None
    """The scene's state if committed; the one before if the edit changed nothing."""
    changes: tuple[Change, ...] = ()
    """Of a commit all, of a violation those outside the scope, with details."""
    message: str
    """For the model: what happened and what it touched."""
    stdout: str = ""
    resets: tuple[str, ...] = ()
    """What the host put back, as sentences."""
    duration_s: float = 0.0


class _Rejected(Exception):
    """Leaves the transaction with the outcome of an edit that ran but is not accepted."""

    def __init__(self, kind: Kind, message: str, changes: tuple[Change, ...] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.changes = kind, message, changes


class SceneSession:
    """One scene's line of states and the active Blender that holds the last of them. For one thread at a time."""

    head: Snapshot

    def __init__(self, pool: Pool, head: Snapshot | None, limits: Limits | None) -> None:
        self._pool, self._start = pool, head
        self._limits = limits or pool.limits
        self._worker: Worker | None = None
        self._in_temporary = False
        self._patched: tuple[str, ...] = ()
        self._fresh: tuple[Future[Worker], Recycled] | None = None
        """What takes the active one's place, once it has booted, and why."""

    def __enter__(self) -> SceneSession:
        if self._start is not None:
            self._pool.check_version(self._start)
        self._worker = self._pool.boot()
        try:
            self._worker.limit(self._limits)
            self.head = self._start or self._pool.root()
            self._restore_head()
        except BaseException:
            self._pool.retire(self._worker)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget_fresh()
        self._pool.retire(self._active)

    # ── edits ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def edit(
        self, edit: Edit, scope: frozenset[str], required: frozenset[str] = frozenset(), timeout_s: float = 60
    ) -> EditOutcome:
        """Run it as one transaction. Raises only when no Blender can be had, or the store was damaged from outside."""
        began = time.monotonic()
        if not _is_text(edit):
            return EditOutcome(kind="script_error", message=f"The code holds characters that are no text. {AS_BEFORE}")
        if faults := self._pool.breaker.faults(edit.stage, edit.source):
            message = f"The same code has ended Blender before ({', '.join(faults)}) and is not run again. {AS_BEFORE}"
            return EditOutcome(kind="quarantined", message=message)
        if reason := self._unfit():
            self._replace(reason)
        self._recycle()
        self._patched, worker = (), self._active
        outcome = self._outcome(edit, scope, required, timeout_s)
        if self._patched:
            outcome = outcome.model_copy(update={"message": f"{outcome.message}\n{_patched_message(self._patched)}"})
            if self._active is worker:
                self._replace(f"an edit changed {', '.join(self._patched)}")
        outcome = outcome.model_copy(update={"duration_s": time.monotonic() - began})
        became = "no change" if outcome.kind == "committed" and not outcome.changes else outcome.kind
        log.info("edit %d %s (%s): %s in %.2f s", edit.index, edit.label, edit.stage, became, outcome.duration_s)
        return outcome

    def _outcome(self, edit: Edit, scope: frozenset[str], required: frozenset[str], timeout_s: float) -> EditOutcome:
        execute = ExecuteRequest(source=edit.source, seed=edit.seed, keep_slots=edit.keep_slots)
        stdout, resets = "", cast(tuple[str, ...], ())
        try:
            executed = cast(ExecuteReply, self._active.call(execute, timeout_s)[0])
            stdout, self._patched = executed.stdout, executed.patched
            resets = cast(SettleReply, self._active.call(SettleRequest())[0]).resets
            changes = self._commit(edit, scope, required)
            if not changes:
                self._replace("an edit changed nothing, as if it had not been executed")  # which may be so
        except ScriptFailed as error:
            self._patched = error.patched
            self._restore_head()
            message = f"{error.traceback_text.strip()}\n{AS_BEFORE}"
            return EditOutcome(kind="script_error", message=message, stdout=error.stdout)
        except _Rejected as error:
            self._restore_head()
            return EditOutcome(
                kind=error.kind, changes=error.changes, message=error.message, stdout=stdout, resets=resets
            )
        except (RequestFailed, SnapshotUnfit, OSError) as error:
            self._replace(f"{error}")  # who could not save, for whatever reason, may not be able to the next time
            return EditOutcome(kind="snapshot_failed", message=_unfit_message(error), stdout=stdout, resets=resets)
        except ProcessFault as fault:
            self._pool.breaker.count(edit.stage, edit.source, fault.kind)
            self._replace(f"{fault}")
            return EditOutcome(
                kind=cast(Kind, fault.kind), message=_fault_message(fault, edit), stdout=stdout, resets=resets
            )
        message = _commit_message(changes)
        return EditOutcome(
            kind="committed", snapshot=self.head, changes=changes, message=message, stdout=stdout, resets=resets
        )

    def _commit(self, edit: Edit, scope: frozenset[str], required: frozenset[str]) -> tuple[Change, ...]:
        """Let the standby decide while the active one already opens what will most likely be the new head."""
        with self._pool.store.draft(self._pool.blender.version) as draft:
            reopening = self._active.begin_reopen(self._active.save(draft.path))
            try:
                draft.check()
                changes = self._judge(draft, edit, scope, required)
            except _Rejected:
                self._await_reopened(reopening)
                raise
            self._await_reopened(reopening)
        return changes

    def _judge(self, draft: Draft, edit: Edit, scope: frozenset[str], required: frozenset[str]) -> tuple[Change, ...]:
        parent = self.head
        before = self._pool.fingerprint(parent.id)
        with self._pool.judge() as judge:
            judge.open(draft.path)
            after = judge.fingerprint()
            changes = compare(before, after, scope)
            if wrong := outside(changes, scope):
                wrong = judge.explain(wrong, self._pool.file(parent.id))
                raise _Rejected("violation", _violation_message(edit, scope, wrong), wrong)
        if missing := sorted(required - after.objects.keys()):
            message = f"The edit removed or renamed objects that must stay: {', '.join(missing)}. {AS_BEFORE}"
            raise _Rejected("missing_object", message)
        if changes:
            self.head = draft.adopt(parent.id, edit, after)
        return changes

    # ── reading, temporary state ──────────────────────────────────────────────────────────────────────────────────────
    def call(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Ask something that changes nothing. After a fault a new Blender holds the head and the fault is raised."""
        if request.mutates:
            raise ValueError(f"{request.method} changes the scene: use edit()")
        if not self._in_temporary:
            self._recycle()
        return self._call(request, timeout_s)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[SceneSession]:
        """Inside, `execute` changes the live scene; afterwards it is the head again."""
        self._in_temporary, self._patched = True, ()
        try:
            yield self
        finally:
            self._in_temporary = False
            if self._patched:
                self._replace(f"what was tried out changed {', '.join(self._patched)}")
            else:
                self._restore_head()

    def execute(self, source: str, timeout_s: float = 30) -> None:
        """Change the live scene for a look. Raises ScriptFailed, or the fault, after which the head is restored."""
        if not self._in_temporary:
            raise RuntimeError("only inside temporary()")
        try:
            self._patched += cast(ExecuteReply, self._call(ExecuteRequest(source=source), timeout_s)[0]).patched
        except ScriptFailed as error:
            self._patched += error.patched
            raise

    def move_to(self, snapshot: Snapshot) -> None:
        """Go on from another accepted state."""
        self._pool.check_version(snapshot)
        self.head = snapshot
        self._restore_head()

    def fresh(self, limits: Limits | None = None) -> None:
        """Go on in a clean process, as at the start of a stage, under the stage's limits."""
        self._limits = limits or self._pool.limits
        self._replace("a stage begins")

    # ── the active Blender ────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def _active(self) -> Worker:
        assert self._worker is not None, "only inside the `with` block"
        return self._worker

    def _call(self, request: Request, timeout_s: float | None) -> Answer:
        try:
            return self._active.call(request, timeout_s)
        except ProcessFault as fault:
            self._replace(f"{fault}")
            raise

    def _restore_head(self) -> None:
        """Make the active Blender hold the head, in a new process where the old one cannot."""
        try:
            if self._active.look().memory_bytes > self._active.limits.memory_bytes // 2:
                return self._replace("it kept so much memory of an edit that the next would pay for it")
            self._active.restore(self._pool.file(self.head.id))
        except (ProcessFault, RequestFailed) as error:
            self._replace(f"it could not open the accepted scene: {error}")

    def _unfit(self) -> str:
        """Why the active Blender should not run another edit; empty where it may."""
        if self._active.ended:
            return "it had ended unasked"
        try:
            return self._active.look().unfit
        except ProcessFault as fault:
            return f"it was lost: {fault.message}"

    def _await_reopened(self, reopening: Pending) -> None:
        try:
            self._active.finish(reopening)
        except (ProcessFault, RequestFailed) as error:  # whatever was decided stands
            self._replace(f"it could not open what it had saved: {error}")

    def _recycle(self) -> None:
        """Between two requests: let a fresh process take the place of a worn one, once it has booted beside it."""
        if self._fresh is None:
            with contextlib.suppress(ProcessFault):  # noticed by what is asked next
                if (worn := self._active.worn("active", self._pool.recycling)) is not None:
                    self._fresh = self._pool.begin_boot(), worn
        elif self._fresh[0].done():
            (booted, worn), self._fresh = self._fresh, None
            try:
                fresh = booted.result()
            except BlenderError as error:
                log.warning("no fresh Blender: %s", error)
                return
            self._take_over(fresh, worn)

    def _take_over(self, fresh: Worker, worn: Recycled) -> None:
        try:
            fresh.limit(self._limits)
            fresh.restore(self._pool.file(self.head.id))
        except BlenderError as error:
            log.warning("%r cannot open the accepted scene: %s", fresh, error)
            self._pool.retire(fresh)
            return
        self._pool.note_recycled(worn)
        self._pool.retire(self._active)
        self._worker = fresh

    def _forget_fresh(self) -> None:
        if self._fresh is not None:
            self._pool.retire_booting(self._fresh[0])
            self._fresh = None

    def _replace(self, reason: str) -> None:
        log.info("%r is replaced: %s", self._active, reason)
        self._forget_fresh()
        file = self._pool.file(self.head.id)
        for _ in range(RESTORE_ATTEMPTS):
            self._pool.retire(self._active)
            self._worker = self._pool.take()
            try:
                self._worker.limit(self._limits)
                return self._worker.restore(file)
            except (ProcessFault, RequestFailed) as error:
                log.warning("%r cannot open the accepted scene: %s", self._worker, error)
        raise SetupFailed(f"the accepted scene {self.head.id[:12]} cannot be opened any more", "See the logs.")


def _is_text(edit: Edit) -> bool:
    """Whether it can be sent and kept: half a surrogate pair cannot."""
    try:
        f"{edit.source}{edit.label}{edit.stage}".encode()
    except UnicodeEncodeError:
        return False
    return True


def _commit_message(changes: tuple[Change, ...]) -> str:
    if not changes:
        return "The code ran and changed nothing."
    return "Changed: " + _listed(changes) + "."


def _violation_message(edit: Edit, scope: frozenset[str], wrong: tuple[Change, ...]) -> str:
    allowed = ", ".join(factor for factor in FACTORS if factor in scope)
    return f"The {edit.stage} stage may change {allowed} only; this edit also changed {_listed(wrong)}. {AS_BEFORE}"


def _unfit_message(error: BlenderError | OSError) -> str:
    return f"The edit could not be accepted: {error}. {AS_BEFORE}"


def _patched_message(patched: tuple[str, ...]) -> str:
    return f"It also changed what later edits rely on, which did not outlive it: {', '.join(patched)}."


def _fault_message(fault: ProcessFault, edit: Edit) -> str:
    where = evidence.last_line(fault)
    lines = edit.source.splitlines()
    place = f" at line {where}: `{lines[where - 1].strip()}`" if 0 < where <= len(lines) else ""
    said = "" if place else f"\nThe last it said:\n{fault.log_tail.strip()[-800:]}"
    return f"Blender was lost while it ran this edit{place} ({fault.message}). {AS_BEFORE}{said}"


def _listed(changes: tuple[Change, ...]) -> str:
    named = "; ".join(sentence(change) for change in changes[:NAMED_AT_MOST])
    more = len(changes) - NAMED_AT_MOST
    return f"{named}; and {more} more" if more > 0 else named
