"""Owns the memory of which code has ended a Blender, so that the same code is not run a third time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import defaultdict
from pathlib import Path

DEADLY = 2
"""Blenders that the same code may cost."""


class Breaker:
    """Counts by stage and code; the count lasts as long as its file does, so that a resumed run goes on with it."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        self._faults: defaultdict[str, list[str]] = defaultdict(list)
        for line in _lines(file):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # torn by a kill
                entry = json.loads(line)
                self._faults[entry["code"]].append(entry["fault"])

    def count(self, stage: str, source: str, fault: str) -> None:
        """This code has cost a Blender; `fault` says how."""
        key = _key(stage, source)
        with self._lock:
            self._faults[key].append(fault)
            with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:  # full disk: in memory
                file.write(json.dumps({"code": key, "stage": stage, "fault": fault}) + "\n")

    def faults(self, stage: str, source: str) -> list[str]:
        """How this code has ended Blenders, where it did so too often to be run again; else empty."""
        found = self._faults.get(_key(stage, source), [])
        return found if len(found) >= DEADLY else []


def _key(stage: str, source: str) -> str:
    return hashlib.sha256(f"{stage}\n{source}".encode()).hexdigest()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
