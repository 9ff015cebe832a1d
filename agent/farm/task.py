"""Owns one row of a batch as a farm calls it: which picture, how often, what its end means to the engine.

Engines retry whatever ends with another code than 0, so a repeat of what is finished, or has failed for good, is told
so at once and costs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable
from typing import Any

from agent.config import Budget
from agent.errors import UsageError
from agent.failures import Failure, failure_of
from agent.farm.manifest import Row, read_manifest, refuse_missing_pictures
from agent.farm.path_map import read_path_map
from agent.progress import failure_lines
from agent.runs.budget import Ledger, Spending
from agent.runs.failed import failed_before, note_failed
from agent.runs.folder import RunFolder, write_json
from agent.runs.lease import LeaseLost, RunHeld, job_id

MAX_ATTEMPTS = 5
"""Of a row that is interrupted again and again: engines would start it without end."""

Run = Callable[[argparse.Namespace], int]


def run_row(options: argparse.Namespace, run: Run) -> int:
    """The row's exit code, with everything noted that a report needs."""
    row = row_of(options)
    folder = RunFolder(options.out / row.id)
    if (failed := failed_before(folder)) is not None:
        if not options.retry_failed:
            return _end(options, Failure(**failed.model_dump(include={"exit_code", "failure_class", "message"})))
        folder.result.unlink()
    attempt = folder.attempts() + 1
    try:
        if attempt > (options.max_attempts or MAX_ATTEMPTS):
            failure = _worn_out(folder, attempt - 1)
            return _end(options, failure, folder, attempt - 1)
        refuse_missing_pictures(options.manifest, [row])
        return run(_for_row(options, row, folder))
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, RunHeld | LeaseLost):  # the folder is another process's
            return _end(options, failure_of(error))
        failure = failure_of(error)
        code = _end(options, failure, folder, attempt)
        if failure.is_defect:
            raise
        return code


def row_of(options: argparse.Namespace) -> Row:
    if options.index is None or options.out is None:
        raise UsageError("--manifest needs --index and --out.", "Which row, and which folder is the batch's?")
    path_map = read_path_map(options.path_map) if options.path_map else None
    return read_manifest(options.manifest, path_map).row(options.index)


def _for_row(options: argparse.Namespace, row: Row, folder: RunFolder) -> argparse.Namespace:
    """What a run of that picture alone would be told."""
    own: dict[str, Any] = {"image": row.image, "out": folder.path, "row_settings": row.settings}
    if row.seed is not None:
        own["seed"] = row.seed
    return argparse.Namespace(**{**vars(options), **own})


def _worn_out(folder: RunFolder, attempts: int) -> Failure:
    """Of the class of what interrupted it last."""
    with contextlib.suppress(OSError, ValueError):
        before = json.loads(folder.status.read_bytes())
        last = before.get("failure_class") or "interrupted"
        message = f"given up after {attempts} attempts: {before.get('message') or 'each was ended from outside'}"
        return Failure(exit_code=70, failure_class=last, message=message)
    return Failure(exit_code=70, failure_class="interrupted", message=f"given up after {attempts} attempts.")


def _end(options: argparse.Namespace, failure: Failure, folder: RunFolder | None = None, attempts: int = 0) -> int:
    """Say it as the engine reads it, and note it where a report finds it."""
    if folder is not None:
        with contextlib.suppress(OSError):  # the folder may well be what failed
            folder.path.mkdir(parents=True, exist_ok=True)
            if failure.is_final:
                note_failed(folder, failure, attempts, _spent(folder))
            _note_status(folder, failure, attempts)
    lines = failure_lines(options.progress, failure.failure_class, failure.exit_code, failure.message)
    with contextlib.suppress(OSError):
        print("\n".join([*lines, f"seig: {failure.message.strip()}"]), flush=True)
    return failure.exit_code


def _spent(folder: RunFolder) -> Spending:
    ledger = Ledger(folder.ledger, Budget(), folder.history().minutes)
    return ledger.spent()


def _note_status(folder: RunFolder, failure: Failure, attempts: int) -> None:
    status: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        status = json.loads(folder.status.read_bytes())
    ended = {"state": "failed" if failure.is_final else "stopped", "attempts": attempts, "job": job_id()}
    said = {"failure_class": failure.failure_class, "exit_code": failure.exit_code, "message": failure.message}
    write_json(folder.status, {**status, **ended, **said})
