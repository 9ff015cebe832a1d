"""Owns the last steps before Blender's own code runs: bind the process to its parent's life, set its limits, put it
where nothing can be reached, exec.

Run as a script by a fresh, isolated Python (`python -I -S launch.py '<json>' command …`): a preexec_fn would be unsafe
beside threads. Standard library only. What the settings mean: `confinement.confining`, which writes them.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.confinement import capabilities, landlock, seccomp

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


def join(group: str) -> None:
    """Become a member of a control group; where that fails the watch over the tree still bounds us."""
    try:
        with open(group, "w") as file:
            file.write("0")
    except OSError as error:
        print(f"launch: {group}: {error.strerror}", file=sys.stderr)


def confine(read: list[str], own: list[str], write: list[str], devices: list[str]) -> None:
    """Give up what this process could reach. Raises OSError where any of it fails: never run half confined."""
    known = landlock.version()
    own_pid = None if known >= landlock.SCOPES_SINCE else os.getpid()
    refused = seccomp.rules(metadata=True, truncate=known < landlock.TRUNCATE_SINCE, signals_of=own_pid)
    program = seccomp.program(refused)
    capabilities.drop_all()
    capabilities.forbid_new_privileges()
    landlock.restrict([*read, *(f"/proc/{os.getpid()}/{name}" for name in own)], write, devices)
    seccomp.install(program)


def main(settings: str, *command: str) -> None:
    wanted = json.loads(settings)
    die_with_parent(wanted["parent"])
    for group in wanted.get("cgroups", ()):
        join(group)
    for name, value in wanted["limits"].items():
        limit(name, value)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails with EFBIG instead of killing
    os.umask(0o077)
    try:
        if "confined" in wanted:
            confine(**wanted["confined"])
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"launch: {command[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    # Not `sandbox.confinement`: that package's parents need what is not installed for this Python.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from confinement import capabilities, landlock, seccomp  # type: ignore[import-not-found, no-redef]

    main(*sys.argv[1:])
