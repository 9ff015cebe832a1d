"""Owns a machine of our own making for the set-up's tests: its PATH, its home, its folder to keep things in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import folders, places

FACTS = '{"version": "4.2.3", "python": "3.11", "numpy": true, "engines": ["cycles"]}'


class Machine:
    """A machine that has what a test puts there, and nothing else."""

    def __init__(self, root: Path) -> None:
        self.home, self.path, self.state = root / "home", root / "path", root / "state"
        for folder in (self.home, self.path, self.state):
            folder.mkdir()

    def put(self, place: Path, script: str, *, executable: bool = True) -> Path:
        """An executable of ours at `place`."""
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        place.chmod(0o755 if executable else 0o644)
        return place

    def blender(self, place: Path, version: str = "4.2.3") -> Path:
        """Something that answers as a Blender does, and counts how often it was asked."""
        facts = FACTS.replace("4.2.3", version)
        return self.put(place, f"echo asked >> {place}.asked\necho 'Blender {version}'\necho 'SEIG-PROBE {facts}'")

    def times_asked(self, place: Path) -> int:
        asked = Path(f"{place}.asked")
        return len(asked.read_text(encoding="utf-8").splitlines()) if asked.exists() else 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("HOME", str(machine.home))
    monkeypatch.delenv("BLENDER", raising=False)
    monkeypatch.delenv("SEIG_WHEELS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(folders, "CHECKOUT_STATE", machine.state)
    monkeypatch.setattr(places, "USUAL_PLACES", {"linux": ("~/blender*/blender",)})
    return machine


@pytest.fixture
def only_path(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Hide what the real machine has on PATH; /bin/sh needs none of it."""
    monkeypatch.setenv("PATH", str(machine.path))
    return lambda: None
