"""Owns what these tests must know of the levels of isolation: which hold here, and how a pool is told one."""

import functools
import inspect
import os

from sandbox.pool import Pool

LEVELS = ("L0", "L1", "L2", "L3")
OPEN, SHUT = ("L0", "L1"), ("L2", "L3")
"""Those that leave files, network and other processes open, and those that shut them."""


@functools.cache
def offered():
    """The levels that hold on this machine, lowest first."""
    if not can_choose():
        return ("L1",)
    from sandbox.confinement.probes import reach

    return tuple(str(level) for level in _levels() if reach().holds(level))


def lowest_and_highest():
    return tuple(dict.fromkeys((offered()[0], offered()[-1])))


def options(level, on_fault):
    """What a pool is given for a level, and for telling its faults."""
    known = inspect.signature(Pool.__init__).parameters
    more = {"on_fault": on_fault} if "on_fault" in known else {}
    return more | ({"level": next(each for each in _levels() if str(each) == level)} if can_choose() else {})


def tells_faults():
    return "on_fault" in inspect.signature(Pool.__init__).parameters


def path_sockets_at_l2():
    """Connecting to a UNIX socket by its path is nothing that Landlock knew before its version 9."""
    if not can_choose():
        return frozenset({"reached"})
    from sandbox.confinement import landlock

    return frozenset({"denied" if landlock.version() >= landlock.PATH_SOCKETS_SINCE else "reached"})


def can_choose():
    return "level" in inspect.signature(Pool.__init__).parameters


def _levels():
    from sandbox.confinement.levels import Level

    return Level


def is_root():
    return os.getuid() == 0
