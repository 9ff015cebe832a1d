"""Owns what a command that fails comes to: in words, as the exit code that a farm reads, as a class of failure.

The classes are those of a batch's report; what a farm does about each is documented in docs/farm.md.
"""

from __future__ import annotations

import os
from typing import Literal

from agent.errors import (
    NO_ROOM,
    NOT_ALLOWED,
    BudgetExhausted,
    ConfigurationError,
    InputUnreadable,
    Interrupted,
    ModelRefused,
    ModelUnavailable,
    NodeUnfit,
    NoRoom,
    RunError,
    UsageError,
)
from protocol.errors import BlenderError, BreakerOpen, OutOfMemory, SetupFailed
from protocol.models import Value
from sandbox.snapshots import SnapshotUnfit

FailureClass = Literal["api", "oom", "blender_crash", "input", "budget", "node", "interrupted", "bug"]

FINAL = frozenset({10, 64, 65, 70, 78})
"""Exit codes after which the same command would only fail again."""


class Failure(Value):
    """How a command ended that did not finish."""

    exit_code: int
    failure_class: FailureClass
    message: str
    """The thing, the reason, the way out."""
    is_defect: bool = False
    """Of this program: its traceback is worth reporting."""

    @property
    def is_final(self) -> bool:
        return self.exit_code in FINAL


class Failed(Exception):
    """Ends a command with a failure that is known by all its parts: one of before, most often."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """What an exception means."""
    if isinstance(error, Failed):
        return error.failure
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in NO_ROOM:
        error = cause if cause.filename else OSError(f"{str(error).rstrip('.')}. {_way_out(cause)}")
    if isinstance(error, RunError):
        return Failure(exit_code=error.exit_code, failure_class=_class_of(error), message=str(error))
    if isinstance(error, BreakerOpen):
        return Failure(exit_code=75, failure_class="blender_crash", message=f"{error.message} {error.remedy}")
    if isinstance(error, SetupFailed):
        return Failure(exit_code=69, failure_class="node", message=f"{error.message} {error.remedy}")
    if isinstance(error, SnapshotUnfit):
        message = f"{error}. The run folder is damaged: start anew with --fresh, or in another folder."
        return Failure(exit_code=70, failure_class="bug", message=message)
    if isinstance(error, BlenderError):
        kind: FailureClass = "oom" if isinstance(error, OutOfMemory) else "blender_crash"
        message = f"Blender failed: {error}. What was accepted is kept: resume the run."
        return Failure(exit_code=70, failure_class=kind, message=message)
    if isinstance(error, OSError):
        return Failure(exit_code=69, failure_class="node", message=f"{_reason(error)}. {_way_out(error)}".strip())
    if isinstance(error, KeyboardInterrupt):
        return Failure(exit_code=75, failure_class="interrupted", message="interrupted.")
    message = "this is a defect of the program; please report the lines above."
    return Failure(exit_code=70, failure_class="bug", message=message, is_defect=True)


def _class_of(error: RunError) -> FailureClass:
    found = next((word for kinds, word in _CLASSES if isinstance(error, kinds)), None)
    return found or ("oom" if isinstance(error.__cause__, OutOfMemory) else "bug")


_CLASSES: tuple[tuple[type[RunError] | tuple[type[RunError], ...], FailureClass], ...] = (
    ((ModelUnavailable, ModelRefused), "api"),
    (BudgetExhausted, "budget"),
    ((InputUnreadable, UsageError, ConfigurationError), "input"),
    ((NodeUnfit, NoRoom), "node"),
    (Interrupted, "interrupted"),
)
"""The first that fits: the particular before the general."""


def _reason(error: OSError) -> str:
    """With the file or folder, which some errors lack."""
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
    return f"{place}: {(error.strerror or str(error)).lower()}" if place else str(error).rstrip(".")


def _way_out(error: OSError) -> str:
    if error.errno in NO_ROOM:
        return "Make room, then resume the run."
    return "See to its rights, or choose another folder." if error.errno in NOT_ALLOWED else ""
