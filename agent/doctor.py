"""Owns what `doctor` says: what this machine has and lacks for a run, with a fix for each thing missing.

Looks only; fetches and changes nothing. The key is never shown, only whether there is one.
"""

from __future__ import annotations

import platform
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil

from agent.blenders import Inventory, Listed, Missing, lines, missing_lines, take_inventory
from agent.exit_codes import NODE_UNFIT
from agent.models.claude import key_present
from protocol.models import Value
from sandbox.confinement import probes
from sandbox.confinement.levels import Level
from sandbox.confinement.probes import Probe
from sandbox.discovery import Blender, Problem
from sandbox.folders import state_folder
from sandbox.limits import GIB, MIB
from sandbox.machine import processors
from sandbox.probing import Device
from sandbox.provisioning import is_provided

ENOUGH_MEMORY_BYTES = 2 * GIB
"""A run with an active Blender and a standby, at the default sizes."""
ENOUGH_DISK_BYTES = GIB


class Isolation(Value):
    """How far code that a model writes is kept from this machine: the best level whose probes all pass now."""

    level: str
    name: str
    stops: str
    does_not_stop: str
    probes: tuple[Probe, ...]
    """What was tried, at each level."""


class Machine(Value):
    system: str
    python: str
    cores: int
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int
    gpus: tuple[str, ...]
    """What some Blender here can render with: "OPTIX: NVIDIA H100"."""


class Diagnosis(Value):
    usable: bool
    """Whether a run is possible."""
    blenders: tuple[Listed, ...]
    problems: tuple[Problem, ...]
    isolation: Isolation
    model: str
    """What a run uses if no other is named."""
    key: bool
    machine: Machine
    missing: tuple[Missing, ...]


def diagnose() -> Diagnosis:
    inventory = take_inventory()
    machine = _machine(inventory)
    missing = (*inventory.missing, *_missing(inventory, machine))
    return Diagnosis(
        usable=not any(thing.prevents_runs for thing in missing),
        blenders=inventory.blenders,
        problems=inventory.problems,
        isolation=_isolation(),
        model="claude" if key_present() else "offline",
        key=key_present(),
        machine=machine,
        missing=missing,
    )


def _isolation() -> Isolation:
    best, found = probes.best(), probes.reach().probes
    stops = " ".join(level.stops for level in Level if level <= best)
    return Isolation(level=str(best), name=best.word, stops=stops, does_not_stop=best.does_not_stop, probes=found)


def doctor(json: bool = False) -> int:
    """Print the diagnosis; 0 when a run is possible, else 69."""
    diagnosis = diagnose()
    print(diagnosis.model_dump_json(indent=2) if json else "\n".join(_report(diagnosis)))
    return 0 if diagnosis.usable else NODE_UNFIT


def _machine(inventory: Inventory) -> Machine:
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{_system_name()}, {platform.machine()}",
        python=f"{platform.python_version()} ({sys.executable})",
        cores=processors(),
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        disk_free_bytes=shutil.disk_usage(Path.cwd()).free,
        gpus=tuple(
            dict.fromkeys(
                _named(card) for one in inventory.blenders for card in one.facts.devices if card.kind != "CPU"
            )
        ),
    )


def _named(card: Device) -> str:
    return f"{card.kind}: {card.name}"


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _missing(inventory: Inventory, machine: Machine) -> Iterator[Missing]:
    for python in {blender.python for blender in inventory.blenders if not _is_provided(blender)}:
        why, fix = f"not yet fetched for Blender's Python {python}", "The next run fetches them, or takes SEIG_WHEELS."
        yield Missing(what="pyzmq and msgpack", why=why, fix=fix, prevents_runs=False)
    yield from _unreached()
    yield from _scarce(machine)
    if not key_present():
        why, fix = "no key, so runs use the offline model", "Set ANTHROPIC_API_KEY to let Claude do it."
        yield Missing(what="Claude", why=why, fix=fix, prevents_runs=False)


def _is_provided(blender: Blender) -> bool:
    return is_provided(blender.python, blender.facts.platform, blender.facts.libraries)


def _unreached() -> Iterator[Missing]:
    """What keeps this machine from the next level of isolation."""
    reach = probes.reach()
    if (best := reach.best()) < max(Level):
        level = Level(best + 1)
        failed = next(probe for probe in reach.of(level) if not probe.passed)
        fix = failed.remedy or "Run in a container or as a user of its own."
        yield Missing(what=f"isolation {level}", why=f"{failed.name}: {failed.detail}", fix=fix, prevents_runs=False)


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
    yield from lines(Inventory(blenders=diagnosis.blenders, problems=diagnosis.problems, missing=()))
    yield ""
    yield f"Model      {diagnosis.model}{' (a key is present)' if diagnosis.key else ' (no key)'}"
    yield from _paragraph("Isolation", f"{isolation.level} {isolation.name}. Stops: {isolation.stops}")
    yield from _paragraph("", f"Does not stop: {isolation.does_not_stop}")
    yield f"Machine    {machine.system}, {machine.cores} cores"
    yield f"Memory     {_size(machine.memory_free_bytes)} free of {_size(machine.memory_bytes)}"
    yield f"Disk       {_size(machine.disk_free_bytes)} free in {Path.cwd()}"
    yield f"GPU        {', '.join(machine.gpus) or 'none that Cycles can use; the processor renders'}"
    yield f"Python     {machine.python}"
    yield ""
    yield from _probe_lines(isolation)
    yield from missing_lines(diagnosis.missing)
    yield ""
    yield "Ready to run." if diagnosis.usable else "Not ready: see ✗ above."


def _probe_lines(isolation: Isolation) -> Iterator[str]:
    """What a child tried at each level of isolation, and what became of it."""
    levels = sorted({probe.level for probe in isolation.probes if probe.level >= Level.CONFINED})
    names = dict.fromkeys(probe.name for probe in isolation.probes if probe.level in levels)
    yield f"{'Tried by a child at':<46}" + "".join(f"{level!s:<10}" for level in levels)
    for name in names:
        found = {probe.level: probe for probe in isolation.probes if probe.name == name}
        yield f"  {name:<44}" + "".join(f"{_became(found.get(level)):<10}" for level in levels)


def _became(probe: Probe | None) -> str:
    if probe is None:
        return "–"
    if not probe.passed:
        return "FAILED"
    return "stopped" if probe.stopped else "works" if probe.name == probes.WORKS else "open"


def _paragraph(heading: str, text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent=f"{heading:<11}", subsequent_indent=" " * 11)


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
