"""Owns where Python packages come from: the package index, or the folder of wheels that SEIG_WHEELS names.

Standard library only, down to Python 3.8: the set-up imports this before anything is installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.folders import ROOT

VARIABLE = "SEIG_WHEELS"


def wheel_folder() -> Path | None:
    """The folder to take everything from, on a machine without a network."""
    named = os.environ.get(VARIABLE)
    return Path(os.path.abspath(os.path.expanduser(named))) if named else None


def pip_options() -> list[str]:
    """For pip and uv alike. NotADirectoryError where SEIG_WHEELS names no folder."""
    folder = wheel_folder()
    if folder is None:
        return []
    if not folder.is_dir():
        raise NotADirectoryError(f"{VARIABLE} names {folder}, which is no folder.")
    return ["--no-index", "--find-links", str(folder)]


def pip_environment() -> dict[str, str]:
    """An index out of reach is given up after half a minute at most, unless the user's own settings say otherwise; and
    what they say of where packages go does not hold for ours."""
    return {"PIP_RETRIES": "1", **os.environ, "PIP_USER": "0"}


def way_out() -> str:
    """What to do where the network does not answer, or the folder lacks something."""
    if not (ROOT / "Makefile").is_file():
        return f"On a machine without a network, set {VARIABLE} to a folder with the wheels."
    if (folder := wheel_folder()) is not None:
        return f"Where there is a network, `make wheelhouse` with the same Python collects what {folder} lacks."
    return (
        "On a machine without a network, take them from a folder: `make wheelhouse` fills one in a checkout elsewhere, "
        f"with the same Python; set {VARIABLE} to it."
    )
