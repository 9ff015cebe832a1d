"""Owns how a run that failed for good is remembered: as result.json, so that repeating it costs nothing."""

from __future__ import annotations

from typing import Literal

from agent.failures import Failure, FailureClass
from agent.runs.budget import Spending
from agent.runs.folder import RunFolder, write_json
from protocol.models import Value


class FailedRun(Value):
    """The content of result.json where there is no scene, and never will be unless something is changed."""

    status: Literal["failed"] = "failed"
    exit_code: int
    failure_class: FailureClass
    message: str
    attempts: int
    spent: Spending


def note_failed(folder: RunFolder, failure: Failure, attempts: int, spent: Spending) -> None:
    failed = FailedRun(
        exit_code=failure.exit_code,
        failure_class=failure.failure_class,
        message=failure.message,
        attempts=attempts,
        spent=spent,
    )
    write_json(folder.result, failed.model_dump(mode="json"))


def failed_before(folder: RunFolder) -> FailedRun | None:
    """None for a run that has not failed for good."""
    try:
        return FailedRun.model_validate_json(folder.result.read_bytes())
    except (OSError, ValueError):
        return None
