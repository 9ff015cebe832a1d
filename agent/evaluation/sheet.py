"""Owns an evaluation's page: one file that needs nothing beside it, with every run's pictures beside its figures."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

from agent.evaluation.evaluating import Evaluation
from agent.evaluation.remarks import remarks
from agent.evaluation.report import Report, Row
from agent.evaluation.tables import ARROWS, every_picture, figure, main_tables, metrics_table
from agent.evaluation.writers import headline


def page(evaluation: Evaluation) -> str:
    report = evaluation.report
    cards = [
        {"row": row, "figures": _figures(row, report), "pictures": pictures}
        for row, pictures in zip(report.rows, evaluation.pictures, strict=True)
        if not row.trivial
    ]
    tables = (*main_tables(report), *every_picture(report), metrics_table(report))
    text: str = _template().render(
        headline=headline(report), tables=tables, cards=_by_picture(cards), remarks=remarks(report)
    )
    return text


def _figures(row: Row, report: Report) -> dict[str, list[str]]:
    """By what they are of; "" for those of the render."""
    found: dict[str, list[str]] = {}
    for one in report.metrics:
        if (value := row.value(one.name)) is not None:
            text = f"{one.title} {figure(one, value)}{f' {one.unit}' if one.unit else ''} {ARROWS[one.better]}"
            found.setdefault(one.about, []).append(text)
    return found


def _by_picture(cards: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Methods of one picture beside each other."""
    found: dict[str, list[dict[str, Any]]] = {}
    for card in cards:
        found.setdefault(card["row"].picture, []).append(card)
    return found


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(
        resources.files("agent.evaluation").joinpath("sheet.html").read_text(encoding="utf-8")
    )
