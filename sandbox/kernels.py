"""Owns the kernels that graphics drivers compile for Cycles: kept from the Blender that compiled them, given to others.

Compiling takes minutes, once for each Blender, driver and kind of card. Only a Blender that runs nobody's code leaves
its kernels here; each other one gets a copy of its own and leaves nothing, for what it wrote the next ones would run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
from pathlib import Path

from sandbox.discovery import Blender
from sandbox.folders import state_folder
from sandbox.limits import GIB
from sandbox.scratch import remove

log = logging.getLogger(__name__)

FOLDER = ".kernels"
"""In Blender's own folder."""
DRIVERS = ("/proc/driver/nvidia/version", "/sys/module/amdgpu/version", "/sys/module/xe/version")


def variables(folder: Path) -> dict[str, str]:
    """What tells drivers to keep their kernels in Blender's own folder. Others than NVIDIA's use HOME, which is it."""
    kernels = folder / FOLDER
    return {
        "CUDA_CACHE_PATH": str(kernels / "cuda"),
        "CUDA_CACHE_MAXSIZE": str(4 * GIB - 1),
        "OPTIX_CACHE_PATH": str(kernels / "optix"),
    }


def are_kept(blender: Blender) -> bool:
    """Whether there are some that were compiled for this Blender with this driver."""
    try:
        return _place(blender).is_dir()
    except OSError:
        return False


def give(blender: Blender, folder: Path) -> None:
    """Copy what is kept into a Blender's folder before it starts; without them it compiles its own."""
    try:
        if (place := _place(blender)).is_dir():
            shutil.copytree(place, folder / FOLDER)
    except OSError as error:
        log.warning("the kept kernels cannot be copied: %s", error)


def keep(blender: Blender, folder: Path) -> None:
    """Keep those that a Blender which ran nobody's code has compiled; best effort."""
    made = folder / FOLDER
    if not made.is_dir():
        return
    try:
        place = _place(blender)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        part = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
        shutil.copytree(made, part, symlinks=True)
        try:
            os.rename(part, place)
        except OSError:  # another process was quicker
            remove(part)
    except OSError as error:
        log.warning("the compiled kernels cannot be kept: %s", error)


def _place(blender: Blender) -> Path:
    facts = [str(blender.executable), blender.version, *map(_read, DRIVERS)]
    facts += [f"{device.kind} {device.name}" for device in blender.facts.devices]
    return state_folder() / "kernels" / hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
