"""Owns what `blenders` says: the Blenders of this machine, what each can do, which one a run uses and why.

What is missing for a run besides: `doctor`.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.exit_codes import NODE_UNFIT
from protocol.models import Value
from sandbox.discovery import (
    INSTALL_ONE,
    Blender,
    Problem,
    answers_to,
    find_blenders,
    is_version,
    used_by_a_run,
    wanted_blender,
)

_HOW = {"binary": "a binary", "wheel": "a Python wheel"}
_WHERE = {"BLENDER": "named by BLENDER", "PATH": "on PATH", "usual place": "in the usual places", "wheel": "a wheel"}
_SPELT = {"cycles": "Cycles", "eevee": "EEVEE", "workbench": "Workbench", "gltf": "glTF", "usd": "USD", "obj": "OBJ"}


class Missing(Value):
    """Something that is not as it should be."""

    what: str
    why: str
    fix: str
    prevents_runs: bool


class Listed(Blender):
    """A usable Blender, and what becomes of it."""

    used: bool
    """By a run, as things are."""
    why: str
    """Why it is used, or why not."""


class Inventory(Value):
    """The Blenders of this machine."""

    blenders: tuple[Listed, ...]
    """In the order in which they would be used."""
    problems: tuple[Problem, ...]
    missing: tuple[Missing, ...]

    @property
    def used(self) -> Listed | None:
        """The one that a run uses."""
        return next((blender for blender in self.blenders if blender.used), None)


def take_inventory() -> Inventory:
    found = find_blenders(ask_again=True)
    used = used_by_a_run(found)
    blenders = tuple(
        Listed(**dict(one), used=one == used, why=_why(one, used)) for one in found if isinstance(one, Blender)
    )
    problems = tuple(one for one in found if isinstance(one, Problem))
    return Inventory(blenders=blenders, problems=problems, missing=tuple(_missing(problems, used)))


def blenders(json: bool = False) -> int:
    """Print every Blender found, the one that a run uses marked as such; 69 when it would have none."""
    inventory = take_inventory()
    said = [*lines(inventory), *missing_lines(inventory.missing)]
    print(inventory.model_dump_json(indent=2) if json else "\n".join(said))
    return 0 if inventory.used else NODE_UNFIT


def lines(inventory: Inventory) -> Iterator[str]:
    for blender in inventory.blenders:
        yield f"Blender    {blender.version}  {blender.executable}{'  ← used by a run' if blender.used else ''}"
        yield from (f"           {line}" for line in (blender.why, *_abilities(blender)))
    for problem in inventory.problems:
        yield f"Unusable   {problem.executable}: {problem.reason}"
    if not inventory.blenders:
        yield "Blender    none that can be used"


def missing_lines(missing: tuple[Missing, ...]) -> Iterator[str]:
    if missing:
        yield ""
        yield "Missing"
    for thing in missing:
        yield f"  {'✗' if thing.prevents_runs else '•'} {thing.what}: {thing.why}"
        yield f"      {thing.fix}"


def _why(blender: Blender, used: Blender | None) -> str:
    wanted = wanted_blender()
    if blender == used:
        if is_version(wanted):
            return f"used: the first of version {wanted}, which BLENDER asks for"
        return f"used: {_why_first(blender, wanted)}"
    if wanted and not answers_to(blender, wanted):
        return f"not used: BLENDER={wanted} asks for another"
    where = _WHERE[used.found] if used else ""
    return f"not used: {used.version if used else 'another'} comes first, {where}"


def _why_first(blender: Blender, wanted: str) -> str:
    if wanted:
        return f"BLENDER={wanted} names it"
    return {
        "PATH": "the first on PATH",
        "usual place": "nothing usable is on PATH, and of the usual places it is the newest",
        "wheel": "nothing usable is installed, and of the wheels fetched it comes first",
    }[blender.found]


def _abilities(blender: Blender) -> Iterator[str]:
    facts = blender.facts
    yield (
        f"{_HOW[blender.kind]} {_WHERE[blender.found].removeprefix('a wheel') or 'in the checkout'}, Python "
        f"{blender.python}{' with numpy' if facts.numpy else ' without numpy'}; starts in {facts.start_s:.1f} s"
    )
    rendered = [f"{_SPELT[name]} in {seconds:.1f} s" for name, seconds in facts.picture_s.items()]
    others = [_SPELT[name] for name in facts.engines if name not in facts.picture_s]
    yield "; ".join(
        [
            f"rendered without a screen: {', '.join(rendered) or 'nothing'}",
            *([f"not here without a screen or a graphics card: {', '.join(others)}"] if others else []),
        ]
    )
    devices = dict.fromkeys(f"{device.kind} {device.name}" for device in facts.devices)
    yield "; ".join(
        (
            f"denoiser: {', '.join(facts.denoisers) or 'none'}",
            f"devices: {', '.join(devices) or 'none told'}",
            f"writes: {', '.join(_SPELT[name] for name in facts.exporters) or 'only .blend'}",
        )
    )


def _missing(problems: tuple[Problem, ...], used: Blender | None) -> Iterator[Missing]:
    for problem in problems:
        what = f"{problem.executable} ({problem.found})"
        prevents_runs = problem.found == "BLENDER" and used is None
        yield Missing(what=what, why=problem.reason, fix=problem.remedy, prevents_runs=prevents_runs)
    if used is None:
        wanted = wanted_blender()
        why = f"none that BLENDER={wanted} asks for can be used" if wanted else "none that can be used was found"
        yield Missing(what="Blender", why=why, fix=INSTALL_ONE, prevents_runs=True)
