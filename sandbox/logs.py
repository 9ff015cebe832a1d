"""Owns how much of what Blenders printed is kept: of the newest, and of those that were lost, in number and in bytes.

Each process has a file of its own and one of its nanny's. Over days a run starts hundreds.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from sandbox.limits import MIB

KEPT = 40
"""Processes of which something is kept: so many that were lost, and as many that were not."""
KEPT_BYTES = 256 * MIB
LOST = "-lost"
"""How the names of those end that ended by a fault."""


def bound(folder: Path, at_work: Collection[str]) -> None:
    """Remove what is too old or too much; never of the processes whose files are named so."""
    kept, size = {True: 0, False: 0}, 0
    for name, files in _newest_first(folder):
        if name in at_work:
            continue
        lost = name.endswith(LOST)
        kept[lost] += 1
        size += sum(map(_size, files))
        if kept[lost] > KEPT or size > KEPT_BYTES:
            for file in files:
                file.unlink(missing_ok=True)


def mark_lost(log: Path) -> None:
    """Of a process that has ended by a fault, and that writes no more."""
    for file in log.parent.glob(f"{log.stem}.*"):
        with contextlib.suppress(OSError):
            file.rename(file.with_name(file.name.replace(log.stem, log.stem + LOST, 1)))


def keep_end(log: Path, most_bytes: int) -> None:
    """Cut off the older half of a file that has grown too large, at a line's end."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > most_bytes:
            with log.open("rb+") as file:
                file.seek(-most_bytes // 2, os.SEEK_END)
                file.readline()
                rest = file.read()
                file.seek(0)
                file.write(rest)
                file.truncate()


def _size(file: Path) -> int:
    """0 for one that another thread has renamed or removed meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _newest_first(folder: Path) -> list[tuple[str, list[Path]]]:
    """Files by process, those of lost ones first."""
    files = defaultdict[str, list[Path]](list)
    times = defaultdict[str, float](float)
    for file in folder.glob("blender-*.log"):
        name = file.name.partition(".")[0]
        with contextlib.suppress(FileNotFoundError):
            times[name] = max(times[name], file.stat().st_mtime)
            files[name].append(file)
    return sorted(files.items(), key=lambda one: (not one[0].endswith(LOST), -times[one[0]]))
