"""Owns a batch's folder: the rows as they were when it began, beside the folders of its runs.

ROOT/farm/batch.json      what the batch is, and the digest of its rows
ROOT/farm/manifest.jsonl  the rows, frozen: task K of the farm is row K of it, and stays it where rows are added
ROOT/farm/settings.toml   the configuration file, where one was given: a copy
ROOT/farm/logs/           what the engine kept of the tasks' output
ROOT/batch.*, template.json   its report; its description for Open Job Description
ROOT/<id>/                the run of a row
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from agent.errors import InputUnreadable, NodeUnfit, UsageError
from agent.farm.manifest import FROZEN, Manifest, Row, read_manifest
from agent.runs.folder import write_json
from agent.runs.journal import write_atomically
from protocol.models import Value
from sandbox.calling import command

TEMPLATE = "template.json"


class Batch(Value):
    root: Path
    """Absolute."""
    title: str
    digest: str
    rows: tuple[Row, ...]
    settings: str = ""
    """Digest of what all runs are told that shapes their results."""

    @property
    def folder(self) -> Path:
        return self.root / "farm"

    @property
    def manifest(self) -> Path:
        return self.folder / FROZEN

    @property
    def config_file(self) -> Path:
        """The copy of the one that the runs are told."""
        return self.folder / "settings.toml"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


class _Record(Value):
    title: str
    digest: str
    created: float
    rows: int
    settings: str = ""
    frozen: str
    """Digest of manifest.jsonl."""
    before: str = ""
    """The same before it grew last: a kill may have come between."""


def begin_batch(root: Path, source: Path, manifest: Manifest, settings: str = "") -> Batch:
    """Freeze the rows in a folder; a batch of the same rows and settings goes on. Raises UsageError for another one."""
    root = root.absolute()
    folder = root / "farm"
    if not str(root).isprintable():
        raise UsageError(f"the folder {str(root)!r} has a line break or the like in its name.", "Choose another.")
    if (folder / "batch.json").exists():
        batch = open_batch(root)
        if batch.digest != manifest.digest:
            message = f"{root} is the folder of another batch, {batch.title!r}: its rows differ."
            raise UsageError(message, "Choose another folder, or give the manifest that it was begun with.")
        if batch.settings != settings:
            message = f"the batch in {root} was begun with other settings than are given after -- now."
            raise UsageError(message, "Choose another folder, or give the settings that it was begun with.")
        return batch
    try:
        if root.is_dir() and any(root.iterdir()) and not folder.is_dir():
            raise UsageError(f"the folder {root} is not empty and holds no batch.", "Choose another folder.")
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        frozen = "".join(map(_frozen, manifest.rows)).encode()
        write_atomically(folder / FROZEN, frozen)
        record = _Record(
            title=source.stem,
            digest=manifest.digest,
            created=time.time(),
            rows=len(manifest.rows),
            settings=settings,
            frozen=_digest(frozen),
        )
        write_json(folder / "batch.json", record.model_dump(mode="json"))
    except FileExistsError:
        raise UsageError(f"the folder {root} is, or lies below, a file.", "Choose another folder.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NodeUnfit(f"the folder {root} cannot be written to: {reason}.", "Choose another folder.") from None
    return Batch(root=root, title=record.title, digest=record.digest, rows=manifest.rows, settings=settings)


def grow_batch(batch: Batch, rows: Sequence[Row]) -> Batch:
    """Add rows at the end: those that were there keep their index, so tasks that are under way are not disturbed."""
    more = [row.model_copy(update={"index": len(batch.rows) + number}) for number, row in enumerate(rows, start=1)]
    record = batch.folder / "batch.json"
    known, text = _Record.model_validate_json(record.read_bytes()), batch.manifest.read_bytes()
    frozen = text + "".join(map(_frozen, more)).encode()
    grown = known.model_copy(
        update={"rows": len(batch.rows) + len(more), "frozen": _digest(frozen), "before": _digest(text)}
    )
    write_json(record, grown.model_dump(mode="json"))
    write_atomically(batch.manifest, frozen)
    return batch.model_copy(update={"rows": (*batch.rows, *more)})


def open_batch(root: Path) -> Batch:
    """Raises UsageError for a folder that holds no batch, InputUnreadable for a damaged one."""
    root = root.absolute()
    record = root / "farm" / "batch.json"
    try:
        known = _Record.model_validate_json(record.read_bytes())
    except FileNotFoundError:
        begin = command("farm submit", "MANIFEST", out=root)
        raise UsageError(f"{root} holds no batch.", f"Begin one: {begin}") from None
    except (OSError, ValueError) as error:
        raise InputUnreadable(f"{record} cannot be read: {str(error)[:200]}.", "Begin the batch anew.") from None
    frozen = root / "farm" / FROZEN
    rows = read_manifest(frozen).rows
    if _digest(frozen.read_bytes()) not in (known.frozen, known.before):
        raise InputUnreadable(f"{frozen} was changed since the batch began.", "Put it back, or begin the batch anew.")
    return Batch(root=root, title=known.title, digest=known.digest, rows=rows, settings=known.settings)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _frozen(row: Row) -> str:
    said = {"id": row.id, "image": os.path.abspath(row.image), "seed": row.seed, "settings": row.settings}
    return json.dumps({name: value for name, value in said.items() if value not in (None, {})}) + "\n"
