"""Owns finding the runs to evaluate, and what is known of each without a look at its pictures.

A run's own folder, a batch's, or a folder of either; links are followed that are named or lie in a named folder. What
has become of a run is `farm/outcomes.py`'s to read.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from agent.errors import InputUnreadable, RunError, UsageError
from agent.farm.batch import open_batch
from agent.farm.manifest import Row
from agent.farm.outcomes import SCENES, Outcome, outcome_of
from agent.picture import read_reference
from agent.picture_file import read_content
from agent.runs.journal import read_journal
from protocol.models import Value

log = logging.getLogger(__name__)

DEEPEST = 3
"""Folders of folders of runs that are looked into."""
SIGNS = ("result.json", "journal.jsonl", "status.json")
"""What a run's folder has at least one of."""

State = Literal["finished", "failed", "unfinished"]


class Run(Value):
    """A run as it stands: finished ones have a render, or should have one."""

    id: str
    """Its folder's name, or the row's of a batch."""
    folder: Path
    state: State
    reason: str = ""
    """Why it is not finished."""
    digest: str | None
    """SHA-256 of the file that it was made from; None where nothing tells it."""
    source: str
    """Name of that file."""
    calls: int
    tokens: int
    usd: float | None
    """None where the price of a call is not known."""
    minutes: float
    item: str = ""
    """Id of the item of a data set that it is of, where that is known of it; see `of_items`."""

    @property
    def reference(self) -> Path:
        return self.folder / "reference.png"

    @property
    def render(self) -> Path:
        return self.folder / "render.png"


def find_runs(paths: Iterable[Path]) -> tuple[Run, ...]:
    """Each once, whatever links lead to it. Raises InputUnreadable for a folder that is not there, UsageError for one
    without runs."""
    found: dict[Path, Run] = {}
    for path in paths:
        too_deep: list[Path] = []
        some = list(_runs_in(_there(path), DEEPEST, too_deep))
        if too_deep:
            log.warning("%s: runs are looked for %d folders deep, not below %s", path, DEEPEST, too_deep[0])
        if not some:
            raise UsageError(f"{path} holds no run.", "Name a run's folder, a batch's, or a folder of runs.")
        for run in some:
            found.setdefault(run.folder.resolve(), run)
    return tuple(found.values())


def of_items(runs: Iterable[Run], items: Mapping[Path, str]) -> tuple[Run, ...]:
    """Each with the item that its folder is of: neither its id nor its picture has to tell."""
    return tuple(run.model_copy(update={"item": items[run.folder]}) for run in runs)


def _there(path: Path) -> Path:
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be entered: {(error.strerror or str(error)).lower()}.") from None
    if not is_folder:
        raise InputUnreadable(f"there is no folder {path}.", "Check the path.")
    return path.absolute()


def _runs_in(folder: Path, deep: int, too_deep: list[Path]) -> Iterator[Run]:
    """`too_deep` takes folders with folders that are not looked into."""
    if (folder / "farm" / "batch.json").exists():
        for row in open_batch(folder).rows:
            yield _run(folder / row.id, row)
    elif any((folder / sign).exists() for sign in SIGNS):
        if not (folder / "calibration.json").exists():
            yield _run(folder, None)
    elif deep:
        for child in _folders_in(folder, with_links=deep == DEEPEST):
            yield from _runs_in(child, deep - 1, too_deep)
    elif _folders_in(folder, with_links=False):
        too_deep.append(folder)


def _folders_in(folder: Path, with_links: bool) -> list[Path]:
    """Without hidden ones, and without links that lead back to where they lie; links last."""
    try:
        with os.scandir(folder) as entries:
            seen = [one for one in entries if one.is_dir(follow_symlinks=with_links) and one.name[0] != "."]
    except OSError:
        return []
    here = folder.resolve()
    inside = [one for one in seen if not one.is_symlink() or not here.is_relative_to(Path(one.path).resolve())]
    return [Path(one.path) for one in sorted(inside, key=lambda one: (one.is_symlink(), one.name))]


def _run(folder: Path, row: Row | None) -> Run:
    try:
        return _read(folder, row)
    except OSError as error:
        reason = f"cannot be read: {(error.strerror or str(error)).lower()}"
    id, source = (row.id, row.image.name) if row else (folder.name, folder.name)
    return Run(
        id=id, folder=folder, state="unfinished", reason=reason, digest=picture_digest(row.image) if row else None,
        source=source, calls=0, tokens=0, usd=None, minutes=0.0,
    )  # fmt: skip


def _read(folder: Path, row: Row | None) -> Run:
    entry = next(read_journal(folder / "journal.jsonl"), {}) if folder.is_dir() else {}
    source = Path(str(entry.get("source") or (row.image if row else folder))).name
    outcome = outcome_of(folder, row or Row(index=1, id=folder.name, image=Path(source)))
    state, reason = _state(outcome)
    return Run(
        id=outcome.id,
        folder=folder,
        state=state,
        reason=reason,
        digest=_digest(entry.get("image"), folder, row),
        source=source,
        calls=outcome.calls,
        tokens=outcome.tokens,
        usd=outcome.usd,
        minutes=round(outcome.minutes, 3),
    )


def _state(outcome: Outcome) -> tuple[State, str]:
    if not outcome.folder.is_dir():
        return "unfinished", f"there is no folder {outcome.folder}"
    if outcome.state == "failed":
        return "failed", f"failed for good: {outcome.message or 'its result does not say why'}"
    if outcome.state not in SCENES:
        where = f" at {outcome.where}" if outcome.where else ""
        told = f": {outcome.message}" if outcome.message else ""
        return "unfinished", f"is not finished ({outcome.state.replace('_', ' ')}{where}){told}"
    return "finished", ""


def _digest(said: object, folder: Path, row: Row | None) -> str | None:
    """From the journal, from the reference that lies beside it, from the picture that the row names."""
    if isinstance(said, str) and said:
        return said
    try:
        return read_reference(folder / "reference.png").digest
    except RunError:
        pass
    return picture_digest(row.image) if row else None


def picture_digest(path: Path) -> str | None:
    """SHA-256 of a picture's file, as a run keeps it; None for one that cannot be read."""
    try:
        return hashlib.sha256(read_content(path)).hexdigest()
    except RunError:
        return None
