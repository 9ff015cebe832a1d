"""Owns the reading of what an ended Blender leaves behind: exit status, output, crash report → one kind of fault."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from protocol.errors import OutOfMemory, ProcessCrashed, ProcessExited, ProcessFault
from sandbox.limits import GIB, MIB, Limits

TRACES = "faults.log"
"""What Python's faulthandler writes, of a crash or shortly before a deadline."""
REPORT_BYTES = 8 * 1024
_EDIT_LINE = re.compile(r'File "edit", line (\d+)')
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


def reports(folder: Path) -> str:
    """The ends of what Blender and its Python wrote about a crash or a hang; empty where they did not."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".crash.txt"))
    except OSError:  # the code inside took the folder away
        return ""
    texts = {name: _end_of(folder / name).strip() for name in [TRACES, *names[:4]]}
    return "".join(f"\n--- {name}\n{text}" for name, text in texts.items() if text)


def last_line(fault: ProcessFault) -> int:
    """The line of the executed code that was running, as Python's faulthandler wrote it down; 0 where it did not."""
    dump = {"deadline": "Timeout (", "crashed": "Fatal Python error"}.get(fault.kind)
    _, marker, frames = fault.log_tail.rpartition(dump) if dump else ("", "", "")
    found = _EDIT_LINE.search(frames) if marker else None
    return int(found[1]) if found else 0


def _end_of(path: Path) -> str:
    """Of a plain file, which may have been put there by anyone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            file.seek(max(0, os.fstat(descriptor).st_size - REPORT_BYTES))
            return (file.read(REPORT_BYTES) or b"").decode(errors="replace")
    except OSError:
        return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
