"""Owns the branch of a run: a copy of its folder as it stood when a stage began, to be gone on with from there."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.runs.folder import RunFolder
from agent.runs.journal import read_lines

COPIED = ("reference.png", "snapshots", "replies")
"""Beside the journal and the ledger: what was spent until then counts in the branch too."""


def branch(run: RunFolder, stage: str, target: RunFolder) -> None:
    """Copy what came before the stage. Raises UsageError where the run has not come to it, or the target is taken."""
    if target.path.exists():
        raise UsageError(f"{target.path} is there already.", "Name another folder with --out.")
    lines = list(read_lines(run.journal))
    said = [line for line, _ in itertools.takewhile(lambda one: not _belongs(one[1], stage), lines)]
    if len(said) == len(lines):
        raise UsageError(f"{run.path} has not come to the stage {stage}.", "Name a stage that it has been through.")
    with run.lease():
        part = target.path.with_name(f".{target.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in COPIED:
            if (run.path / name).is_dir():
                shutil.copytree(run.path / name, part / name)
            elif (run.path / name).exists():
                shutil.copyfile(run.path / name, part / name)
        (part / run.journal.name).write_bytes(b"".join(said))
        spent = run.ledger.read_bytes().splitlines(keepends=True) if run.ledger.exists() else []
        before = itertools.takewhile(lambda line: f'"stage": "{stage}"'.encode() not in line, spent)
        (part / run.ledger.name).write_bytes(b"".join(before))
        part.rename(target.path)


def branch_path(run: Path, stage: str) -> Path:
    """A free folder beside the run's: NAME-from-material, NAME-from-material-2, …"""
    number = 1
    while True:
        path = run.with_name(f"{run.name}-from-{stage}" + (f"-{number}" if number > 1 else ""))
        if not path.exists():
            return path
        number += 1


def _belongs(entry: dict[str, Any], stage: str) -> bool:
    """Whether it is of a call in the stage: its key is kind/rollout/stage/round/…"""
    parts = str(entry.get("key", "")).split("/")
    return len(parts) > 3 and parts[0] in ("reply", "tool") and parts[2] == stage
