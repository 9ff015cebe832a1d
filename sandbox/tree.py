"""Owns the tree of processes below one Blender: who belongs to it, how much memory it holds, how it is killed.

Members are found by descent, by session, and by a mark in their environment that survives setsid, double forks and the
death of their parents. Where the caller is their subreaper, orphans come to it, and none escapes; elsewhere a process
that cleared its environment *and* was never seen as a descendant does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

MARK = "SEIG_EPOCH"
LINUX: bool = sys.platform == "linux"
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Tree:
    """One Blender and whatever it started."""

    def __init__(self, root: int, epoch: str, *, adopting: bool = False) -> None:
        """`adopting`: all children of the calling process belong to it, as orphans that came to their subreaper do."""
        self.root, self._adopting = root, adopting
        self._mark = f"{MARK}={epoch}".encode()
        self._lock = threading.RLock()
        self._known: dict[int, float] = {}
        self._strangers: set[int] = set()

    def refresh(self) -> None:
        """Look for new members below the known ones; cheap enough for several times a second."""
        with self._lock:
            for pid in [self.root, *self._known, *([os.getpid()] if self._adopting else ())]:
                for child in _children(pid):
                    self._add(child)
            if self._adopting:
                self._bury()

    def sweep(self) -> None:
        """Look at every process of the machine that was not looked at before."""
        with self._lock:
            pids = set(psutil.pids())
            self._strangers &= pids
            for pid in pids - self._strangers - self._known.keys() - {self.root}:
                if self._is_ours(pid):
                    self._add(pid)
                else:
                    self._strangers.add(pid)

    def memory_bytes(self) -> int:
        """Resident memory of all members; pages that forks share are counted for each."""
        with self._lock:
            return sum(resident_bytes(pid) for pid in (self.root, *self._known))

    def __len__(self) -> int:
        with self._lock:
            self._known = {pid: born for pid, born in self._known.items() if _born(pid) == born}
            return 1 + len(self._known)

    def kill(self, patience_s: float = 5.0, *, root_is_ours: bool = True) -> bool:
        """Kill all members until none is left; False when some survive the patience (stuck in the kernel).

        `root_is_ours` says that the root has not been waited for yet, so that its number cannot mean another process.
        """
        deadline = time.monotonic() + patience_s
        if root_is_ours:
            self.kill_root()
        while alive := self._survivors():
            for pid in alive:
                _send(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def kill_root(self) -> None:
        """Kill the root and its process group, which the kernel does at one stroke, so that no fork slips through.

        Children in groups of their own, whom nobody could find by descent afterwards, are noted first.
        """
        _send(self.root, signal.SIGSTOP)
        self.refresh()
        with contextlib.suppress(OSError):
            os.killpg(self.root, signal.SIGKILL)
        _send(self.root, signal.SIGKILL)

    def _survivors(self) -> list[int]:
        with self._lock:
            self._strangers.clear()
            self.refresh()
            self.sweep()
            return [pid for pid, born in self._known.items() if _born(pid) == born and not _is_zombie(pid)]

    def _bury(self) -> None:
        """Let go of ended orphans, which nobody else waits for."""
        for pid in self._known:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _add(self, pid: int) -> None:
        if pid != self.root and pid not in self._known and (born := _born(pid)):
            self._known[pid] = born

    def _is_ours(self, pid: int) -> bool:
        try:
            if os.getsid(pid) == self.root:
                return True
            if LINUX:
                return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            return self._mark.decode().partition("=")[2] == psutil.Process(pid).environ().get(MARK)
        except (OSError, psutil.Error):
            return False


def _children(pid: int) -> list[int]:
    try:
        if LINUX:
            tasks = Path(f"/proc/{pid}/task").iterdir()
            return [int(child) for task in tasks for child in _read(task / "children").split()]
        return [child.pid for child in psutil.Process(pid).children()]
    except (OSError, psutil.Error):
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread ended meanwhile
        return ""


def resident_bytes(pid: int) -> int:
    """Of one process; 0 where there is none."""
    try:
        if LINUX:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        return int(psutil.Process(pid).memory_info().rss)
    except (OSError, IndexError, ValueError, psutil.Error):
        return 0


def _born(pid: int) -> float:
    """When the process began; 0 where there is none (any more)."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
