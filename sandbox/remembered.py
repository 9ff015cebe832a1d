"""Owns what Blenders answered before: a file for each, forgotten when one of the files it was learnt from changes.

Best effort: what cannot be read or written is asked again.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox.folders import readable_folders, state_folder
from sandbox.questioning import ASKS_WITH, QUESTIONS

_GRAPHICS = ("/dev/nvidia[0-9]*", "/dev/dri/renderD*", "/dev/kfd")
"""Device files of graphics cards: what a Blender can do depends on them too."""
DRIVERS = ("/proc/driver/nvidia/version", "/sys/module/amdgpu/version", "/sys/module/xe/version")
"""And on their drivers."""


def recall(path: Path) -> dict[str, Any] | None:
    """What `remember` was given, if all the files are as they were and the same would be asked; with "age_s",
    which a clock that was set makes large whichever way."""
    for folder in readable_folders():
        entry = _read(folder / _place(path))
        if entry.get("asked") == _asked() and _unchanged(entry.get("files")):
            return {**entry["learnt"], "age_s": abs(time.time() - entry["at"])}
    return None


def remember(path: Path, files: Iterable[Path], learnt: dict[str, Any]) -> None:
    """`files` are those that were asked: the program itself, and what it was started by."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a name that no file can have
        entry = {"asked": _asked(), "at": time.time(), "files": {str(file): _stamp(file) for file in files}}
        target = state_folder() / _place(path)
        target.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as file:
            json.dump({**entry, "learnt": learnt}, file, indent=1)
        os.replace(file.name, target)


def _place(path: Path) -> str:
    return f"probes/{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"


def _asked() -> list[str]:
    cards = sorted(found for pattern in _GRAPHICS for found in glob.glob(pattern))
    return [_digest(), *cards, *map(driver_version, DRIVERS)]


def driver_version(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")[:1000]
    except OSError:
        return ""


@functools.cache
def _digest() -> str:
    """Of the questions: another version of this program asks anew."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in (QUESTIONS, *ASKS_WITH))).hexdigest()


def _stamp(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_mtime_ns, status.st_size]


def _unchanged(files: Any) -> bool:
    try:
        return bool(files) and all(_stamp(Path(file)) == stamp for file, stamp in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def _read(place: Path) -> dict[str, Any]:
    try:
        entry = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) and isinstance(entry.get("learnt"), dict) else {}
