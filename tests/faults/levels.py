"""Owns what these tests must know of the levels of isolation: which hold here, and what the kernel here leaves open."""

import contextlib
import functools
import os
from pathlib import Path

from sandbox.confinement import probes
from sandbox.confinement.levels import Level

LEVELS = tuple(str(level) for level in Level)
OPEN, SHUT = LEVELS[:2], LEVELS[2:]
"""Those that leave files, network and other processes open, and those that shut them."""


@functools.cache
def offered():
    """The levels that hold on this machine, lowest first."""
    return tuple(str(level) for level in Level if probes.reach().holds(level))


def is_root():
    return os.getuid() == 0


def tracing_when_open():
    """Root may trace whom it likes; an ordinary user only where Yama does not keep processes from each other."""
    with contextlib.suppress(OSError):
        if not is_root() and Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip() != "0":
            return frozenset({"denied"})
    return frozenset({"reached"})
