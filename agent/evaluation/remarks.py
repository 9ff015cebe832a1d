"""Owns what a reader of an evaluation's tables has to know besides: why figures are missing, what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.evaluation.report import Report, Row
from agent.evaluation.tables import NONE, columns_of
from agent.evaluation.trivial import ANOTHER


def remarks(report: Report) -> tuple[str, ...]:
    reasons = ((reason.rstrip("."), _columns(names, report)) for reason, names in _reasons(report).items())
    found = [f"{NONE} in {columns}: {reason}." for reason, columns in reasons if columns]
    found += [f"There are no figures of {about}: {reason.rstrip('.')}." for about, reason in _missing(report)]
    if report.rows and not any(row.method == ANOTHER for row in report.rows):
        found.append("There is no second scene, so the trivial answer of another scene is missing.")
    for row in report.rows:
        if row.outcome != "scored":
            found.append(f"{row.method}: {row.id} ({row.picture}) {row.outcome}: {row.reason}")
    found += [f"{text}: {', '.join(runs)}." for text, runs in _by_note(report.rows)]
    found += [f"{one} is of no picture of {report.data} and was left out." for one in report.unmatched]
    if report.without_run:
        found.append(f"No run was made from {', '.join(report.without_run)} of {report.data}.")
    return (*found, *report.notes)


def _reasons(report: Report) -> dict[str, list[str]]:
    """Why there is no value, anywhere or for single pictures → the metrics that it is so with."""
    scores = [*report.unavailable, *(score for row in report.rows for score in row.scores if score.value is None)]
    shown = {one.name for columns in columns_of(report) for one in columns.metrics}
    never = {one.metric for one in report.unavailable}
    found: dict[str, list[str]] = {}
    for number, score in enumerate(scores):
        is_told = score.metric in never and number >= len(report.unavailable)
        if score.metric in shown and not is_told:
            names = found.setdefault(score.reason, [])
            names += [] if score.metric in names else [score.metric]
    return found


def _missing(report: Report) -> Iterator[tuple[str, str]]:
    """What there would be a table of, if anything of it had been had, and why not."""
    shown = {columns.about for columns in columns_of(report)}
    about = {one.name: one.about for one in report.metrics}
    told: dict[tuple[str, str], None] = {}
    for row in report.rows:
        for score in row.scores:
            if about[score.metric] not in shown and score.reason:
                told.setdefault((about[score.metric], score.reason))
    yield from told


def _columns(names: Sequence[str], report: Report) -> str:
    """Columns by their names, whole tables by what they are of."""
    left, told = list(names), list[str]()
    for columns in columns_of(report):
        own = [one.name for one in columns.metrics]
        if columns.about and set(own) <= set(left):
            told.append(f"all columns of {columns.about}")
            left = [name for name in left if name not in own]
    word = "column" if len(left) == 1 else "columns"
    return ", ".join([*([f"{word} {', '.join(left)}"] if left else []), *told])


def _by_note(rows: Iterable[Row]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            found.setdefault(note, []).append(f"{row.method}: {row.id}")
    return [(note[0].upper() + note[1:], runs) for note, runs in found.items()]
