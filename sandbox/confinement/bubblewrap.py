"""Owns bubblewrap's command line: a minimal root, every namespace, no capabilities.

The environment is passed through: whoever starts it made it from nothing. Which paths are shown is `paths`' affair.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from sandbox.confinement import paths

TEMPORARY_BYTES = 64 * 1024 * 1024
"""Of /tmp and /dev/shm each, which lie in memory. Blender's own temporary files go to its folder."""
INSIDE_UID = 1000
"""Who root is inside."""


def find() -> str | None:
    return shutil.which("bwrap")


def command(
    read: Iterable[Path], folder: Path, *, devices: Iterable[str] = (), gpu: bool = False, seccomp: int, status: int
) -> list[str]:
    """All of it up to the program to run. `seccomp` and `status` are descriptors that it inherits."""
    program = find() or "bwrap"
    bound = [part for path in read for part in ("--ro-bind", str(path), str(path))]
    shown = paths.existing([*paths.SYS, *(paths.GPU_READ if gpu else ())])
    system = [part for path in shown if not path.startswith("/proc/") for part in ("--ro-bind", path, path)]
    devices = [part for path in devices for part in ("--dev-bind", path, path)]
    return [
        *(program, "--unshare-all", *_user(program), "--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        *_system(),
        # Without the remount, started by root: its kernel settings could be written, and so the machine taken over.
        *(
            "--proc",
            "/proc",
            "--remount-ro",
            "/proc",
            "--dev",
            "/dev",
            *_tmpfs(program, "/dev/shm"),
            *devices,
            "--remount-ro",
            "/dev",
        ),
        *(*system, *_tmpfs(program, "/tmp"), *bound),
        *("--bind", str(folder), str(folder), "--remount-ro", "/", "--chdir", str(folder)),
        *("--seccomp", str(seccomp), "--json-status-fd", str(status), "--"),
    ]


def _user(program: str) -> list[str]:
    """A user namespace even for root, with none to be made inside."""
    options = ["--unshare-user", "--hostname", "box"]
    if os.getuid() == 0:
        options += ["--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID)]
    if _knows(program, "--disable-userns") and not _is_setuid(program):
        options.append("--disable-userns")  # seccomp refuses to make one, too
    return options


def _system() -> list[str]:
    """The system's folders, or the links to them; single files and folders of /etc."""
    options = []
    for path in paths.existing(paths.SYSTEM):
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        else:
            options += ["--ro-bind", path, path]
    return [*options, *(part for path in paths.existing(paths.SETTINGS) for part in ("--ro-bind-try", path, path))]


def _tmpfs(program: str, path: str) -> list[str]:
    size = ["--size", str(TEMPORARY_BYTES)] if _knows(program, "--size") else []
    return [*size, "--tmpfs", path]


@functools.cache
def _knows(program: str, option: str) -> bool:
    """Old ones, such as Ubuntu 20.04's 0.4, lack some."""
    try:
        done = subprocess.run([program, "--help"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return option.encode() in done.stdout + done.stderr


def _is_setuid(program: str) -> bool:
    return bool(os.stat(program).st_mode & 0o4000)
