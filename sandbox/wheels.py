"""Owns which Blenders exist as a Python wheel: with which Python each works, what pins it, where its environment is.

Standard library only, down to Python 3.8: the set-up imports this before anything is installed.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from sandbox import folders

PYTHONS = {"4.2": "3.11", "4.5": "3.11", "5.0": "3.11", "5.1": "3.13", "5.2": "3.13"}
"""Version of Blender → version of Python that its wheel is made for."""
DEFAULTS = ("4.5", "5.2")
"""The first of these whose Python this machine has is fetched where no version is named."""

_MACHINES = {"linux": ("x86_64",), "darwin": ("arm64", "x86_64"), "win32": ("AMD64",)}


def environment(version: str) -> Path:
    """The folder of its own that holds this Blender and nothing else."""
    return folders.CHECKOUT_STATE / f"bpy-{version}"


def environments() -> list[Path]:
    """Those that are here, finished or not: the first default, then the newest."""
    here = sorted(folders.CHECKOUT_STATE.glob("bpy-*"), key=_numbers, reverse=True)
    former = [folders.CHECKOUT_STATE / "bpy"]  # where the one wheel was that there used to be
    return [*sorted(here, key=lambda folder: folder != environment(DEFAULTS[0])), *filter(os.path.isdir, former)]


def lock(version: str) -> Path:
    """The file that pins it, and all it needs."""
    return folders.REQUIREMENTS / f"bpy-{version}.txt"


def fits_machine() -> bool:
    """Whether Blender is published as a wheel for this kind of machine at all."""
    return platform.machine() in _MACHINES.get(sys.platform, ())


def how_to_fetch(version: str = "") -> str:
    """The command that fetches that Blender; nothing where this is no checkout, or there is no such wheel."""
    if not (folders.ROOT / "Makefile").is_file() or (version and version not in PYTHONS):
        return ""
    return f"make blender VERSION={version}" if version else "make blender"


def _numbers(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name[len("bpy-") :].split(".") if part.isdigit())
