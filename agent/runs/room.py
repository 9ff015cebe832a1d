"""Owns the room on disk that a run needs: asks for it at the start, and waits for it while a disk is full.

While it waits, nothing is done and no model is asked. What was paid for and is about to be written gets the room of a
file that was kept for that (the ballast). A piece of work that failed for want of room is done again once there is
some: what it had finished is in the journal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from agent.config import Disk
from agent.console import Console
from agent.errors import NO_ROOM, NodeUnfit, NoRoom, RoomLost
from agent.runs.journal import Patience
from agent.runs.lease import LeaseLost
from protocol.errors import BlenderError
from sandbox.limits import MIB

T = TypeVar("T")

log = logging.getLogger(__name__)

BALLAST_BYTES = 4 * MIB
"""More than a reply, its booking and the state of a run take."""
LOOK_S = 2.0


def refuse_little_room(disk: Disk, *folders: Path) -> None:
    """Raises NodeUnfit where a run need not begin, with the bytes needed and free."""
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.is_dir())
        needed, free = disk.start_mib * MIB, _free_bytes(there)
        if free < needed:
            message = f"{folder} has {free:,} bytes of free space, and a run needs {needed:,} to begin."
            raise NodeUnfit(message, "Make room, or choose another OUT or TMPDIR.")


class Room(Patience):
    """`with Room(folder, disk, console, passed) as room:` from the begin of a run's work to its end."""

    def __init__(self, folder: Path, disk: Disk, console: Console, passed: Callable[[float], None]) -> None:
        """`passed` is told the seconds that were spent waiting: they are not the run's."""
        self._folder, self._disk, self._console, self._passed = folder, disk, console, passed
        self._needed = {folder: disk.least_mib * MIB}
        """Free bytes below which a folder's disk counts as full."""
        self._ballast = folder / ".ballast"
        self._waiters, self._lock, self._closed = 0, threading.Lock(), threading.Event()
        self.make_room: Callable[[], object] = lambda: None
        """Removes what the run can spare."""

    def __enter__(self) -> Room:
        self._fill_ballast()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if not isinstance(error, LeaseLost):  # else it is another process's by now
            self._drop_ballast()

    def watch(self, folder: Path) -> None:
        """Another folder, perhaps on another disk, in which work needs room."""
        self._needed[folder] = self._disk.least_mib * MIB

    def lacking(self) -> str:
        """What is too full, and how much is needed; empty where there is room."""
        for folder, needed in self._needed.items():
            with contextlib.suppress(FileNotFoundError):
                if (free := _free_bytes(folder)) < needed:
                    return f"{folder} has {free / MIB:,.0f} MiB of free space, {needed / MIB:,.0f} MiB are needed"
        if not self._fill_ballast():
            return f"{self._folder} takes no {BALLAST_BYTES // MIB} MiB any more (a quota?)"
        return ""

    def check(self) -> None:
        """To be asked where something failed that a full disk may have made fail. Raises RoomLost."""
        if lack := self.lacking():
            raise RoomLost(f"{lack}.", "Make room, then resume the run.")

    def wait(self) -> None:
        """Returns once there is room. Raises NoRoom after the longest time that a run may wait."""
        if not self.lacking():
            return
        self.make_room()
        if not (lack := self.lacking()):
            return
        began = time.monotonic()
        first = self._begin_waiting(lack)
        try:
            self._wait(lack, began)
        finally:
            self._end_waiting(time.monotonic() - began if first else 0.0)
        if first:
            self._console.say(f"there is room again, after {time.monotonic() - began:.0f} s; the run goes on")

    def _wait(self, lack: str, began: float) -> None:
        with self._console.waiting(f"waiting for room on disk: {lack}"):
            while lack := self.lacking():
                if time.monotonic() - began >= 60 * self._disk.wait_minutes:
                    message = f"{lack}, for {self._disk.wait_minutes:g} minutes."
                    raise NoRoom(message, "Make room, then resume the run.")
                if self._closed.wait(LOOK_S):
                    raise NoRoom(f"{lack}.", "Make room, then resume the run.")

    def _begin_waiting(self, lack: str) -> bool:
        """Whether nobody else of the run waits yet, who would have said it."""
        with self._lock:
            self._waiters += 1
            first = self._waiters == 1
        self._drop_ballast()  # so that the lease and status.json can be written
        if first:
            left = f"The run waits up to {self._disk.wait_minutes:g} minutes and then goes on by itself."
            self._console.say(f"the disk is full: {lack}. {left}")
        return first

    def _end_waiting(self, waited_s: float) -> None:
        with self._lock:
            self._waiters -= 1
        self._passed(waited_s)
        for folder in self._needed:
            self._needed[folder] = self._disk.least_mib * MIB

    def patiently(self, write: Callable[[], T]) -> T:
        """Write what must not be lost: in the ballast's room, or when there is some again."""
        while True:
            try:
                return write()
            except OSError as error:
                if error.errno not in NO_ROOM or self._closed.is_set():
                    raise
                if not self._drop_ballast():
                    self._ask_for_more(error)
                    self.wait()

    def redoing(self, work: Callable[[], T]) -> T:
        """Do a piece of work, again where it failed for want of room."""
        while True:
            try:
                return work()
            except Exception as error:
                if not self._is_cause_of(error):
                    raise
                log.warning("done again when there is room: %s", error)
            self.wait()

    def _is_cause_of(self, error: BaseException) -> bool:
        if isinstance(error, NoRoom) or self._closed.is_set():
            return False
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in NO_ROOM:
                self._ask_for_more(cause)
                return True
            cause = cause.__cause__
        return isinstance(error, BlenderError | NodeUnfit) and bool(self.lacking())

    def _ask_for_more(self, error: OSError) -> None:
        """What did not fit may be larger than what counts as room: then more than there is now is waited for."""
        if self.lacking():
            return
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else self._folder
        folder = next((one for one in self._needed if place.is_relative_to(one)), self._folder)
        self._needed[folder] = _free_bytes(folder) + self._disk.least_mib * MIB

    def _fill_ballast(self) -> bool:
        """Whether it is there; in bytes that no disk can store as fewer."""
        with self._lock:
            if self._ballast.exists():
                return True
            try:
                with self._ballast.open("wb", buffering=0) as file:
                    if file.write(os.urandom(BALLAST_BYTES)) == BALLAST_BYTES:
                        os.fsync(file.fileno())
                        return True
            except OSError as error:
                if error.errno not in NO_ROOM:
                    return True  # it is something else that is wrong, which others say
            self._ballast.unlink(missing_ok=True)
            return False

    def _drop_ballast(self) -> bool:
        """Whether there was any."""
        with self._lock:
            try:
                self._ballast.unlink()
            except OSError:
                return False
            return True


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
