"""Owns the environments under the checkout: `.venv` for the agent, `.blender/bpy` for the wheel. Run by the Makefile.

Exact versions with hashes; safe to repeat, to interrupt and to run twice at once; quick when nothing changed.
Standard library only, down to Python 3.8.

    python -I sandbox/environments.py agent|dev|run|wheel|test [--python PATH]
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox.folders import REQUIREMENTS, ROOT, WHEEL_ENVIRONMENT
from sandbox.libraries import advice, apt_command, missing_libraries, packages_for
from sandbox.pythons import SETUP, CannotSetUp, Python, ask, choose, find_uv

AGENT_ENVIRONMENT = ROOT / ".venv"
AGENT_PYTHONS = ("3.11", "3.13", "3.12", "3.14")
WHEEL_PYTHONS = ("3.11", "3.13")
"""Pythons that a wheel of Blender exists for; requirements/bpy-cp*.txt says which Blender."""

_STAMP = ".seig.json"
_UNFINISHED = ".unfinished"
_WHEEL_BYTES = 2 << 30
_NODE_UNFIT = 69

Lock = Path


def main() -> int:
    arguments = _arguments()
    steps = {"agent": set_up_agent, "dev": set_up_dev, "run": set_up_run, "wheel": set_up_wheel, "test": set_up_test}
    try:
        with _alone():
            steps[arguments.what](arguments.python)
    except CannotSetUp as reason:
        print(f"set-up: {reason}", file=sys.stderr)
        return _NODE_UNFIT
    except KeyboardInterrupt:
        return 130
    return 0


def set_up_agent(python: str = "") -> None:
    """What a run needs."""
    _agent_environment(python, ["agent.txt"])


def set_up_dev(python: str = "") -> None:
    """What `make check` and the tests need; holds the agent's versions too."""
    _agent_environment(python, ["dev.txt", "agent.txt"])


def set_up_run(python: str = "") -> None:
    """A run needs a Blender too; the wheel is fetched only where there is no other."""
    set_up_agent(python)
    if not _wheel_is_ready() and not _has_blender():
        print("No Blender found on this machine: using the Python wheel of it.", flush=True)
        set_up_wheel()


def set_up_wheel(python: str = "") -> None:
    """Blender as a Python wheel, in an environment of its own, shown to start."""
    if not _wheel_is_ready():
        _make_wheel_environment(python)
        _show_that_it_starts(may_install=False)


def set_up_test(python: str = "") -> None:
    """Everything that tests use: the wheel, and Debian's Blender where it can be installed."""
    set_up_dev(python)
    if not _wheel_is_ready():
        _make_wheel_environment("")
        _show_that_it_starts(may_install=True)
    _want_a_binary()


# ── the agent's environment ───────────────────────────────────────────────────────────────────────────────────────────
def _agent_environment(wanted: str, locks: list[str]) -> None:
    files = [REQUIREMENTS / name for name in locks]
    own = _own_python(AGENT_ENVIRONMENT)
    as_wanted = not wanted or own is None or _same_version(own, wanted)
    if own is not None and as_wanted and _is_stamped(AGENT_ENVIRONMENT, files):
        return
    if own is None or not as_wanted:
        _make(AGENT_ENVIRONMENT, choose(AGENT_PYTHONS, "the agent", wanted))
    _install(AGENT_ENVIRONMENT, files, "the agent's packages")


def _same_version(own: Python, wanted: str) -> bool:
    asked = ask(shutil.which(wanted) or wanted)
    return asked is not None and asked.version == own.version


# ── the wheel ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _wheel_is_ready() -> bool:
    stamp = _stamp(WHEEL_ENVIRONMENT)
    locks = [REQUIREMENTS / name for name in stamp.get("locks", {})]
    python = WHEEL_ENVIRONMENT / "bin" / "python"
    return bool(locks) and stamp.get("starts") is True and python.exists() and _is_stamped(WHEEL_ENVIRONMENT, locks)


def _make_wheel_environment(wanted: str) -> None:
    own = _own_python(WHEEL_ENVIRONMENT)
    if own is None or own.version not in WHEEL_PYTHONS:
        own = _wheel_python(wanted)
        _require_space(WHEEL_ENVIRONMENT.parent, _WHEEL_BYTES)
        _make(WHEEL_ENVIRONMENT, own)
    lock = REQUIREMENTS / f"bpy-cp{own.version.replace('.', '')}.txt"
    if not _is_stamped(WHEEL_ENVIRONMENT, [lock]):
        _install(WHEEL_ENVIRONMENT, [lock], "Blender's wheel (350 MB)")


def _wheel_python(wanted: str) -> Python:
    try:
        return choose(WHEEL_PYTHONS, "Blender's wheel", wanted)
    except CannotSetUp as reason:
        raise CannotSetUp(f"{reason} Or use an installed Blender: make run BLENDER=/path/to/blender …") from None


def _show_that_it_starts(may_install: bool) -> None:
    """Really import it: a wheel is of no use where a shared library is missing."""
    python = WHEEL_ENVIRONMENT / "bin" / "python"
    done = _import(python)
    if done.returncode != 0:
        missing = missing_libraries(python, done.stderr.decode(errors="replace"))
        if may_install and _is_root_with_apt() and packages_for(missing):
            _apt_install(packages_for(missing))
            done = _import(python)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = f"lacks {', '.join(missing)}" if missing else f"does not start ({said[-1] if said else 'no message'})"
        raise CannotSetUp(f"Blender's wheel {reason}. {advice(missing) if missing else ''}")
    _write_stamp(WHEEL_ENVIRONMENT, {**_stamp(WHEEL_ENVIRONMENT), "starts": True})


def _import(python: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(python), "-I", "-c", "import bpy"], capture_output=True, timeout=180, check=False)


def _require_space(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CannotSetUp(
            f"Blender's wheel needs {needed >> 30} GiB in {folder}, but {free / (1 << 30):.1f} GiB are free. "
            "Make room, or name an installed Blender: BLENDER=/path/to/blender"
        )


# ── Blender binaries ──────────────────────────────────────────────────────────────────────────────────────────────────
def _has_blender() -> bool:
    """Whether discovery finds one. A wrong BLENDER= is the run's to report, and no reason to fetch the wheel."""
    if os.environ.get("BLENDER"):
        return True
    command = [str(AGENT_ENVIRONMENT / "bin" / "python"), "-m", "sandbox.discovery"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _want_a_binary() -> None:
    if shutil.which("blender") is not None:
        return
    if _is_root_with_apt():
        _apt_install(["blender"])
    if shutil.which("blender") is None:
        hint = f"Install it: {apt_command(['blender'])}" if shutil.which("apt-get") else "Put one on PATH."
        message = f"There is no `blender` on PATH, which some tests need. {hint}"
        if os.environ.get("CI"):
            raise CannotSetUp(message)
        print(f"set-up: {message} They will be skipped.", file=sys.stderr)


def _is_root_with_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt_install(packages: list[str]) -> None:
    print(f"Installing {', '.join(packages)} with apt-get …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    subprocess.run(["apt-get", "update", "-q"], env=environment, capture_output=True, timeout=600, check=False)
    done = subprocess.run(install, env=environment, capture_output=True, timeout=1200, check=False)
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip()[-500:]
        raise CannotSetUp(f"apt-get could not install {', '.join(packages)}: {tail}")


# ── environments and their stamps ─────────────────────────────────────────────────────────────────────────────────────
def _own_python(folder: Path) -> Python | None:
    """The environment's Python, or None where it has to be made anew: absent, broken off, its base gone."""
    if (folder / _UNFINISHED).exists():
        return None
    python = ask(str(folder / "bin" / "python"))
    has_pip = any(folder.glob("lib/python*/site-packages/pip/__init__.py"))
    return python if has_pip else None


def _make(folder: Path, python: Python) -> None:
    print(f"Making {folder.relative_to(ROOT)} with Python {python.version} …", flush=True)
    if python.has_venv:
        command = [python.path, "-m", "venv", "--clear", str(folder)]
    else:
        command = [find_uv() or "uv", "venv", "--quiet", "--seed", "--clear", "--python", python.path, str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).decode(errors="replace").strip()[-500:]
        raise CannotSetUp(f"{folder} could not be made: {tail}")
    (folder / _UNFINISHED).touch()


def _install(folder: Path, locks: list[Lock], what: str) -> None:
    print(f"Installing {what} …", flush=True)
    began = time.monotonic()
    (folder / _UNFINISHED).touch()
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    command = [*pip, "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:", "-r", str(locks[0])]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr.decode(errors="replace")[-3000:])
        raise CannotSetUp(f"pip could not install {what}: see above. With a network and room on the disk, try again.")
    _write_stamp(folder, {"locks": {lock.name: _digest(lock) for lock in locks}})
    (folder / _UNFINISHED).unlink()
    print(f"  done in {time.monotonic() - began:.0f} s", flush=True)


def _is_stamped(folder: Path, locks: list[Lock]) -> bool:
    stamped = _stamp(folder).get("locks", {})
    return all(stamped.get(lock.name) == _digest(lock) for lock in locks)


def _stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(folder: Path, stamp: dict[str, object]) -> None:
    fresh = folder / (_STAMP + ".new")
    fresh.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(fresh, folder / _STAMP)


def _digest(lock: Lock) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


@contextmanager
def _alone() -> Iterator[None]:
    """One set-up at a time; the lock ends with its holder, however that ends."""
    SETUP.mkdir(exist_ok=True)
    with (SETUP / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up in this checkout …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the environments under this checkout.")
    parser.add_argument("what", choices=("agent", "dev", "run", "wheel", "test"))
    parser.add_argument("--python", default="", help="the Python to use; left away, one that fits is chosen")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
