"""Owns what each make target sets up: `.venv` for the agent, `.blender/bpy-*` for Blender's wheels, what tests need.

Run by the Makefile with whatever Python the machine has. Standard library only, down to Python 3.8.

    python -I sandbox/setting_up.py agent|dev|run|evaluation|blender|test|matrix [--python PATH] [--version VERSION]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox import package_source, wheels
from sandbox.environments import (
    alone,
    fetch,
    fetched,
    install,
    is_stamped,
    make,
    note,
    own_python,
    read_stamp,
    write_stamp,
)
from sandbox.folders import REQUIREMENTS, ROOT
from sandbox.libraries import advice, apt_command, apt_install, is_root_with_apt, missing_libraries, packages_for
from sandbox.pythons import CannotSetUp, Python, WrongUsage, ask, choose, find

AGENT_ENVIRONMENT = ROOT / ".venv"
_AGENT_PYTHON = AGENT_ENVIRONMENT / "bin" / "python"
AGENT_PYTHONS = ("3.11", "3.13", "3.12", "3.14")
MATRIX = ("4.2", "4.5", "5.0", "5.2")
"""The wheels that the matrix of versions tries."""

EVALUATION_LOCKS = ("evaluation.txt", "evaluation-files.txt")
TORCH_LOCK, CPU_TORCH_LOCK, CUDA_LOCK = "torch.txt", "torch-cpu.txt", "torch-cuda.txt"
TORCH_GIB = 10
"""With CUDA's libraries, and what is fetched and unpacked on the way."""

_NODE_UNFIT = 69
_OR_INSTALLED = "Or use an installed Blender: make run BLENDER=/path/to/blender …"


def main() -> int:
    arguments = _arguments()
    steps: dict[str, Callable[[str], None]] = {
        "agent": set_up_agent,
        "dev": set_up_dev,
        "run": set_up_run,
        "evaluation": set_up_evaluation,
        "blender": partial(set_up_blender, version=arguments.version),
        "test": set_up_test,
        "matrix": set_up_matrix,
    }
    try:
        with alone():
            steps[arguments.what](arguments.python)
    except CannotSetUp as reason:
        print(f"set-up: {reason}", file=sys.stderr)
        return reason.exit_code
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
    """A run needs a Blender too; a wheel is fetched only where there is no other."""
    set_up_agent(python)
    if any(map(_is_ready, wheels.PYTHONS)):
        return
    if os.environ.get("BLENDER") == "wheel":
        set_up_blender()
    elif not _has_blender():
        print("No Blender found on this machine: using the Python wheel of it.", flush=True)
        set_up_blender()


def set_up_evaluation(python: str = "") -> None:
    """What an evaluation needs beside what a run needs of Python; whatever becomes of it, runs stay possible."""
    set_up_agent(python)
    locks = [REQUIREMENTS / name for name in (*EVALUATION_LOCKS, TORCH_LOCK)]
    if is_stamped(AGENT_ENVIRONMENT, locks):
        return
    packages, files, _ = locks
    fetch(AGENT_ENVIRONMENT, packages, "what evaluations need (35 MB)")
    fetch(AGENT_ENVIRONMENT, files, "two small networks with their weights (75 MB)")
    print("Installing torch (200 MB where pip finds it built for processors alone) …", flush=True)
    _install_torch()
    note(AGENT_ENVIRONMENT, locks)


def set_up_blender(python: str = "", version: str = "") -> None:
    """A Blender as a Python wheel, in an environment of its own, shown to start."""
    if version and version not in wheels.PYTHONS:
        there = ", ".join(wheels.PYTHONS)
        raise WrongUsage(f"Blender {version} is not among those that can be fetched as a wheel: VERSION={there}.")
    _set_up_wheels([version or _default_wheel(python)], python)


def set_up_test(python: str = "") -> None:
    """Everything that tests use: the default wheel, and Debian's Blender, bubblewrap and Slurm where they can be
    installed."""
    set_up_dev(python)
    _set_up_wheels([_default_wheel()], may_install=True)
    _want("blender")
    _want("bwrap", "bubblewrap")
    _want("slurmctld", "slurm-wlm")
    _want("munged", "munge")


def set_up_matrix(python: str = "") -> None:
    """The same with each Blender that the matrix of versions tries."""
    set_up_test(python)
    _set_up_wheels(MATRIX, may_install=True)


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


def _install_torch() -> None:
    """A build for processors alone where pip finds one; else the package index's, which on Linux needs CUDA's libraries
    to be imported at all."""
    if fetched(AGENT_ENVIRONMENT, REQUIREMENTS / CPU_TORCH_LOCK) and not _import_problem(_AGENT_PYTHON, "torch"):
        return
    _require_room_for_torch()
    fetch(AGENT_ENVIRONMENT, REQUIREMENTS / TORCH_LOCK, "torch (up to 700 MB)")
    if _import_problem(_AGENT_PYTHON, "torch"):
        fetch(AGENT_ENVIRONMENT, REQUIREMENTS / CUDA_LOCK, "CUDA's libraries, which this torch needs (3 GB)")
    if problem := _import_problem(_AGENT_PYTHON, "torch"):
        raise CannotSetUp(f"torch does not start ({problem.splitlines()[-1]}). Runs need none; evaluations do.")


def _require_room_for_torch() -> None:
    free = shutil.disk_usage(AGENT_ENVIRONMENT).free / (1 << 30)
    if free < TORCH_GIB:
        raise CannotSetUp(
            f"torch with CUDA's libraries needs {TORCH_GIB} GiB in {AGENT_ENVIRONMENT}, but {free:.1f} GiB are free. "
            "Make room, or use a Python 3.11 whose pip finds PyTorch's build for processors alone (its find-links)."
        )


def _same_version(own: Python, wanted: str) -> bool:
    asked = ask(shutil.which(wanted) or wanted)
    return asked is not None and asked.version == own.version


# ── Blender's wheels ──────────────────────────────────────────────────────────────────────────────────────────────────
def _default_wheel(python: str = "") -> str:
    """4.5 where its Python is here, else 5.2 where that is; without a network, of those that the folder holds."""
    offered: tuple[str, ...] = wheels.DEFAULTS
    if package_source.wheel_folder() is not None:
        held = [version for version in reversed(wheels.PYTHONS) if _is_held(version)]
        offered = tuple(sorted(held, key=lambda version: version not in wheels.DEFAULTS)) or offered
    return next((version for version in offered if _is_python_here(wheels.PYTHONS[version], python)), offered[0])


def _is_held(version: str) -> bool:
    """Whether the folder that all is taken from, where one is named, holds this Blender."""
    folder = package_source.wheel_folder()
    return folder is None or any(folder.glob(f"bpy-{version}.*.whl"))


def _is_python_here(version: str, wanted: str) -> bool:
    if wanted:
        named = ask(shutil.which(wanted) or wanted)
        return named is not None and named.version == version
    return any(python.has_venv for python in find((version,)))


def _is_ready(version: str) -> bool:
    folder = wheels.environment(version)
    shown = read_stamp(folder).get("starts") is True and (folder / "bin" / "python").exists()
    return shown and is_stamped(folder, [wheels.lock(version)])


def _set_up_wheels(versions: Iterable[str], python: str = "", may_install: bool = False) -> None:
    missing = [version for version in versions if not _is_ready(version)]
    if missing:
        _require_a_source(missing)
        _require_room([version for version in missing if own_python(wheels.environment(version)) is None])
    for version in missing:
        _fill(version, python)
        _show_that_it_starts(version, may_install)


def _fill(version: str, wanted: str) -> None:
    folder = wheels.environment(version)
    own = own_python(folder)
    if own is None or own.version != wheels.PYTHONS[version]:
        make(folder, _wheel_python(version, wanted))
    if not is_stamped(folder, [wheels.lock(version)]):
        install(folder, [wheels.lock(version)], f"Blender {version} as a Python wheel (350 MB, unpacked 1 GB)")


def _wheel_python(version: str, wanted: str) -> Python:
    try:
        return choose((wheels.PYTHONS[version],), f"the wheel of Blender {version}", wanted)
    except CannotSetUp as reason:
        raise CannotSetUp(f"{reason} {_OR_INSTALLED}") from None


def _show_that_it_starts(version: str, may_install: bool) -> None:
    """Really import it: a wheel is of no use where a shared library is missing."""
    folder = wheels.environment(version)
    python = folder / "bin" / "python"
    if problem := _import_problem(python, "bpy"):
        missing = missing_libraries(python, problem)
        installed = may_install and is_root_with_apt() and apt_install(packages_for(missing)) == ""
        if not installed or (problem := _import_problem(python, "bpy")):
            reason = f"lacks {', '.join(missing)}" if missing else f"does not start ({problem.splitlines()[-1]})"
            raise CannotSetUp(f"The wheel of Blender {version} {reason}. {advice(missing) if missing else ''}")
    write_stamp(folder, {**read_stamp(folder), "starts": True})


def _import_problem(python: Path, module: str) -> str:
    """What it said when the module did not start; nothing when it did."""
    command = [str(python), "-I", "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, timeout=180, check=False)
    said = done.stderr.decode(errors="replace").strip()
    return "" if done.returncode == 0 else said or f"exit code {done.returncode}"


def _require_a_source(versions: list[str]) -> None:
    if not wheels.fits_machine():
        machine = f"{platform.system()} on {platform.machine()}"
        raise CannotSetUp(f"Blender is not published as a Python wheel for {machine}. {_OR_INSTALLED}")
    if lacking := [version for version in versions if not _is_held(version)]:
        remedy = f"Add it where there is a network: make wheelhouse VERSION={lacking[0]}"
        reason = f"{package_source.wheel_folder()} holds no wheel of Blender {' nor '.join(lacking)}."
        raise CannotSetUp(f"{reason} {remedy} {_OR_INSTALLED}")


def _require_room(versions: list[str]) -> None:
    """1 GB for each, and as much again for what is fetched and unpacked on the way."""
    if not versions:
        return
    folder = wheels.environment(versions[0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = len(versions) + 1, shutil.disk_usage(folder).free / (1 << 30)
    if free < needed:
        raise CannotSetUp(
            f"Blender {', '.join(versions)} as a Python wheel needs {needed} GiB in {folder}, "
            f"but {free:.1f} GiB are free. Make room. {_OR_INSTALLED}"
        )


# ── programs of the machine ───────────────────────────────────────────────────────────────────────────────────────────
def _has_blender() -> bool:
    """Whether discovery finds one. A wrong BLENDER= is the run's to report, and no reason to fetch the wheel."""
    if os.environ.get("BLENDER"):
        return True
    command = [str(AGENT_ENVIRONMENT / "bin" / "python"), "-m", "sandbox.discovery"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _want(program: str, package: str = "") -> None:
    """A program on PATH, or where daemons lie; Debian's package of it is installed where we may."""
    package = package or program
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    if shutil.which(program, path=path) is not None:
        return
    problem = apt_install([package]) if is_root_with_apt() else ""
    if shutil.which(program, path=path) is None:
        hint = f"Install it: {apt_command([package])}" if shutil.which("apt-get") else "Put one on PATH."
        message = f"There is no `{program}` on PATH, which some tests need. {problem or hint}"
        if os.environ.get("CI"):
            raise CannotSetUp(message)
        print(f"set-up: {message} They will be skipped.", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the environments under this checkout.")
    parser.add_argument("what", choices=("agent", "dev", "run", "evaluation", "blender", "test", "matrix"))
    parser.add_argument("--python", default="", help="the Python to use; left away, one that fits is chosen")
    parser.add_argument("--version", default="", help=f"of Blender, for `blender`: {', '.join(wheels.PYTHONS)}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
