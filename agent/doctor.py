"""Owns what `doctor` and `blenders` say: what this machine has and lacks for a run, with a fix for each thing missing.

Looks only; fetches and changes nothing. The key is never shown, only whether there is one.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil

from agent.models.claude import key_present
from protocol.models import Value
from sandbox.discovery import INSTALL_ONE, Blender, Problem, find_blenders
from sandbox.folders import state_folder
from sandbox.limits import GIB, MIB
from sandbox.provisioning import is_provided

NODE_UNFIT = 69
ENOUGH_MEMORY_BYTES = 2 * GIB
"""A run with an active Blender and a standby, at the default sizes."""
ENOUGH_DISK_BYTES = GIB


class Isolation(Value):
    """How far code that a model writes is kept from this machine."""

    level: str = "L0"
    name: str = "process"
    in_force: tuple[str, ...] = (
        "a process of its own that ends with us",
        "deadlines, after which the whole process tree is killed",
        "limits on memory, files, processes and output",
        "a clean environment without keys",
    )
    not_stopped: tuple[str, ...] = (
        "reading and writing your files with your rights",
        "using the network",
    )


class Machine(Value):
    system: str
    python: str
    cores: int
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int
    gpus: tuple[str, ...]
    """Kinds that some Blender here can render with."""


class Missing(Value):
    """Something that is not as it should be."""

    what: str
    why: str
    fix: str
    prevents_runs: bool


class Diagnosis(Value):
    usable: bool
    """Whether a run is possible."""
    blenders: tuple[Blender, ...]
    """The first is the one that a run uses."""
    problems: tuple[Problem, ...]
    isolation: Isolation
    model: str
    """What a run uses if no other is named."""
    key: bool
    machine: Machine
    missing: tuple[Missing, ...]


class Inventory(Value):
    """What `blenders` says of this machine."""

    blenders: tuple[Blender, ...]
    """The first is the one that a run uses."""
    problems: tuple[Problem, ...]
    missing: tuple[Missing, ...]


def diagnose() -> Diagnosis:
    found = find_blenders()
    blenders = tuple(one for one in found if isinstance(one, Blender))
    problems = tuple(one for one in found if isinstance(one, Problem))
    machine = _machine(blenders)
    missing = tuple(_missing(blenders, problems, machine))
    return Diagnosis(
        usable=not any(thing.prevents_runs for thing in missing),
        blenders=blenders,
        problems=problems,
        isolation=Isolation(),
        model="claude" if key_present() else "offline",
        key=key_present(),
        machine=machine,
        missing=missing,
    )


def doctor(json: bool = False) -> int:
    """Print the diagnosis; 0 when a run is possible, else 69."""
    diagnosis = diagnose()
    print(diagnosis.model_dump_json(indent=2) if json else "\n".join(_report(diagnosis)))
    return 0 if diagnosis.usable else NODE_UNFIT


def blenders(json: bool = False) -> int:
    """Print every Blender found, the one that a run uses first; 69 when none is usable."""
    diagnosis = diagnose()
    missing = tuple(_missing_blenders(diagnosis.blenders, diagnosis.problems))
    inventory = Inventory(blenders=diagnosis.blenders, problems=diagnosis.problems, missing=missing)
    lines = [*_blender_lines(diagnosis), *_missing_lines(missing)]
    print(inventory.model_dump_json(indent=2) if json else "\n".join(lines))
    return 0 if diagnosis.blenders else NODE_UNFIT


def _machine(blenders: tuple[Blender, ...]) -> Machine:
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{_system_name()}, {platform.machine()}",
        python=f"{platform.python_version()} ({sys.executable})",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        disk_free_bytes=shutil.disk_usage(Path.cwd()).free,
        gpus=tuple(sorted({gpu for blender in blenders for gpu in blender.facts.gpus})),
    )


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _missing(blenders: tuple[Blender, ...], problems: tuple[Problem, ...], machine: Machine) -> Iterator[Missing]:
    yield from _missing_blenders(blenders, problems)
    for python in {blender.python for blender in blenders if not is_provided(blender.python)}:
        why, fix = f"not yet fetched for Blender's Python {python}", "The next run fetches them, or takes SEIG_WHEELS."
        yield Missing(what="pyzmq and msgpack", why=why, fix=fix, prevents_runs=False)
    yield from _scarce(machine)
    if not key_present():
        why, fix = "no key, so runs use the offline model", "Set ANTHROPIC_API_KEY to let Claude do it."
        yield Missing(what="Claude", why=why, fix=fix, prevents_runs=False)


def _missing_blenders(blenders: tuple[Blender, ...], problems: tuple[Problem, ...]) -> Iterator[Missing]:
    for problem in problems:
        what = f"{problem.executable} ({problem.found})"
        yield Missing(what=what, why=problem.reason, fix=problem.remedy, prevents_runs=_is_wanted(problem))
    if not blenders:
        yield Missing(what="Blender", why="none that can be used was found", fix=INSTALL_ONE, prevents_runs=True)


def _is_wanted(problem: Problem) -> bool:
    """Named by BLENDER=, so a run would use it and nothing else."""
    return problem.found == "BLENDER"


def _scarce(machine: Machine) -> Iterator[Missing]:
    if machine.memory_free_bytes < ENOUGH_MEMORY_BYTES:
        why = f"{_size(machine.memory_free_bytes)} free, and a run takes up to {_size(ENOUGH_MEMORY_BYTES)}"
        yield Missing(what="memory", why=why, fix="End other programs, or run with --no-standby.", prevents_runs=False)
    if machine.disk_free_bytes < ENOUGH_DISK_BYTES:
        why = f"{_size(machine.disk_free_bytes)} free in {Path.cwd()}"
        yield Missing(what="disk", why=why, fix="Make room, or put runs elsewhere with --out.", prevents_runs=False)
    try:
        state_folder()
    except OSError as error:
        yield Missing(what="a folder to keep things in", why=str(error), fix="Set XDG_CACHE_HOME.", prevents_runs=True)


def _report(diagnosis: Diagnosis) -> Iterator[str]:
    machine, isolation = diagnosis.machine, diagnosis.isolation
    yield from _blender_lines(diagnosis)
    yield ""
    yield f"Model      {diagnosis.model}{' (a key is present)' if diagnosis.key else ' (no key)'}"
    yield from _paragraph("Isolation", f"{isolation.level} {isolation.name}: {'; '.join(isolation.in_force)}")
    yield from _paragraph("", f"does not stop generated code from {' or from '.join(isolation.not_stopped)}")
    yield f"Machine    {machine.system}, {machine.cores} cores"
    yield f"Memory     {_size(machine.memory_free_bytes)} free of {_size(machine.memory_bytes)}"
    yield f"Disk       {_size(machine.disk_free_bytes)} free in {Path.cwd()}"
    yield f"GPU        {', '.join(machine.gpus) or 'none that Blender can render with; the processor does it'}"
    yield f"Python     {machine.python}"
    yield from _missing_lines(diagnosis.missing)
    yield ""
    yield "Ready to run." if diagnosis.usable else "Not ready: see ✗ above."


def _missing_lines(missing: tuple[Missing, ...]) -> Iterator[str]:
    if missing:
        yield ""
        yield "Missing"
    for thing in missing:
        yield f"  {'✗' if thing.prevents_runs else '•'} {thing.what}: {thing.why}"
        yield f"      {thing.fix}"


def _paragraph(heading: str, text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent=f"{heading:<11}", subsequent_indent=" " * 11)


def _blender_lines(diagnosis: Diagnosis) -> Iterator[str]:
    for number, blender in enumerate(diagnosis.blenders):
        yield f"Blender    {blender.version}  {blender.executable}{'  ← used by a run' if number == 0 else ''}"
        yield f"           {_abilities(blender)}"
    for problem in diagnosis.problems:
        yield f"Unusable   {problem.executable}: {problem.reason}"
    if not diagnosis.blenders:
        yield "Blender    none that can be used"


def _abilities(blender: Blender) -> str:
    facts = blender.facts
    how = {"binary": "a binary", "wheel": "a Python wheel"}[blender.kind]
    engines = ", ".join(facts.engines) or "no engine"
    denoiser = "denoiser" if facts.denoiser else "no denoiser"
    screen = "Workbench works without a screen" if facts.workbench else "Workbench needs a screen"
    found = "in the checkout" if blender.found == "wheel" else f"found by {blender.found}"
    return f"{how} {found}, Python {blender.python}; {engines}; {denoiser}; {screen}"


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
