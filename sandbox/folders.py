"""Owns where the set-up keeps what it fetched and found out: under the checkout, else in the user's cache.

Standard library only: the set-up imports this before anything is installed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, or wherever the packages were installed to."""

CHECKOUT_STATE = ROOT / ".blender"
WHEEL_ENVIRONMENT = CHECKOUT_STATE / "bpy"
"""The environment of its own that holds the `bpy` wheel."""

UNFINISHED = ".unfinished"
"""Lies in an environment that is being filled, or whose filling was interrupted."""

REQUIREMENTS = ROOT / "requirements"


def state_folder() -> Path:
    """The first folder we may keep things in; made if need be, and nobody else's."""
    for folder in _candidates():
        if _usable(folder):
            return folder
    raise OSError(f"no folder to keep things in: tried {', '.join(map(str, _candidates()))}")


def readable_folders() -> list[Path]:
    """Where an earlier set-up may have left things, even if we may not write there now."""
    return [folder for folder in _candidates() if folder.is_dir() and _ours(folder)]


def _candidates() -> list[Path]:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    scratch = Path(tempfile.gettempdir()) / f"seig-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    is_checkout = (ROOT / "pyproject.toml").is_file()
    return [*([CHECKOUT_STATE] if is_checkout else []), Path(cache) / "seig", scratch]


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK) and _ours(folder)


def _ours(folder: Path) -> bool:
    """Code is loaded from here into Blender, so a folder that a stranger made does not count."""
    return not hasattr(os, "getuid") or folder.stat().st_uid in (0, os.getuid())
