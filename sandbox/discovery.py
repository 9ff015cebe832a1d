"""Owns which Blenders this machine has: `BLENDER=`, then PATH, then the usual places, then the `bpy` wheel.

What a Blender can do is asked in probing.py; what its Python lacks is put beside it in provisioning.py.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from protocol.errors import SetupFailed
from protocol.models import Value
from sandbox import wheels
from sandbox.calling import command
from sandbox.folders import UNFINISHED
from sandbox.probing import PROBE_S, Facts, ProbeFailed, probe
from sandbox.provisioning import provide, vendor_folder

Kind = Literal["binary", "wheel"]
OLDEST = (2, 93)
_VERSION = re.compile(r"\d+(\.\d+){1,2}")

USUAL_PLACES = {
    "linux": (
        "/opt/blender*/blender",
        "/usr/local/bin/blender",
        "/usr/local/blender*/blender",
        "/usr/bin/blender",
        "/snap/blender/current/blender",
        "~/blender*/blender",
        "~/Applications/blender*/blender",
        "~/.local/share/blender*/blender",
        "~/.steam/steam/steamapps/common/Blender/blender",
    ),
    "darwin": (
        "/Applications/Blender*.app/Contents/MacOS/Blender",
        "~/Applications/Blender*.app/Contents/MacOS/Blender",
        "/Applications/Blender*/Blender*.app/Contents/MacOS/Blender",
    ),
    "win32": (
        "C:/Program Files/Blender Foundation/Blender*/blender.exe",
        "C:/Program Files (x86)/Steam/steamapps/common/Blender/blender.exe",
    ),
}

INSTALL_ONE = "Give one with BLENDER=/path/to/blender, put one on PATH, or " + (
    f"run `{wheels.how_to_fetch()}` to fetch Blender as a Python wheel."
    if wheels.how_to_fetch()
    else "set BLENDER to the Python of an environment that holds the `bpy` wheel."
)


class Blender(Value):
    """One usable Blender."""

    executable: Path
    """The Blender binary; for a wheel, the Python of the environment that holds it."""
    kind: Kind
    version: str
    """For example "4.5.15"."""
    python: str
    """Version of its Python: "3.11"."""
    vendor: Path | None
    """Folder that holds pyzmq and msgpack for its Python; None where that can import them by itself."""
    found: str
    """How it was found: "BLENDER", "PATH", "usual place" or "wheel"."""
    facts: Facts
    """What it can do, as it said itself."""


class Problem(Value):
    """Something that should have been a Blender and is none that we can use."""

    executable: Path
    kind: Kind
    found: str
    reason: str
    remedy: str


def find_blender(wanted: str | None = None, *, timeout_s: float = PROBE_S) -> Blender:
    """The Blender to use, with pyzmq and msgpack ready for it.

    `wanted` is a path, a name on PATH, a version ("4.5") or "wheel"; it wins over the environment's BLENDER.
    """
    wanted = wanted or os.environ.get("BLENDER") or ""
    version = wanted if _VERSION.fullmatch(wanted) else ""
    problems = []
    for candidate in _wanted(wanted) if wanted and not version else _candidates():
        found = _examine(candidate, timeout_s=timeout_s, ask_again=bool(wanted))
        if isinstance(found, Problem):
            problems.append(found)
        elif f"{found.version}.".startswith(f"{version}." if version else ""):
            vendor = provide(found.python, found.facts.platform, found.facts.libraries)
            return found.model_copy(update={"vendor": vendor})
    raise _nothing_usable(problems, wanted)


def find_blenders(*, timeout_s: float = PROBE_S) -> list[Blender | Problem]:
    """Every Blender there is, the one that would be used first, and what looks like one but cannot be used."""
    wanted = os.environ.get("BLENDER") or ""
    named = [] if not wanted or _VERSION.fullmatch(wanted) else _wanted(wanted)
    candidates = [*named, *_candidates()]
    found: dict[Path, Blender | Problem] = {}
    for candidate in candidates:
        key = candidate[0] if candidate[1] == "wheel" else candidate[0].resolve()
        if key not in found:
            found[key] = _examine(candidate, timeout_s=timeout_s, ask_again=True)
    return list(found.values())


_Candidate = tuple[Path, Kind, str]


def _candidates() -> Iterator[_Candidate]:
    """Path, kind and how it was found, best first, each file once."""
    seen: set[Path] = set()
    for candidate in (*_on_path(), *_in_usual_places()):
        if (real := candidate[0].resolve()) not in seen:
            seen.add(real)
            yield candidate
    yield from _wheels()


def _on_path() -> Iterator[_Candidate]:
    for folder in os.get_exec_path():
        # A snap's command only starts the real one, which lies beside it and is listed with the usual places.
        if folder.startswith("/snap/"):
            continue
        if (found := shutil.which("blender", path=folder)) is not None:
            yield Path(found), "binary", "PATH"


def _in_usual_places() -> Iterator[_Candidate]:
    for pattern in USUAL_PLACES.get(sys.platform, USUAL_PLACES["linux"]):
        # Names carry versions, so the reverse order puts the newest first.
        for found in sorted(glob.glob(os.path.expanduser(pattern)), reverse=True):
            if os.path.isfile(found) and os.access(found, os.X_OK):
                yield Path(found), "binary", "usual place"


def _wheels() -> Iterator[_Candidate]:
    for folder in wheels.environments():
        python = folder / "bin" / "python"
        if os.path.exists(python) and not (folder / UNFINISHED).exists():
            yield python, "wheel", "wheel"


def _wanted(wanted: str) -> Iterator[_Candidate]:
    """What `BLENDER=` names: a binary, a folder or application that holds one, a Python with bpy, a name on PATH."""
    path = Path(wanted).expanduser()
    if wanted == "wheel":
        yield from _wheels()
        return
    if os.sep not in wanted and not path.exists() and (on_path := shutil.which(wanted)):
        path = Path(on_path)
    path = Path(os.path.abspath(path))
    if path.is_dir():
        inside = ("blender", "Contents/MacOS/Blender", "bin/blender", "bin/python", "blender.exe")
        path = next((path / name for name in inside if (path / name).is_file()), path)
    yield path, "wheel" if path.name.startswith("python") else "binary", "BLENDER"


def _examine(candidate: _Candidate, *, timeout_s: float, ask_again: bool) -> Blender | Problem:
    path, kind, found = candidate
    try:
        facts = probe(path, wheel=kind == "wheel", timeout_s=timeout_s, ask_again=ask_again)
    except ProbeFailed as failure:
        return Problem(executable=path, kind=kind, found=found, reason=failure.reason, remedy=failure.remedy)
    version = tuple(int(part) for part in facts.version.split(".")[:2])
    if version < OLDEST:
        reason = f"it is Blender {facts.version}, and {'.'.join(map(str, OLDEST))} is the oldest that works here"
        return Problem(executable=path, kind=kind, found=found, reason=reason, remedy=INSTALL_ONE)
    vendor = vendor_folder(facts.python, facts.platform, facts.libraries)
    return Blender(
        executable=path,
        kind=kind,
        version=facts.version,
        python=facts.python,
        vendor=vendor,
        found=found,
        facts=facts,
    )


def _nothing_usable(problems: list[Problem], wanted: str) -> SetupFailed:
    if _VERSION.fullmatch(wanted):
        fetch = wheels.how_to_fetch(wanted)
        remedy = f"Fetch it as a Python wheel: `{fetch}`. " if fetch else ""
        there = f"What there is: {command('blenders')}"
        return SetupFailed(f"There is no usable Blender {wanted} on this machine.", remedy + there)
    if not problems:
        return SetupFailed("There is no Blender on this machine.", INSTALL_ONE)
    tried = "; ".join(f"{problem.executable}: {problem.reason}" for problem in problems)
    remedies = list(dict.fromkeys(problem.remedy for problem in problems))
    return SetupFailed(f"No usable Blender: {tried}.", " ".join(remedies))


def main() -> int:
    """Says which Blender would be used; exit code 69 where there is none. Nothing is fetched."""
    for candidate in _candidates():
        if isinstance(found := _examine(candidate, timeout_s=PROBE_S, ask_again=False), Blender):
            print(f"{found.executable} ({found.version})")
            return 0
    return 69


if __name__ == "__main__":
    sys.exit(main())
