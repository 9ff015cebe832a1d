"""Owns the making of a level of isolation for one Blender: from its settings to the command line that brings it about.

The launcher carries out what must happen in the new process; `probes` tries whether it holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import select
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from protocol.errors import SetupFailed
from sandbox.confinement import bubblewrap, cgroup, landlock, paths, seccomp
from sandbox.confinement.levels import Level
from sandbox.limits import Limits

LAUNCH = Path(__file__).resolve().parent.parent / "launch.py"
LINUX: bool = sys.platform == "linux"


class Confinement:
    """One start at one level. Tell it when the process was started, and close it when the process has ended."""

    def __init__(self, level: Level, settings: dict[str, Any], group: cgroup.ControlGroup | None) -> None:
        self.level, self.group = level, group
        self._settings = settings
        self._wrapper: list[str] = []
        self._inherited: list[int] = []
        self._status: int | None = None
        self._said = b""

    def command(self, inner: list[str]) -> list[str]:
        """The whole command line: our launcher, bubblewrap at L3, then `inner`."""
        return [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(self._settings), *self._wrapper, *inner]

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """Descriptors that the process must inherit."""
        return tuple(self._inherited)

    @property
    def helpers(self) -> int:
        """Processes in the tree that belong to the level and not to what runs in it."""
        return 2 if self._wrapper else 0

    def started(self) -> None:
        """Let go of what the process has inherited, whether or not it could be started."""
        while self._inherited:
            os.close(self._inherited.pop())

    def inside(self, pid: int) -> int:
        """The process that does the work, given the one that was started; that one itself while there is no other."""
        for _ in range(self.helpers):
            try:
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            except (OSError, IndexError):
                break
        return pid

    def returncode(self, code: int | None) -> int | None:
        """How what runs inside ended, in subprocess's way, given how the process that was started did."""
        inside = self._reported().get("exit-code") if self._wrapper else None
        return 128 - int(inside) if inside is not None and int(inside) > 128 else code

    def set_up_failed(self, code: int | None) -> bool:
        """Whether the process ended because the level could not be brought about; its output says why."""
        return bool(self._wrapper) and code not in (None, 0) and "child-pid" not in self._reported()

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for its memory."""
        return self.group is not None and self.group.oom_kills() > 0

    def kill(self) -> bool:
        """Kill everything in the control group, where there is one; False when something survived."""
        return self.group.kill() if self.group else True

    def close(self) -> None:
        """Forget it; nothing may run in it any more. Closing twice is harmless."""
        self.started()
        if self._status is not None:
            os.close(self._status)
            self._status = None
        if self.group is not None:
            self.group.remove()

    def _wrap(self, read: list[Path], folder: Path, gpu: bool, devices: list[str]) -> None:
        self._status, write_end = os.pipe()
        os.set_blocking(self._status, False)
        self._inherited.append(write_end)
        rules = os.memfd_create("seccomp")
        self._inherited.append(rules)
        os.write(rules, seccomp.program(seccomp.rules(metadata=False, truncate=False, signals_of=None)))
        os.lseek(rules, 0, os.SEEK_SET)
        self._wrapper = bubblewrap.command(read, folder, devices=devices, gpu=gpu, seccomp=rules, status=write_end)

    def _reported(self) -> dict[str, Any]:
        """All that bubblewrap has written so far, one JSON object a line."""
        if self._status is not None and select.select([self._status], [], [], 0)[0]:
            with contextlib.suppress(BlockingIOError):
                self._said += os.read(self._status, 65536)
        reported: dict[str, Any] = {}
        for line in self._said.splitlines():
            with contextlib.suppress(ValueError):
                reported.update(json.loads(line))
        return reported


def confine(
    level: Level, read: list[Path], folder: Path, limits: Limits, *, gpu: bool = False, devices: Iterable[str] = ()
) -> Confinement:
    """Make ready to start a program that consists of `read` at a level, with `folder` as the one it may write to.
    SetupFailed where the machine lacks what the level needs; whether the level *holds* is for the probes to say.

    `gpu` lets it use the graphics cards; `devices` names further device files.
    """
    shown = paths.gpu_devices(devices) if gpu else paths.existing(devices)
    require(level)
    group = cgroup.make(limits) if level >= Level.TREE else None
    settings: dict[str, Any] = {"parent": os.getpid(), "limits": rlimits(limits)}
    if level >= Level.TREE:
        settings["limits"] |= _process_limit(limits)
        settings["cgroups"] = group.join_files if group else []
    confinement = Confinement(level, settings, group)
    if level == Level.CONFINED:
        settings["confined"] = _landlock_paths(read, folder, gpu, shown)
    elif level == Level.SANDBOXED:
        confinement._wrap(read, folder, gpu, shown)
    return confinement


def require(level: Level) -> None:
    """SetupFailed, with a remedy, where the machine lacks what the level is made of."""
    if level >= Level.TREE and not LINUX:
        raise SetupFailed(f"{level} needs Linux.", f"On {platform.system()} there is only L0.")
    if level >= Level.CONFINED and not seccomp.is_known():
        raise SetupFailed(f"{level} has no list of system calls for {platform.machine()}.", "Use L1 there.")
    if level == Level.CONFINED and not landlock.version():
        raise SetupFailed("The kernel has no Landlock, or it is not switched on.", LANDLOCK_REMEDY)
    if level == Level.SANDBOXED and bubblewrap.find() is None:
        raise SetupFailed("bubblewrap is not installed.", BUBBLEWRAP_REMEDY)


LANDLOCK_REMEDY = "Use Linux 5.13 or newer, with `landlock` among the kernel's lsm= (see /sys/kernel/security/lsm)."
BUBBLEWRAP_REMEDY = "Install it: apt-get install bubblewrap (or dnf, pacman, zypper: the package has the same name)."


def rlimits(limits: Limits) -> dict[str, int]:
    """What the launcher lowers for good."""
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_DATA": limits.data_bytes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CPU": limits.cpu_s,
    }


def _process_limit(limits: Limits) -> dict[str, int]:
    """Counts all threads of the user, everywhere, so it leaves room for others; root is not bound by it."""
    if os.getuid() == 0:
        return {}
    cores = os.cpu_count() or 1
    return {"RLIMIT_NPROC": _threads_of_user() + max(1024, 16 * cores) + limits.processes}


def _threads_of_user() -> int:
    count, us = 0, os.getuid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == us:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return count


def _landlock_paths(read: list[Path], folder: Path, gpu: bool, devices: list[str]) -> dict[str, list[str]]:
    readable = [*paths.SYSTEM, *paths.SETTINGS, *paths.PROC, *paths.SYS, *(paths.GPU_READ if gpu else ())]
    return {
        "read": paths.existing([*readable, *map(str, read)]),
        "own": list(paths.PROC_OWN),
        "write": [str(folder)],
        "devices": paths.existing([*paths.DEVICES, *devices]),
    }
