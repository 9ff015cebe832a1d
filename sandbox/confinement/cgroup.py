"""Owns one Blender's control groups: memory and number of processes bounded by the kernel, killed at one stroke.

Each controller is looked for on its own, in version 1 and 2, where this process may write; where it may not there is
no group, and the watch over the tree bounds alone. Version 1 and the kill of version 2 were tried; the limits of
version 2, after the kernel's documentation, were not.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.limits import Limits

log = logging.getLogger(__name__)

_PREFIX = "seig-"
_numbers = itertools.count(1)
_LIMITS = {
    "memory.limit_in_bytes": "memory", "memory.memsw.limit_in_bytes": "memory", "memory.max": "memory",
    "memory.swap.max": "no swap", "memory.oom.group": "whole", "pids.max": "pids",
}  # fmt: skip
"""File of a group → what to write into it, where it exists. The order counts: memory before memory with swap."""


class ControlGroup:
    """A group per controller, from making to `remove`."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    @property
    def join_files(self) -> list[str]:
        """A process that writes "0" into each of these is in."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for their memory."""
        return max((_oom_kills(folder) for folder in self.folders), default=0)

    def pids(self) -> set[int]:
        """Everything in it, however it came there."""
        return {pid for folder in self.folders for pid in _pids(folder)}

    def kill(self, patience_s: float = 2.0) -> bool:
        """Kill all members until none is left; False when some survive the patience."""
        deadline = time.monotonic() + patience_s
        for folder in self.folders:
            with suppress(OSError):
                (folder / "cgroup.kill").write_text("1")
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def remove(self) -> None:
        """Only an empty one goes; what stays is removed by a later process."""
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()


def make(limits: Limits) -> ControlGroup | None:
    """A group with these limits in every controller that may be written; None where there is none."""
    wanted = {"memory": str(limits.memory_bytes), "no swap": "0", "whole": "1", "pids": str(_tasks(limits))}
    folders = []
    for parent in _parents():
        _remove_abandoned(parent)
        folder = parent / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        try:
            folder.mkdir()
        except OSError:
            continue
        _limit(folder, wanted)
        folders.append(folder)
    return ControlGroup(folders) if folders else None


def _tasks(limits: Limits) -> int:
    """Threads count too: of Blender itself there are several pools with one per processor."""
    return limits.processes + 64 + 8 * (os.cpu_count() or 1)


def _limit(folder: Path, wanted: dict[str, str]) -> None:
    for name, what in _LIMITS.items():
        if (folder / name).exists():
            try:
                (folder / name).write_text(wanted[what])
            except OSError as error:
                log.debug("control group %s: %s: %s", folder, name, error)


def _parents() -> Iterator[Path]:
    """Groups that a child may be made in: version 1's for memory and pids, and the one of version 2."""
    mounts = dict(_mounts())
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, group = line.split(":", 2)
        for controller in controllers.split(",") if controllers else ["unified"]:
            if controller in ("memory", "pids", "unified") and controller in mounts:
                own = mounts[controller] / group.lstrip("/")
                found = _writable_above(own, mounts["unified"]) if controller == "unified" else own
                if found is not None and _may_make(found):
                    yield found


def _writable_above(own: Path, root: Path) -> Path | None:
    """Version 2: a group gives its controllers to children only while it holds no process itself, so the nearest one
    above that does already; else our own, whose children at least can be killed at one stroke."""
    for folder in (own, *own.parents):
        if "memory" in _read(folder / "cgroup.subtree_control").split() and _may_make(folder):
            return folder
        if folder == root:
            break
    return own


def _may_make(folder: Path) -> bool:
    return all(os.access(path, os.W_OK) for path in (folder, folder / "cgroup.procs")) and _is_writable(folder)


def _is_writable(folder: Path) -> bool:
    """Not mounted read-only, as in most containers."""
    try:
        return not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False


def _mounts() -> Iterator[tuple[str, Path]]:
    for line in _read(Path("/proc/self/mounts")).splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            yield "unified", Path(place)
        elif kind == "cgroup":
            yield from ((name, Path(place)) for name in options.split(",") if name in ("memory", "pids"))


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(_PREFIX + "*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", folder.name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            with suppress(OSError):
                folder.rmdir()


def _oom_kills(folder: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        if found := re.search(r"^oom_kill (\d+)", _read(folder / name), re.MULTILINE):
            return int(found[1])
    return 0


def _pids(folder: Path) -> list[int]:
    return [int(pid) for pid in _read(folder / "cgroup.procs").split()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
