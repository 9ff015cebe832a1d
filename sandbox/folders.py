"""Owns where the set-up keeps what it fetched and found out: under the checkout, else in the user's cache,
else in a private folder among the temporary ones.

Standard library only: the set-up imports this before anything is installed.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, or wherever the packages were installed to."""

CHECKOUT_STATE = ROOT / ".blender"

UNFINISHED = ".unfinished"
"""Lies in an environment that is being filled, or whose filling was interrupted."""

REQUIREMENTS = ROOT / "requirements"


def state_folder() -> Path:
    """The first folder we may keep things in; made if need be, and nobody else's."""
    for folder in _candidates():
        if _usable(folder):
            return folder
    tried = ", ".join(map(str, _candidates()))
    raise OSError(f"there is no folder to keep things in: tried {tried}. Name one of yours with XDG_CACHE_HOME.")


def readable_folders() -> list[Path]:
    """Where an earlier set-up may have left things, even if we may not write there now."""
    return [folder for folder in _candidates() if _ours(folder)]


def _candidates() -> list[Path]:
    checkout = [CHECKOUT_STATE] if (ROOT / "pyproject.toml").is_file() else []
    return [*checkout, *_caches(), _in_temporary()]


def _caches() -> list[Path]:
    """The user's, where there is one: a home that is not there is not for us to make."""
    named, home = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~")
    if os.path.isabs(named):
        return [Path(named) / "seig"]
    return [Path(home) / ".cache" / "seig"] if os.path.isabs(home) and os.path.isdir(home) else []


def _in_temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"seig-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


def _usable(folder: Path) -> bool:
    try:
        # The Blenders in a checkout are for all who may read the checkout.
        folder.mkdir(mode=0o755 if folder == CHECKOUT_STATE else 0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK) and _ours(folder)


def _ours(folder: Path) -> bool:
    """Code is loaded from here into Blender, so a folder that a stranger made, or may write to, does not count."""
    public = folder == _in_temporary()
    try:
        status = os.lstat(folder) if public else os.stat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    if public:
        return status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) == 0o700
    return status.st_uid in (0, os.getuid())
