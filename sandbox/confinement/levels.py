"""Owns the names of the levels of isolation, and what each stops and does not stop.

Which of them this machine reaches is found out in `probes`; how one is brought about, in `confining`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

AUTO = "auto"
"""In place of a level: the best that holds here."""


class Promise(NamedTuple):
    stops: str
    does_not_stop: str


class Level(IntEnum):
    """Ordered: a higher level stops all that a lower one stops."""

    PROCESS = 0
    TREE = 1
    CONFINED = 2
    SANDBOXED = 3

    def __str__(self) -> str:
        return f"L{int(self)}"

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def stops(self) -> str:
        return _PROMISES[self].stops

    @property
    def does_not_stop(self) -> str:
        return _PROMISES[self].does_not_stop

    @classmethod
    def parse(cls, text: str) -> Level:
        """The level that "L2", "2" or "confined" names; ValueError for anything else."""
        for level in cls:
            if text.strip().lower() in (str(level).lower(), str(int(level)), level.word):
                return level
        names = ", ".join(f"{level} ({level.word})" for level in cls)
        raise ValueError(f"there is no isolation level {text!r}; there are {names}")


def parse_wanted(text: str) -> Level | None:
    """A level as a user writes it; None for "auto", which leaves the choice to the probes."""
    return None if text.strip().lower() == AUTO else Level.parse(text)


_PROMISES = {
    Level.PROCESS: Promise(
        "A crash, a hang, most floods of memory, files and output: a process in a session of its own, with resource "
        "limits, a clean environment, deadlines, and SIGKILL for its group.",
        "Deleting files, the network, reading what the user may read (the agent's environment and memory through "
        "/proc among it), processes that leave the session.",
    ),
    Level.TREE: Promise(
        "Also processes that leave the session or lose their parent, fork bombs and leaks: a subreaper, a watch over "
        "the whole tree, and control groups where they may be written.",
        "Deleting files, the network, reading what the user may read.",
    ),
    Level.CONFINED: Promise(
        "Also reading or writing files outside its folder and Blender's own, changing their modes, owners and times, "
        "IP sockets, namespaces, and reading, tracing or signalling processes outside: Landlock and seccomp, without "
        "capabilities, root included.",
        "Connecting to a UNIX socket whose path outside it knows (before Linux 7.1), docker's and D-Bus's among them, "
        "or to an abstract one (before Linux 6.12); learning whether a file or process of a given name exists.",
    ),
    Level.SANDBOXED: Promise(
        "All of that, and seeing anything else of the machine: bubblewrap with namespaces for users, processes, "
        "network, IPC and mounts, a minimal root, no capabilities, and seccomp.",
        "Flaws of the kernel, and of the graphics driver where a GPU is passed through.",
    ),
}
