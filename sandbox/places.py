"""Owns where Blenders may lie: what `BLENDER=` names, PATH, the usual places of each system, Steam's libraries, wheels.

Which of them is used: `discovery`.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from sandbox.folders import UNFINISHED
from sandbox.wheels import environments

Kind = Literal["binary", "wheel"]

_FLATPAK = "flatpak/app/org.blender.Blender/current/active/files/blender/blender"
USUAL_PLACES = {
    "linux": (
        "/opt/blender*/blender",
        "/opt/blender*/*/blender",
        "/usr/local/blender*/blender",
        "/usr/local/bin/blender",
        "/usr/local/bin/blender-[0-9]*",
        "/usr/bin/blender",
        "/usr/bin/blender-[0-9]*",
        "~/blender*/blender",
        "~/blender*/*/blender",
        "~/Applications/blender*/blender",
        "~/Downloads/blender*/blender",
        "~/.local/bin/blender",
        "~/.local/share/blender*/blender",
        "/snap/blender/current/blender",
        "/var/lib/snapd/snap/blender/current/blender",
        f"~/.local/share/{_FLATPAK}",
        f"/var/lib/{_FLATPAK}",
    ),
    "darwin": (
        "/Applications/Blender*.app/Contents/MacOS/Blender",
        "/Applications/Blender*/Blender*.app/Contents/MacOS/Blender",
        "~/Applications/Blender*.app/Contents/MacOS/Blender",
        "~/Applications/Blender*/Blender*.app/Contents/MacOS/Blender",
    ),
    "win32": (
        "C:/Program Files/Blender Foundation/Blender*/blender.exe",
        "~/AppData/Local/Programs/Blender Foundation/Blender*/blender.exe",
    ),
}
STEAM = {
    "linux": (
        "~/.steam/steam",
        "~/.steam/root",
        "~/.local/share/Steam",
        "~/.var/app/com.valvesoftware.Steam/.local/share/Steam",
        "~/.var/app/com.valvesoftware.Steam/data/Steam",
        "~/snap/steam/common/.local/share/Steam",
    ),
    "darwin": ("~/Library/Application Support/Steam",),
    "win32": ("C:/Program Files (x86)/Steam", "C:/Program Files/Steam"),
}

_SNAP_COMMANDS = ("/snap/", "/var/lib/snapd/snap/")
_IN_FOLDER = ("blender", "bin/blender", "Contents/MacOS/Blender", "blender.exe")
_IN_APPLICATION = "Blender*.app/Contents/MacOS/Blender"
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_LIBRARY = re.compile(r'"(?:path|\d+)"\s+"((?:[^"\\]|\\.)+)"')


class Candidate(NamedTuple):
    path: Path
    kind: Kind
    found: str
    """"BLENDER", "PATH", "usual place" or "wheel"."""


def on_path() -> Iterator[Candidate]:
    for folder in os.get_exec_path():
        # A snap's command only starts the real one, which lies beside it and is listed with the usual places.
        if folder.startswith(_SNAP_COMMANDS):
            continue
        if (found := shutil.which("blender", path=folder)) is not None:
            yield Candidate(Path(os.path.abspath(found)), "binary", "PATH")


def in_usual_places() -> Iterator[Candidate]:
    """The newest first, by the versions in their paths; then those that tell none, in the order of the list."""
    places = [os.path.expanduser(pattern) for pattern in _of_system(USUAL_PLACES)]
    found = [path for place in (*places, *_in_steam()) for path in sorted(glob.glob(place))]
    for path in newest_first(Path(path) for path in found):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield Candidate(path, "binary", "usual place")


def wheels() -> Iterator[Candidate]:
    """Environments of this checkout that hold one, best first."""
    for environment in environments():
        python = environment / "bin" / "python"
        if os.path.exists(python) and not os.path.exists(environment / UNFINISHED):
            yield Candidate(python, "wheel", "wheel")


def named(wanted: str) -> Iterator[Candidate]:
    """What `BLENDER=` names: a binary, an application or a folder that holds one or several, a Python with bpy, a name
    on PATH, or "wheel"."""
    if wanted == "wheel":
        yield from wheels()
        return
    path = Path(os.path.expanduser(wanted))
    if os.sep not in wanted and not os.path.exists(path) and (on_path := shutil.which(wanted)):
        path = Path(on_path)
    path = Path(os.path.abspath(path))
    for one in _inside(path) if os.path.isdir(path) else (path,):
        yield Candidate(one, "wheel" if one.name.startswith("python") else "binary", "BLENDER")


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """By the last name on each path that holds a version; those without one after the others, in the given order."""
    return sorted(paths, key=_version_in, reverse=True)


def _version_in(path: Path) -> tuple[int, ...]:
    versions = (_VERSION.search(part) for part in reversed(path.parts))
    found = next((version[0] for version in versions if version), "")
    return tuple(int(number) for number in found.split(".") if number)


def _inside(folder: Path) -> list[Path]:
    """The Blender in a folder; else those in the folders in it, one or two below; else the folder itself."""
    here = [folder / name for name in (*_IN_FOLDER, "bin/python")]
    if single := next((path for path in here if os.path.isfile(path)), None):
        return [single]
    for below in (".", "*", "*/*"):
        pattern = os.path.join(glob.escape(str(folder)), below)
        names = (_IN_APPLICATION, *(_IN_FOLDER if below != "." else ()), *(("bin/python",) if below == "*" else ()))
        found = [
            Path(path)
            for name in names
            for path in sorted(glob.glob(os.path.join(pattern, name)))
            if os.path.isfile(path)
        ]
        if found := [path for path in found if path.name != "python" or _holds_bpy(path)]:
            return newest_first(dict.fromkeys(found))
    return [folder]


def _holds_bpy(python: Path) -> bool:
    return any(python.parent.parent.glob("lib/python*/site-packages/bpy"))


def _in_steam() -> Iterator[str]:
    """Patterns for where Steam puts Blender, in each of its libraries."""
    for folder in map(os.path.expanduser, _of_system(STEAM)):
        for library in dict.fromkeys((folder, *_libraries(Path(folder)))):
            place = os.path.join(glob.escape(library), "steamapps", "common", "Blender")
            yield from (os.path.join(place, name) for name in ("blender", _IN_APPLICATION, "blender.exe"))


def _libraries(steam: Path) -> list[str]:
    try:
        text = (steam / "steamapps" / "libraryfolders.vdf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    paths = (re.sub(r"\\(.)", r"\1", path) for path in _LIBRARY.findall(text))
    return [path for path in paths if os.path.isabs(path)]


def _of_system(places: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return places.get(sys.platform, places["linux"])
