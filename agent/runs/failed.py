"""Owns how a run that did not finish is remembered: so that repeating a final failure costs nothing, and is counted."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Literal, get_args

from agent.config import Budget
from agent.errors import Interrupted
from agent.exit_codes import DEFECT, WRONG_USAGE
from agent.failures import FINAL, Failure, FailureClass
from agent.runs.budget import Ledger, Spending
from agent.runs.folder import RunFolder, write_json
from agent.runs.journal import Journal, read_journal
from agent.runs.lease import job_id
from agent.runs.lost import book_lost
from protocol.models import Value


WORN_OUT = "WornOut"


class FailedRun(Value):
    """The content of result.json where there is no scene, and never will be unless something is changed."""

    status: Literal["failed"] = "failed"
    exit_code: int
    failure_class: FailureClass
    message: str
    attempts: int
    spent: Spending

    def failure(self) -> Failure:
        return Failure(exit_code=self.exit_code, failure_class=self.failure_class, message=self.message)


def note_ended(folder: RunFolder, failure: Failure) -> None:
    """A final failure in result.json and the journal, any other in status.json alone.

    Writes nothing where another process works in the run by now, where there is a scene, or where the disk refuses.
    """
    if failure.exit_code == WRONG_USAGE:  # the folder may be another run's, and to find it out again costs nothing
        return
    with contextlib.suppress(OSError, Interrupted):
        folder.path.mkdir(exist_ok=True)
        with folder.lease():
            if failure.is_final and not folder.result.exists():
                _note_final(folder, failure)
            ended = {"state": "failed" if failure.is_final else "stopped", "attempts": folder.attempts()}
            said = failure.model_dump(include={"failure_class", "exit_code", "message"})
            write_json(folder.status, {**folder.last_status(), **ended, **said, "job": job_id()})


def failed_before(folder: RunFolder) -> FailedRun | None:
    """None for a run that has not failed for good."""
    try:
        return FailedRun.model_validate_json(folder.result.read_bytes())
    except (OSError, ValueError):
        return None


def forget(folder: RunFolder) -> None:
    """A run that has failed for good is one like any other again, with what it cost and all that it has come to."""
    if failed_before(folder) is not None:
        with folder.lease():
            folder.result.unlink(missing_ok=True)


def defects(folder: RunFolder) -> int:
    """How often an attempt at the run ended with what may be a defect, so far."""
    failures = (entry for entry in read_journal(folder.journal) if entry["event"] == "failed")
    return sum(entry.get("exit_code") == DEFECT and entry.get("kind") != WORN_OUT for entry in failures)


def attempts_since_failure(folder: RunFolder) -> int:
    """Processes that worked in the run since it last failed for good: tried again, it has all its attempts anew."""
    attempts = 0
    for entry in read_journal(folder.journal):
        if entry["event"] in ("run", "resumed"):
            attempts += 1
        elif entry["event"] == "failed" and entry.get("exit_code") in FINAL:
            attempts = 0
    return attempts


def worn_out(folder: RunFolder, attempts: int, last: Failure | None = None) -> Failure:
    """Too often interrupted: of the class of what interrupted it last."""
    before = folder.last_status() if last is None else last.model_dump()
    said = before.get("failure_class")
    name = said if said in get_args(FailureClass) else "interrupted"
    message = f"given up after {attempts} attempts: {before.get('message') or 'each was ended from outside'}"
    return Failure.model_validate({"exit_code": DEFECT, "failure_class": name, "message": message})


def _note_final(folder: RunFolder, failure: Failure) -> None:
    history, spent = folder.history(), Spending()
    if folder.journal.exists():
        journal = Journal(folder.path, folder.fence)
        if attempts_since_failure(folder):  # which the run itself did not come to note
            said = failure.model_dump(include={"exit_code", "failure_class", "message"})
            journal.note("failed", kind=WORN_OUT, minutes=history.minutes, **said)
        with contextlib.suppress(OSError):
            ledger = Ledger(folder.ledger, history.budget or Budget(), history.minutes, folder.fence)
            with contextlib.suppress(ValueError):  # a line of the journal was changed from outside
                book_lost(journal, ledger)
            spent = ledger.spent()
        journal.close()
    failed = FailedRun(
        exit_code=failure.exit_code,
        failure_class=failure.failure_class,
        message=failure.message,
        attempts=folder.attempts(),
        spent=spent,
    )
    write_json(folder.result, failed.model_dump(mode="json"))
