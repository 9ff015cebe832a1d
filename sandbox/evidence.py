"""Owns the reading of what an ended Blender leaves behind: exit status, output, crash report → one kind of fault."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from protocol.errors import OutOfMemory, ProcessCrashed, ProcessExited, ProcessFault
from sandbox.limits import GIB, MIB, Limits

REPORT = "blender.crash.txt"
REPORT_BYTES = 16 * 1024
NEARLY = 0.85
"""Of the memory limit: who was killed from outside beyond it was killed for its memory."""

_ALLOCATION_FAILED = re.compile(r"(Malloc|Calloc|Realloc)\w* returns null|bad_alloc|MemoryError|out of memory", re.I)


def of_exit(returncode: int | None, peak_bytes: int, limits: Limits, text: str) -> ProcessFault:
    """What an end that nobody here brought about means."""
    if returncode is None:
        return ProcessCrashed("", "ended in an unknown way")
    if returncode >= 0:
        return ProcessExited("", f"ended by itself with exit code {returncode}")
    number = -returncode
    if number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS) and _ALLOCATION_FAILED.search(text):
        return OutOfMemory("", f"an allocation failed (memory limit {_size(limits.memory_bytes)})")
    if number == signal.SIGKILL and peak_bytes > NEARLY * limits.memory_bytes:
        return OutOfMemory("", f"killed while holding {_size(peak_bytes)} of {_size(limits.memory_bytes)}")
    return ProcessCrashed("", f"ended by {_signal_name(number)}")


def too_much_memory(used_bytes: int, limits: Limits) -> ProcessFault:
    return OutOfMemory("", f"held {_size(used_bytes)} of memory, {_size(limits.memory_bytes)} allowed")


def too_much(sentence: str, limit: int) -> ProcessFault:
    """Passed one of the other limits; `sentence` has a place for the number."""
    return ProcessCrashed("", "ended because it " + sentence.format(f"{limit:,}"))


def crash_report(folder: Path) -> str:
    """The end of what Blender wrote about its own crash; empty where it did not, or where it is no plain file."""
    try:
        descriptor = os.open(folder / REPORT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        try:
            file.seek(-REPORT_BYTES, os.SEEK_END)
        except OSError:
            file.seek(0)
        text = file.read(REPORT_BYTES).decode(errors="replace")
    return f"\n--- {REPORT}\n{text}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
