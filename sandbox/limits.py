"""Owns what one Blender may use. Enforced by `launch` (rlimits), `nanny.process` (watch), `protocol.link` (sizes)."""

from __future__ import annotations

from protocol.models import Value

MIB = 1024 * 1024
GIB = 1024 * MIB


class Recycling(Value):
    """How long one Blender works before a fresh one takes its place. That costs nothing that anybody waits for: the
    fresh one boots beside it, and takes over between two requests."""

    opened: int = 1000
    """Scenes opened, which each edit and each decision does once."""
    age_s: float = 6 * 3600.0
    growth_bytes: int = GIB
    """Of resident memory since its first scene was open; at most a third of what it may use at all."""
    settling_calls: int = 20
    """In which its memory is not looked at: what a scene takes when it is first rendered a fresh one would take too."""


class Recycled(Value):
    """One Blender that was replaced before anything was wrong with it."""

    place: str
    """"active" or "standby"."""
    reason: str
    opened: int
    age_s: float
    memory_bytes: int


class Limits(Value):
    memory_bytes: int = 4 * GIB
    """Resident memory of the whole process tree. Measured: 235 MiB (3.4) to 265 MiB (4.5) when empty, 260 to 435 MiB
    with a small scene rendered at 512 px; below 300 MiB Blender 4.5 does not boot reliably."""
    file_bytes: int = GIB
    """Of any one file that is written."""
    folder_bytes: int = 4 * GIB
    """Of everything in the worker's folder."""
    processes: int = 64
    """In the tree."""
    open_files: int = 1024
    output_bytes: int = 16 * MIB
    """Printed during one call; also the size at which a log file stops growing."""
    reply_bytes: int = 256 * MIB
    """Of one message of Blender's; requests of each kind have a lower limit of their own (`protocol.models`)."""
    boot_s: float = 60.0
    """From spawn to the first message."""
    cpu_s: int = 7 * 24 * 3600
    """Processor time of one process; a backstop behind the deadlines of the calls."""
    threads: int = 0
    """For rendering; 0 leaves it to Blender."""

    @property
    def nanny_bytes(self) -> int:
        """Resident memory of the nanny, at which it ends a Blender that sends without an end. Measured: 38 MiB when
        idle; a reply is held three times while it is passed on."""
        return 128 * MIB + 3 * self.reply_bytes

    @property
    def data_bytes(self) -> int:
        """What one process may ask the kernel for: a backstop that stops what is faster than the watch."""
        return self.memory_bytes * 3 // 2
