"""Owns one row of a batch as a farm calls it: which picture, how often, what its end means to the engine.

Engines retry whatever ends with another code than 0, so a repeat of what is finished, or has failed for good, is told
so at once and costs nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.errors import NodeUnfit, UsageError
from agent.exit_codes import DEFECT, GO_ON_LATER
from agent.failures import Failed, Failure, failure_of
from agent.farm.manifest import Row, read_row, refuse_missing_pictures
from agent.farm.path_map import read_path_map
from agent.runs.failed import attempts_since_failure, defects, failed_before, forget, note_ended, worn_out
from agent.runs.folder import RunFolder
from agent.runs.lease import LeaseLost, RunHeld

MAX_ATTEMPTS = 5
"""Of a row that is interrupted again and again: engines would start it without end."""

Run = Callable[[argparse.Namespace], int]


def run_row(options: argparse.Namespace, run: Run) -> int:
    """The row's exit code; a failure is noted where a report finds it, and raised."""
    row = row_of(options)
    folder = RunFolder(options.out / row.id)
    if (failed := failed_before(folder)) is not None:
        if not (options.retry_failed or options.fresh):
            raise Failed(failed.failure())
        forget(folder)
    most = options.max_attempts or MAX_ATTEMPTS
    try:
        if (before := attempts_since_failure(folder)) >= most and not options.fresh:
            raise Failed(worn_out(folder, before))
        _refuse_unmounted("picture", row.image)
        refuse_missing_pictures(options.manifest, [row])
        return run(_for_row(options, row, folder))
    except (RunHeld, LeaseLost):  # the folder is another process's
        raise
    except (Exception, KeyboardInterrupt) as error:
        failure = _counted(folder, failure_of(error), most)
        note_ended(folder, failure)
        raise Failed(failure) from error


def row_of(options: argparse.Namespace) -> Row:
    """Raises NodeUnfit where the batch's folder or the manifest's is not there, and as `read_row` does."""
    if options.index is None or options.out is None:
        raise UsageError("--manifest needs --index and --out.", "Which row, and which folder is the batch's?")
    if not options.out.is_dir():  # making it might fill the disk below a mount that is missing
        message = f"the batch's folder {options.out} is not there."
        raise NodeUnfit(message, "Mount it here, or make it where it is new.")
    _refuse_unmounted("manifest", options.manifest)
    path_map = read_path_map(options.path_map) if options.path_map else None
    return read_row(options.manifest, options.index, path_map)


def _refuse_unmounted(what: str, file: Path) -> None:
    """Raises NodeUnfit where not even the file's folder is there: another node may have it."""
    if not file.parent.is_dir():
        raise NodeUnfit(f"the {what}'s folder {file.parent} is not there.", "Mount it here, or correct the path.")


def _for_row(options: argparse.Namespace, row: Row, folder: RunFolder) -> argparse.Namespace:
    """What a run of that picture alone would be told."""
    own: dict[str, Any] = {"image": row.image, "out": folder.path, "row_settings": row.settings}
    if row.seed is not None:
        own["seed"] = row.seed
    return argparse.Namespace(**{**vars(options), **own})


def _counted(folder: RunFolder, failure: Failure, most: int) -> Failure:
    """A defect is tried once more, which may have been the node's; the last attempt that was interrupted is a failure
    for good."""
    if failure.exit_code == DEFECT and defects(folder) == 1:
        message = f"{failure.message} It is tried once more."
        return failure.model_copy(update={"exit_code": GO_ON_LATER, "message": message})
    if failure.exit_code != GO_ON_LATER or (attempts := attempts_since_failure(folder)) < most:
        return failure
    return worn_out(folder, attempts, failure)
