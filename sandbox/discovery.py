"""Owns which Blenders this machine has, and which of them a run uses:

1. What `--blender` or `BLENDER=` names, and nothing else: if that cannot be used, there is no run. Where it names a
   folder with several, the newest; where a version ("4.5"), the first of that version in the order below.
2. `blender` on PATH, in the order of PATH: whoever put it there wants it used.
3. The usual places of the system: the newest by the version in its path, then those whose path tells none.
4. Blender's wheel in this checkout: 4.5, else the newest.

One that cannot be used is passed over, and told with its reason. Where they may lie: `places`; what each is and can do:
`probing`; what its Python lacks is put beside it in `provisioning`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from protocol.errors import SetupFailed
from protocol.models import Value
from sandbox.calling import command
from sandbox.places import Candidate, Kind, in_usual_places, named, on_path, wheels
from sandbox.probing import PROBE_S, Facts, ProbeFailed, probe
from sandbox.provisioning import provide, vendor_folder
from sandbox.wheels import how_to_fetch

SIDE_BY_SIDE = 2
"""Blenders asked at a time: each takes a processor while it starts, and says how long that took."""

_VERSION = re.compile(r"\d+(\.\d+){1,2}")

INSTALL_ONE = "Give one with BLENDER=/path/to/blender, put one on PATH, or " + (
    f"run `{how_to_fetch()}` to fetch Blender as a Python wheel."
    if how_to_fetch()
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

    @property
    def started(self) -> Path:
        """What to start: the program itself where `executable` is a link to it. Shown nothing but a link, it would not
        find what lies beside it; what is no mere link, such as a script, may do more than to start it."""
        real = Path(os.path.realpath(self.executable))
        is_link = self.kind == "binary" and os.path.realpath(self.facts.program) == str(real)
        return real if is_link else self.executable


class Problem(Value):
    """Something that should have been a Blender and is none that we can use."""

    executable: Path
    kind: Kind
    found: str
    reason: str
    remedy: str


def find_blender(wanted: str | None = None, *, timeout_s: float = PROBE_S) -> Blender:
    """The Blender to use, with pyzmq and msgpack ready for it. Raises SetupFailed where there is none.

    `wanted` is a path, a name on PATH, a version ("4.5") or "wheel"; it wins over the environment's BLENDER.
    """
    wanted = wanted or wanted_blender()
    problems = []
    for candidate in _once(named(wanted) if wanted and not is_version(wanted) else _anywhere()):
        found = _examine(candidate, timeout_s=timeout_s, ask_again=bool(wanted))
        if isinstance(found, Problem):
            problems.append(found)
        elif answers_to(found, wanted):
            vendor = provide(found.python, found.facts.platform, found.facts.libraries)
            return found.model_copy(update={"vendor": vendor})
    raise _nothing_usable(problems, wanted)


def find_blenders(*, timeout_s: float = PROBE_S) -> list[Blender | Problem]:
    """Every Blender there is, and what looks like one but cannot be used, in the order in which they would be used."""
    wanted = wanted_blender()
    first = named(wanted) if wanted and not is_version(wanted) else ()
    candidates = list(_once((*first, *_anywhere())))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as asking:
        found = list(asking.map(lambda one: _examine(one, timeout_s=timeout_s, ask_again=True), candidates))
    return sorted(found, key=lambda one: is_version(wanted) and not answers_to(one, wanted))


def wanted_blender() -> str:
    """What the environment's BLENDER asks for; empty where it does not."""
    return os.environ.get("BLENDER") or ""


def is_version(wanted: str) -> bool:
    return bool(_VERSION.fullmatch(wanted))


def answers_to(found: Blender | Problem, wanted: str) -> bool:
    """Whether a run that wants this may use it."""
    if isinstance(found, Problem):
        return False
    if is_version(wanted):
        return f"{found.version}.".startswith(f"{wanted}.")
    return not wanted or found.found == "BLENDER" or (wanted == "wheel" and found.kind == "wheel")


def used_by_a_run(found: Iterable[Blender | Problem]) -> Blender | None:
    """Of `find_blenders`, the one that `find_blender` would give."""
    wanted = wanted_blender()
    return next((one for one in found if isinstance(one, Blender) and answers_to(one, wanted)), None)


def _anywhere() -> Iterator[Candidate]:
    yield from on_path()
    yield from in_usual_places()
    yield from wheels()


def _once(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Each file once. Environments share a Python, so there the link to it counts."""
    seen: set[str] = set()
    for candidate in candidates:
        real = str(candidate.path) if candidate.kind == "wheel" else os.path.realpath(candidate.path)
        if real not in seen:
            seen.add(real)
            yield candidate


def _examine(candidate: Candidate, *, timeout_s: float, ask_again: bool) -> Blender | Problem:
    path, kind, found = candidate
    try:
        facts = probe(path, wheel=kind == "wheel", timeout_s=timeout_s, ask_again=ask_again)
    except ProbeFailed as failure:
        return Problem(executable=path, kind=kind, found=found, reason=failure.reason, remedy=failure.remedy)
    return Blender(
        executable=path,
        kind=kind,
        version=facts.version,
        python=facts.python,
        vendor=vendor_folder(facts.python, facts.platform, facts.libraries),
        found=found,
        facts=facts,
    )


def _nothing_usable(problems: list[Problem], wanted: str) -> SetupFailed:
    if is_version(wanted):
        fetch = f"Fetch it as a Python wheel: `{how_to_fetch(wanted)}`. " if how_to_fetch(wanted) else ""
        there = f"What there is: {command('blenders')}"
        return SetupFailed(f"There is no usable Blender {wanted} on this machine.", fetch + there)
    if not problems:
        return SetupFailed("There is no Blender on this machine.", INSTALL_ONE)
    tried = "; ".join(f"{problem.executable}: {problem.reason}" for problem in problems)
    remedies = list(dict.fromkeys(problem.remedy for problem in problems))
    return SetupFailed(f"No usable Blender: {tried}.", " ".join(remedies))


def main() -> int:
    """Says which Blender would be used; exit code 69 where there is none. Nothing is fetched."""
    for candidate in _once(_anywhere()):
        if isinstance(found := _examine(candidate, timeout_s=PROBE_S, ask_again=False), Blender):
            print(f"{found.executable} ({found.version})")
            return 0
    return 69


if __name__ == "__main__":
    sys.exit(main())
