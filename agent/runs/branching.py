"""Owns the branch of a run: a copy of its folder as it stood when a stage began, to be gone on with from there."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.errors import UsageError
from agent.runs.folder import RunFolder
from agent.runs.journal import read_lines

COPIED = ("reference.png", "ledger.jsonl", "snapshots", "replies")
"""Beside the journal. What was spent until then counts in the branch too."""


def branch(run: RunFolder, stage: str, target: RunFolder) -> None:
    """Copy what came before the stage. Raises UsageError where the run has not come to it, or the target is taken."""
    if target.path.exists():
        raise UsageError(f"{target.path} is there already.", "Name another folder with --out.")
    lines = list(read_lines(run.journal))
    kept = next((number for number, (_, entry) in enumerate(lines) if _belongs(str(entry.get("key", "")), stage)), None)
    if kept is None:
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
        (part / run.journal.name).write_bytes(b"".join(line for line, _ in lines[:kept]))
        part.rename(target.path)


def branch_path(run: Path, stage: str) -> Path:
    """A free folder beside the run's: NAME-from-material, NAME-from-material-2, …"""
    number = 1
    while True:
        path = run.with_name(f"{run.name}-from-{stage}" + (f"-{number}" if number > 1 else ""))
        if not path.exists():
            return path
        number += 1


def _belongs(key: str, stage: str) -> bool:
    """Whether a step's key is of a call in the stage: kind/rollout/stage/round/…"""
    parts = key.split("/")
    return len(parts) > 3 and parts[0] in ("reply", "tool") and parts[2] == stage
