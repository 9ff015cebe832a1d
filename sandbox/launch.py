"""Owns the last steps before Blender's own code runs: bind the process to its parent's life, set its limits, exec.

Run as a script by a fresh, isolated Python (`python -I -S launch.py '<json>' command …`): a preexec_fn would be unsafe
beside threads. Standard library only. Stronger confinement has its place here too, after the limits, before the exec.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Linux: the kernel kills us when the thread that started us ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def limit(name: str, value: int) -> None:
    """Lower a limit for good; one that is already lower stays."""
    number = getattr(resource, name, None)
    if number is None:
        return
    _, hard = resource.getrlimit(number)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(number, (value, value))
    except (OSError, ValueError) as error:
        print(f"launch: {name}={value}: {error}", file=sys.stderr)


def main(settings: str, *command: str) -> None:
    wanted = json.loads(settings)
    die_with_parent(wanted["parent"])
    for name, value in wanted["limits"].items():
        limit(name, value)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails with EFBIG instead of killing
    os.umask(0o077)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"launch: {command[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
