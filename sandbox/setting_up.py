"""Owns what each make target sets up: `.venv` for the agent, `.blender/bpy` for the wheel, what the tests need.

Run by the Makefile with whatever Python the machine has. Standard library only, down to Python 3.8.

    python -I sandbox/setting_up.py agent|dev|run|wheel|test [--python PATH]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox.environments import alone, install, is_stamped, make, own_python, read_stamp, write_stamp
from sandbox.folders import REQUIREMENTS, ROOT, WHEEL_ENVIRONMENT
from sandbox.libraries import advice, apt_command, apt_install, is_root_with_apt, missing_libraries, packages_for
from sandbox.pythons import CannotSetUp, Python, ask, choose

AGENT_ENVIRONMENT = ROOT / ".venv"
AGENT_PYTHONS = ("3.11", "3.13", "3.12", "3.14")
WHEEL_PYTHONS = ("3.11", "3.13")
"""Pythons that a wheel of Blender exists for; requirements/bpy-cp*.txt says which Blender."""

_WHEEL_BYTES = 2 << 30
_NODE_UNFIT = 69


def main() -> int:
    arguments = _arguments()
    steps = {"agent": set_up_agent, "dev": set_up_dev, "run": set_up_run, "wheel": set_up_wheel, "test": set_up_test}
    try:
        with alone():
            steps[arguments.what](arguments.python)
    except CannotSetUp as reason:
        print(f"set-up: {reason}", file=sys.stderr)
        return _NODE_UNFIT
    except (OSError, subprocess.TimeoutExpired) as reason:
        print(f"set-up: {reason}. Try again where {ROOT} can be written to and the network answers.", file=sys.stderr)
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
    if os.environ.get("BLENDER") == "wheel":
        set_up_wheel()
    elif not _wheel_is_ready() and not _has_blender():
        print("No Blender found on this machine: using the Python wheel of it.", flush=True)
        set_up_wheel()


def set_up_wheel(python: str = "") -> None:
    """Blender as a Python wheel, in an environment of its own, shown to start."""
    if not _wheel_is_ready():
        _make_wheel_environment(python)
        _show_that_it_starts(may_install=False)


def set_up_test(python: str = "") -> None:
    """Everything that tests use: the wheel, and Debian's Blender and bubblewrap where they can be installed."""
    set_up_dev(python)
    if not _wheel_is_ready():
        _make_wheel_environment("")
        _show_that_it_starts(may_install=True)
    _want("blender")
    _want("bwrap", "bubblewrap")


# ── the agent's environment ───────────────────────────────────────────────────────────────────────────────────────────
def _agent_environment(wanted: str, locks: list[str]) -> None:
    files = [REQUIREMENTS / name for name in locks]
    own = own_python(AGENT_ENVIRONMENT)
    as_wanted = not wanted or own is None or _same_version(own, wanted)
    if own is not None and as_wanted and is_stamped(AGENT_ENVIRONMENT, files):
        return
    if own is None or not as_wanted:
        make(AGENT_ENVIRONMENT, choose(AGENT_PYTHONS, "the agent", wanted))
    install(AGENT_ENVIRONMENT, files, "the agent's packages")


def _same_version(own: Python, wanted: str) -> bool:
    asked = ask(shutil.which(wanted) or wanted)
    return asked is not None and asked.version == own.version


# ── the wheel ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _wheel_is_ready() -> bool:
    noted = read_stamp(WHEEL_ENVIRONMENT)
    locks = [REQUIREMENTS / name for name in noted.get("locks", {})]
    python = WHEEL_ENVIRONMENT / "bin" / "python"
    return bool(locks) and noted.get("starts") is True and python.exists() and is_stamped(WHEEL_ENVIRONMENT, locks)


def _make_wheel_environment(wanted: str) -> None:
    own = own_python(WHEEL_ENVIRONMENT)
    if own is None or own.version not in WHEEL_PYTHONS:
        own = _wheel_python(wanted)
        _require_space(WHEEL_ENVIRONMENT.parent, _WHEEL_BYTES)
        make(WHEEL_ENVIRONMENT, own)
    lock = REQUIREMENTS / f"bpy-cp{own.version.replace('.', '')}.txt"
    if not is_stamped(WHEEL_ENVIRONMENT, [lock]):
        install(WHEEL_ENVIRONMENT, [lock], "Blender's wheel (350 MB)")


def _wheel_python(wanted: str) -> Python:
    try:
        return choose(WHEEL_PYTHONS, "Blender's wheel", wanted)
    except CannotSetUp as reason:
        raise CannotSetUp(f"{reason} Or use an installed Blender: make run BLENDER=/path/to/blender …") from None


def _show_that_it_starts(may_install: bool) -> None:
    """Really import it: a wheel is of no use where a shared library is missing."""
    python = WHEEL_ENVIRONMENT / "bin" / "python"
    if problem := _start_problem(python):
        missing = missing_libraries(python, problem)
        installed = may_install and is_root_with_apt() and apt_install(packages_for(missing)) == ""
        if not installed or (problem := _start_problem(python)):
            reason = f"lacks {', '.join(missing)}" if missing else f"does not start ({problem.splitlines()[-1]})"
            raise CannotSetUp(f"Blender's wheel {reason}. {advice(missing) if missing else ''}")
    write_stamp(WHEEL_ENVIRONMENT, {**read_stamp(WHEEL_ENVIRONMENT), "starts": True})


def _start_problem(python: Path) -> str:
    """What it said when it did not start; nothing when it did."""
    command = [str(python), "-I", "-c", "import bpy"]
    done = subprocess.run(command, capture_output=True, timeout=180, check=False)
    said = done.stderr.decode(errors="replace").strip()
    return "" if done.returncode == 0 else said or f"exit code {done.returncode}"


def _require_space(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CannotSetUp(
            f"Blender's wheel needs {needed >> 30} GiB in {folder}, but {free / (1 << 30):.1f} GiB are free. "
            "Make room, or name an installed Blender: BLENDER=/path/to/blender"
        )


# ── programs of the machine ───────────────────────────────────────────────────────────────────────────────────────────
def _has_blender() -> bool:
    """Whether discovery finds one. A wrong BLENDER= is the run's to report, and no reason to fetch the wheel."""
    if os.environ.get("BLENDER"):
        return True
    command = [str(AGENT_ENVIRONMENT / "bin" / "python"), "-m", "sandbox.discovery"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _want(program: str, package: str = "") -> None:
    """A program on PATH; Debian's package of it is installed where we may."""
    package = package or program
    if shutil.which(program) is not None:
        return
    problem = apt_install([package]) if is_root_with_apt() else ""
    if shutil.which(program) is None:
        hint = f"Install it: {apt_command([package])}" if shutil.which("apt-get") else "Put one on PATH."
        message = f"There is no `{program}` on PATH, which some tests need. {problem or hint}"
        if os.environ.get("CI"):
            raise CannotSetUp(message)
        print(f"set-up: {message} They will be skipped.", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the environments under this checkout.")
    parser.add_argument("what", choices=("agent", "dev", "run", "wheel", "test"))
    parser.add_argument("--python", default="", help="the Python to use; left away, one that fits is chosen")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
