"""Owns the folder that a machine without a network is set up from: every package that a run needs, by pinned hash.

For machines of the same system, processor and Python version as this one; pyzmq and msgpack for the Python of every
Blender. Blender itself only where a version is named: it is large, and most such machines have one installed. What
evaluations need only where that is asked for: torch is large.

    python -m sandbox.wheelhouse FOLDER [--version 4.5] [--evaluation]
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from sandbox import package_source, wheels
from sandbox.folders import REQUIREMENTS, ROOT
from sandbox.provisioning import lock_file
from sandbox.setting_up import CPU_TORCH_LOCK, CUDA_LOCK, EVALUATION_LOCKS, TORCH_LOCK

BLENDER_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
"""Those of Blender 2.93 to 5.2, as published and as distributions build it."""

_USAGE, _NODE_UNFIT = 64, 69


def main() -> int:
    parser = argparse.ArgumentParser(description="Collect what a machine without a network needs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", default="", help=f"of Blender, to collect too: {', '.join(wheels.PYTHONS)}")
    parser.add_argument("--evaluation", action="store_true", help="what `make evaluate` needs, too")
    arguments = parser.parse_args()
    if arguments.version and arguments.version not in wheels.PYTHONS:
        there = ", ".join(wheels.PYTHONS)
        print(f"wheelhouse: there is no wheel of Blender {arguments.version}: VERSION={there}", file=sys.stderr)
        return _USAGE
    try:
        collect(arguments.folder, arguments.version, arguments.evaluation)
    except (OSError, subprocess.CalledProcessError) as reason:
        why = reason if isinstance(reason, OSError) else "pip could not fetch what is missing: see above"
        print(f"wheelhouse: {why}. What is there already is kept; try again.", file=sys.stderr)
        return _NODE_UNFIT
    print(_what_is_there(arguments.folder))
    return 0


def collect(folder: Path, blender: str = "", evaluation: bool = False) -> None:
    """Fill it; what lies there already, with the right hash, is not fetched again. OSError, CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    fetch(folder, "the agent's packages", REQUIREMENTS / "agent.txt")
    for python in BLENDER_PYTHONS:
        fetch(folder, f"pyzmq and msgpack for Blenders with Python {python}", lock_file(python), python)
    if blender:
        fetch(folder, f"Blender {blender} (350 MB)", wheels.lock(blender), wheels.PYTHONS[blender])
    if evaluation:
        _collect_for_evaluations(folder)


def _collect_for_evaluations(folder: Path) -> None:
    """torch as built for processors alone where pip finds that; else the index's, with what that needs on Linux."""
    for name in EVALUATION_LOCKS:
        fetch(folder, f"what evaluations need ({name})", REQUIREMENTS / name)
    try:
        fetch(folder, "torch for processors alone (200 MB), if pip finds it", REQUIREMENTS / CPU_TORCH_LOCK)
    except subprocess.CalledProcessError:
        fetch(folder, "torch for any machine (up to 700 MB)", REQUIREMENTS / TORCH_LOCK)
        fetch(folder, "CUDA's libraries, if that needs them (3 GB)", REQUIREMENTS / CUDA_LOCK)


def fetch(folder: Path, what: str, lock: Path, python: str = "") -> None:
    """Everything that one lock pins, for that Python, else for our own. CalledProcessError where pip fails."""
    print(f"{what} …", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    pip += ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    other = ["--implementation", "cp", "--python-version", python] if python else []
    command = [*pip, *other, "--dest", str(folder), "-r", str(lock)]
    subprocess.run(command, env=package_source.pip_environment(), stdin=subprocess.DEVNULL, check=True)


def _what_is_there(folder: Path) -> str:
    files = list(folder.glob("*.whl"))
    size = sum(file.stat().st_size for file in files) / (1 << 20)
    python = "{}.{}".format(*sys.version_info[:2])
    where = folder.resolve()
    shown = where.relative_to(ROOT) if where.is_relative_to(ROOT) else where
    return (
        f"{len(files)} wheels, {size:.0f} MiB, in {where}.\n"
        f"On a machine without a network, with Python {python} and a copy of this checkout: "
        f"{package_source.VARIABLE}={shlex.quote(str(shown))} make run IMAGE=photo.jpg"
    )


if __name__ == "__main__":
    sys.exit(main())
