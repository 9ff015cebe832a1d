"""Owns the table of Blenders and what each came to: read from pytest's reports, written as Markdown."""

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass

CAPABILITIES = ("boots", "handlers", "fingerprint", "transactions", "offline run", "rebuild")
"""What the mark `matrix` may name, in the table's order."""


@dataclass(frozen=True)
class Case:
    """One test, and what it noted about itself."""

    name: str
    passed: bool
    skipped: bool
    notes: dict


@dataclass(frozen=True)
class Row:
    """One Blender."""

    blender: object
    outcomes: dict
    """capability → cases."""
    duration_s: float

    @property
    def failed(self):
        missing = [name for name in CAPABILITIES if not any(not case.skipped for case in self.outcomes.get(name, ()))]
        return bool(missing) or not passed(self.outcomes)

    def summary(self):
        cells = [f"{name} {outcome(self.outcomes.get(name, ()))}" for name in CAPABILITIES]
        return f"  {', '.join(cells)} in {self.duration_s:.0f} s"


def passed(outcomes):
    """Whether something was tried, and nothing failed."""
    cases = [case for each in outcomes.values() for case in each]
    return any(not case.skipped for case in cases) and all(case.passed for case in cases)


def read(report):
    """capability → cases, of a report in JUnit's format."""
    found = defaultdict(list)
    for element in ElementTree.parse(report).iter("testcase"):
        notes = {each.get("name"): each.get("value") for each in element.iter("property")}
        passed = element.find("failure") is None and element.find("error") is None
        case = Case(element.get("name"), passed, element.find("skipped") is not None, notes)
        found[notes.get("capability", "others")].append(case)
    return dict(found)


def outcome(cases):
    """ "12 passed", or how many did not; "–" where nothing was tried."""
    tried = [case for case in cases if not case.skipped]
    failed = sum(not case.passed for case in tried)
    if not tried:
        return "–"
    return f"**{failed} of {len(tried)} failed**" if failed else f"{len(tried)} passed"


def written(rows, across):
    """What each Blender is, what it came to, and what became of runs that went from one to another."""
    parts = [_abilities(rows), _outcomes(rows)]
    if across:
        parts.append(_across(across))
    return "\n".join(parts)


def _abilities(rows):
    head = ("Blender", "kind", "Python", "starts in", "a small picture takes", "denoiser", "numpy", "writes")
    return _markdown(head, [_abilities_of(row.blender) for row in rows])


def _abilities_of(blender):
    facts = blender.facts
    pictures = ", ".join(f"{engine} {seconds:.2f} s" for engine, seconds in facts.picture_s.items())
    return (
        blender.version,
        blender.kind,
        facts.python,
        f"{facts.start_s:.2f} s",
        pictures,
        "yes" if facts.denoiser else "no",
        "yes" if facts.numpy else "no",
        ", ".join(facts.exporters) or "none of them",
    )


def _outcomes(rows):
    lines = [
        (row.blender.version, *(outcome(row.outcomes.get(name, ())) for name in CAPABILITIES), *_figures(row))
        for row in rows
    ]
    return _markdown(("Blender", *CAPABILITIES, "PSNR", "rebuilt", "tried in"), lines)


def _figures(row):
    cases = [case for name in ("offline run", "rebuild") for case in row.outcomes.get(name, ())]
    notes = {name: value for case in cases for name, value in case.notes.items()}
    psnr = f"{float(notes['psnr_db']):.1f} dB" if "psnr_db" in notes else "–"
    return psnr, notes.get("proof", "–"), f"{row.duration_s:.0f} s"


def _across(across):
    cases = [case for cases in across.values() for case in cases]
    names = [(case.name.removeprefix("test_").replace("_", " "), outcome([case])) for case in cases]
    return _markdown(("from one Blender to another", "outcome"), names)


def _markdown(head, lines):
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
