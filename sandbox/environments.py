"""Owns how an environment under the checkout is made and filled: exact versions with hashes, and a stamp when done.

Safe to repeat, to interrupt and to run twice at once; quick when nothing changed. Knows nothing of what it is for.
Standard library only, down to Python 3.8.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox import package_source
from sandbox.folders import ROOT, UNFINISHED
from sandbox.pythons import SETUP, CannotSetUp, Python, ask, find_uv

_STAMP = ".seig.json"


def own_python(folder: Path) -> Python | None:
    """The environment's Python, or None where it has to be made anew: absent, broken off, its base gone."""
    if (folder / UNFINISHED).exists():
        return None
    python = ask(str(folder / "bin" / "python"))
    has_pip = any(folder.glob("lib/python*/site-packages/pip/__init__.py"))
    return python if has_pip else None


def make(folder: Path, python: Python) -> None:
    """An empty environment; what was there goes."""
    _source()
    print(f"Making {folder.relative_to(ROOT)} with Python {python.version} …", flush=True)
    if python.has_venv:
        command = [python.path, "-m", "venv", "--clear", str(folder)]
    else:
        command = [find_uv() or "uv", "venv", "--quiet", "--seed", "--clear", "--python", python.path, str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).decode(errors="replace").strip()[-500:]
        raise CannotSetUp(f"{folder} could not be made: {tail}")
    (folder / UNFINISHED).touch()


def install(folder: Path, locks: list[Path], what: str) -> None:
    """Fill it with what the first lock pins, which the others are part of; noted only when all is there."""
    (folder / UNFINISHED).touch()
    fetch(folder, locks[0], what)
    write_stamp(folder, {"locks": _digests(locks)})
    (folder / UNFINISHED).unlink()


def note(folder: Path, locks: list[Path]) -> None:
    """That it holds what these locks pin too, beside what was noted before."""
    noted = read_stamp(folder)
    write_stamp(folder, {**noted, "locks": {**noted.get("locks", {}), **_digests(locks)}})


def fetch(folder: Path, lock: Path, what: str) -> None:
    """Put what one lock pins into it. Raises `CannotSetUp`; what is there already stays as it was."""
    print(f"Installing {what} …", flush=True)
    began = time.monotonic()
    if said := _complaint(folder, lock):
        sys.stderr.write(said)
        raise CannotSetUp(
            f"pip could not install {what}: see above. With room on the disk and a network, try again. "
            f"{package_source.way_out()}"
        )
    print(f"  done in {time.monotonic() - began:.0f} s", flush=True)


def fetched(folder: Path, lock: Path) -> bool:
    """The same for what need not be there to be had; says nothing."""
    return _complaint(folder, lock) == ""


def _complaint(folder: Path, lock: Path) -> str:
    """The end of what pip said when it failed; nothing where it did not."""
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    pip += ["--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]
    command, environment = [*pip, *_source(), "-r", str(lock)], package_source.pip_environment()
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode(errors="replace")[-3000:]
    return "" if done.returncode == 0 else said or f"pip ended with exit code {done.returncode}\n"


def is_stamped(folder: Path, locks: list[Path]) -> bool:
    """Whether it holds what these locks pin."""
    stamped = read_stamp(folder).get("locks", {})
    return all(stamped.get(lock.name) == _digest(lock) for lock in locks)


def read_stamp(folder: Path) -> dict[str, Any]:
    """What was noted when the environment was ready; empty for one that is not."""
    try:
        noted = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def write_stamp(folder: Path, noted: dict[str, object]) -> None:
    fresh = folder / (_STAMP + ".new")
    fresh.write_text(json.dumps(noted, indent=1), encoding="utf-8")
    os.replace(fresh, folder / _STAMP)


def _source() -> list[str]:
    try:
        return package_source.pip_options()
    except NotADirectoryError as reason:
        raise CannotSetUp(f"{reason} {package_source.way_out()}") from None


def _digests(locks: list[Path]) -> dict[str, str]:
    return {lock.name: _digest(lock) for lock in locks}


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


@contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time; the lock ends with its holder, however that ends."""
    SETUP.mkdir(exist_ok=True)
    with (SETUP / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up in this checkout …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
