"""Owns the layout of a run folder, whose it is, and who works in it now.

Does not know what a run does; the journal's content is `journal.py`'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.config import Budget
from agent.errors import NO_ROOM, Interrupted, NodeUnfit, UsageError
from agent.runs.journal import PART, read_journal, write_atomically
from agent.runs.lease import Lease, RunHeld, live_holder
from protocol.models import Value
from sandbox.calling import command

STAGE_NUMBERS = {
    name: number
    for number, name in enumerate(("initialisation", "geometry", "material", "composition", "lighting", "camera"), 1)
}
LATE = 5
"""The number of what takes place between lighting and camera: reopened stages; and of the one loop without stages."""

BEGINNINGS = {"journal.jsonl", "lease.json", "logs", "reference.png", "replies", "result.json", "snapshots",
              "status.json"}  # fmt: skip
"""What a run that ended before its journal's first line may have left."""


class History(Value):
    """What a run's journal says of its budget and time."""

    budget: Budget | None
    """The last one that it was resumed with; None: that of its beginning."""
    minutes: float
    """Until the end of the last process that came to one."""


class RunFolder:
    """Paths of one run. Creating it touches nothing; `prepare` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.reference = self.path / "reference.png"
        self.journal = self.path / "journal.jsonl"
        self.ledger = self.path / "ledger.jsonl"
        self.status = self.path / "status.json"
        self.result = self.path / "result.json"
        self.snapshots = self.path / "snapshots"
        self.logs = self.path / "logs"
        self.scene = self.path / "scene.blend"
        self.program = self.path / "scene.py"
        self.render = self.path / "render.png"
        self.comparison = self.path / "comparison.png"
        self.scene_graph = self.path / "scene_graph.json"
        self.metrics = self.path / "metrics.json"
        self._lease: Lease | None = None

    def stage(self, name: str) -> Path:
        folder = self.path / "stages" / f"{STAGE_NUMBERS.get(name, LATE)}_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def round(self, stage: str, number: int, rollout: int = -1) -> Path:
        """Of a stage's round; a rollout's rounds lie in a folder of its own."""
        folder = self.stage(stage) / (f"rollout_{rollout}" if rollout >= 0 else "") / f"round_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def exists(self) -> bool:
        """Whether a run has begun here: its journal holds a whole line. Raises NodeUnfit where that cannot be seen."""
        try:
            with self.journal.open("rb") as journal:
                return journal.readline().endswith(b"\n")
        except (PermissionError, IsADirectoryError) as error:
            raise self._unreadable(error) from None
        except OSError:  # nothing is there; whether something can be is `prepare`'s to say
            return False

    def _unreadable(self, error: OSError) -> NodeUnfit:
        what = f"{self.journal} cannot be read" if _is_there(self.journal) else f"{self.path} cannot be entered"
        return NodeUnfit(f"{what}: {(error.strerror or str(error)).lower()}.", "See to its rights, or choose another OUT.")

    def prepare(self) -> None:
        """Make the folders; raises UsageError or NodeUnfit when the place cannot be used."""
        try:
            if self.path.is_dir() and not self.exists() and self._strangers():
                raise UsageError(f"output folder {self.path} is not empty and holds no run.", "Choose another OUT.")
            for folder in (self.path, self.snapshots, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"output folder {self.path} is, or lies below, a file.", "Choose another OUT.") from None
        except OSError as error:
            remedy = "Make room, or choose another OUT." if error.errno in NO_ROOM else "Choose another OUT."
            reason = (error.strerror or str(error)).lower()
            raise NodeUnfit(f"output folder {self.path} cannot be written to: {reason}.", remedy) from None

    def try_out(self) -> None:
        """Raises as `prepare` does, and leaves behind only what was there."""
        made = [one for one in (self.logs, self.snapshots, self.path, *self.path.parents) if not _is_there(one)]
        try:
            self.prepare()
        finally:
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _strangers(self) -> list[str]:
        """What lies in the folder and is not of a run that has hardly begun."""
        return [name for name in os.listdir(self.path) if name not in BEGINNINGS and not name.startswith(".")]

    def first_entry(self) -> dict[str, Any]:
        """What the run was started with. Raises UsageError or NodeUnfit when the folder holds no readable run."""
        if not self.exists():
            raise UsageError(f"{self.path} holds no run.", f"Start one: {command('run', 'PICTURE', out=self.path)}")
        entry = next(read_journal(self.journal), None)
        if entry is not None and entry["event"] == "calibration":
            raise UsageError(f"{self.path} holds a calibration, no run.", "Name a run's folder.")
        if entry is None or not {"version", "config", "source", "blender"} <= entry.keys():
            message = f"{self.journal} does not begin as a run's does: its first line is damaged."
            raise UsageError(message, "Start anew with --fresh, or in another folder.")
        return entry

    def history(self) -> History:
        """What earlier processes noted of this run's budget and time."""
        budget, minutes = None, 0.0
        for entry in read_journal(self.journal):
            with contextlib.suppress(KeyError, TypeError, ValueError):  # a line that was changed from outside
                if entry["event"] == "resumed":
                    budget = Budget.model_validate(entry["budget"])
                elif entry["event"] == "failed":
                    minutes = max(minutes, float(entry["minutes"]))
                elif entry["event"] == "result":
                    minutes = max(minutes, float(entry["result"]["spent"]["minutes"]))
        return History(budget=budget, minutes=minutes)

    def last_status(self) -> dict[str, Any]:
        """What the run said last of itself; nothing where that cannot be read."""
        try:
            said = json.loads(self.status.read_bytes())
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def attempts(self) -> int:
        """Processes that came so far as to work in the run."""
        return sum(entry["event"] in ("run", "resumed") for entry in read_journal(self.journal))

    @contextlib.contextmanager
    def lease(self) -> Iterator[None]:
        """Hold the run: raises Interrupted (exit code 75) while another live process works in it."""
        with Lease(self.path) as self._lease:
            self._remove_parts()
            yield

    def fence(self) -> None:
        """To be passed before each write: raises LeaseLost where another process took the run over."""
        if self._lease is not None:
            self._lease.check()

    def held(self) -> bool:
        """Whether a live process works in the run now."""
        try:
            return live_holder(self.path) is not None
        except RunHeld:
            return True

    def move_aside(self) -> Path:
        """Make room for a new run, and say where the old one is now; raises Interrupted while somebody works in it."""
        with self.lease():
            name, number = f"{self.path.name}.{int(time.time())}", 1
            while (aside := self.path.with_name(name if number == 1 else f"{name}-{number}")).exists():
                number += 1
            self.path.rename(aside)
        return aside

    def _remove_parts(self) -> None:
        """What a killed process was writing."""
        for part in self.path.rglob(f"{PART}*"):
            part.unlink(missing_ok=True)


def new_run_path(image: Path, runs: Path = Path("runs")) -> Path:
    """A free folder `runs/<picture's name>`, `-2`, `-3`, … where it is taken."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", image.stem).strip("-.") or "picture"
    number = 1
    while (path := runs / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return path


def write_json(path: Path, value: object) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False

