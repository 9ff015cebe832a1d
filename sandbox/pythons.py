"""Owns the choice of a Python for an environment: one that is here and fits, else one that uv fetches.

Standard library only, down to Python 3.8: the set-up runs it with whatever Python the machine has.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from sandbox import package_source
from sandbox.folders import REQUIREMENTS, ROOT
from sandbox.libraries import apt_command

SETUP = ROOT / ".setup"
"""What only the set-up needs: its lock, uv, Pythons that uv fetched."""

_ASK = "import sys, importlib.util as u; print(*sys.version_info[:2], u.find_spec('ensurepip') is not None)"
_FETCH_S = 600


class CannotSetUp(Exception):
    """The set-up ends with this one message."""

    exit_code = 69


class WrongUsage(CannotSetUp):
    """What was asked for does not exist."""

    exit_code = 64


class Python(NamedTuple):
    """An interpreter on this machine."""

    path: str
    version: str
    """For example "3.11"."""
    has_venv: bool
    """Debian splits venv from Python."""


def choose(versions: tuple[str, ...], purpose: str, wanted: str = "") -> Python:
    """The first that fits and has venv; `wanted` is what the user asked for and must fit."""
    if wanted:
        return _as_wanted(wanted, versions, purpose)
    found = find(versions)
    for python in found:
        if python.has_venv:
            return python
    if (uv := find_uv()) is not None:
        return found[0] if found else fetch(uv, versions, purpose)
    raise CannotSetUp(_missing(found, versions, purpose))


def find(versions: tuple[str, ...]) -> list[Python]:
    """Those of this machine; the one that runs this comes first if it is among them."""
    return [python for python in map(ask, _paths(versions)) if python is not None and python.version in versions]


def ask(path: str) -> Python | None:
    """What the interpreter at `path` is; None for one that does not run (a shim, a broken link)."""
    try:
        done = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, timeout=30, check=True)
        major, minor, has_venv = done.stdout.decode().split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Python(path, f"{major}.{minor}", has_venv == "True")


def find_uv() -> str | None:
    """uv from PATH, or put beside us with this Python's pip where it has one. Not on a machine that takes everything
    from a folder: what uv would fetch is not in it."""
    own = SETUP / "uv" / "bin" / "uv"
    if package_source.wheel_folder() is not None:
        return None
    if (on_path := shutil.which("uv")) is not None:
        return on_path
    if own.is_file():
        return str(own)
    return str(own) if _install_uv() and own.is_file() else None


def fetch(uv: str, versions: tuple[str, ...], purpose: str) -> Python:
    """A Python of our own, kept under the checkout."""
    print(f"Fetching Python {versions[0]} with uv, for {purpose} …", flush=True)
    folder = SETUP / "python"
    environment = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(folder)}
    command = [uv, "python", "install", "--no-bin", versions[0]]
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=_FETCH_S, check=True)
    except (OSError, subprocess.SubprocessError):
        raise CannotSetUp(_missing([], versions, purpose, tried_uv=True)) from None
    for path in sorted(folder.glob(f"*-{versions[0]}.*/bin/python3")):
        if (python := ask(str(path))) is not None:
            return python
    raise CannotSetUp(_missing([], versions, purpose, tried_uv=True))


def _as_wanted(wanted: str, versions: tuple[str, ...], purpose: str) -> Python:
    python = ask(shutil.which(wanted) or wanted)
    if python is None:
        raise CannotSetUp(f"PYTHON={wanted} does not run. Leave PYTHON away, or name one that does.")
    if python.version not in versions:
        fits = " or ".join(versions)
        raise CannotSetUp(f"PYTHON={wanted} is Python {python.version}, but {purpose} needs {fits}.")
    if not python.has_venv and find_uv() is None:
        raise CannotSetUp(_missing([python], versions, purpose))
    return python


def _paths(versions: tuple[str, ...]) -> Iterator[str]:
    """This one first, then those on PATH, then where pyenv, uv and Homebrew keep theirs."""
    yield getattr(sys, "_base_executable", sys.executable) or sys.executable
    for version in versions:
        if (on_path := shutil.which(f"python{version}")) is not None:
            yield on_path
    keeps = ("~/.pyenv/versions/{0}.*/bin/python", str(SETUP / "python" / "*-{0}.*" / "bin" / "python3"))
    more = ("~/.local/share/uv/python/*-{0}.*/bin/python3", "/opt/homebrew/bin/python{0}", "/usr/local/bin/python{0}")
    for version in versions:
        for pattern in keeps + more:
            yield from sorted(glob.glob(os.path.expanduser(pattern.format(version))), reverse=True)


def _install_uv() -> bool:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    hashed = [
        "--require-hashes",
        "--only-binary=:all:",
        "--target",
        str(SETUP / "uv"),
        "-r",
        str(REQUIREMENTS / "uv.txt"),
    ]
    try:
        command, environment = [*pip, *hashed], package_source.pip_environment()
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_FETCH_S, check=False)
        return done.returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _missing(found: list[Python], versions: tuple[str, ...], purpose: str, tried_uv: bool = False) -> str:
    """One sentence on what is missing, one on what to do."""
    if found:
        package = f"python{found[0].version}-venv"
        here = f"{found[0].path} fits {purpose}, but lacks the venv module."
        return f"{here} Install it: {apt_command([package])}" if shutil.which("apt-get") else here
    running = "{}.{}".format(*sys.version_info[:2])
    tried = ", and uv could not fetch one (no network?)" if tried_uv else ""
    fits = " or ".join(versions[:2])
    reason = f"{purpose[0].upper()}{purpose[1:]} needs Python {fits}, but this machine has only {running}{tried}."
    return f"{reason} Install one and name it: make PYTHON=/path/to/python{versions[0]} …"
