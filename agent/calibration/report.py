"""Owns what a calibration hands over: calibration.json for programs, calibration.md for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agent import prompting
from agent.calibration.costs import Cost, costs, models
from agent.calibration.judging import Judgement, said
from agent.calibration.rates import Rate, Rates, rates_of
from agent.calibration.scenes import Case
from agent.runs.folder import write_json
from agent.runs.journal import write_atomically
from agent.runs.run import Opened
from agent.tools.base import tell
from protocol.models import Value


class Report(Value):
    """The content of calibration.json."""

    model: str
    """The id that answered."""
    blender: str
    preset: str
    seed: int
    prompts: str
    """Digest of the prompt files."""
    stages: tuple[str, ...]
    asked: int
    """Cases of these stages."""
    unanswered: tuple[str, ...]
    """Cases that a budget left out."""
    rates: tuple[Rates, ...]
    """Of each stage, then of all."""
    cost: Cost
    """Of the cases below."""
    judgements: tuple[Judgement, ...]


def report_of(opened: Opened, cases: Sequence[Case], judgements: Sequence[Judgement]) -> Report:
    stages = tuple(dict.fromkeys(case.stage for case in cases))
    answered, spent = {one.id for one in judgements}, costs(opened.folder.ledger)
    by_stage = [rates_of(stage, [one for one in judgements if one.stage == stage]) for stage in stages]
    return Report(
        model=", ".join(models(opened.folder.ledger)) or opened.model.name,
        blender=opened.blender.version,
        preset=opened.config.preset,
        seed=opened.config.seed,
        prompts=prompting.prompts_digest(),
        stages=stages,
        asked=len(cases),
        unanswered=tuple(case.id for case in cases if case.id not in answered),
        rates=(*by_stage, rates_of("all", judgements)),
        cost=sum((spent.get(one.number, Cost()) for one in judgements), Cost()),
        judgements=tuple(judgements),
    )


def write(opened: Opened, report: Report) -> None:
    spent = costs(opened.folder.ledger)
    facts = tell(report)
    facts["judgements"] = [{**tell(one), "cost": tell(spent.get(one.number, Cost()))} for one in report.judgements]
    write_json(opened.folder.path / "calibration.json", facts)
    write_atomically(opened.folder.path / "calibration.md", markdown(report))


def markdown(report: Report) -> str:
    head = [
        "# How far the verifiers can be trusted",
        "",
        f"Model {report.model}, Blender {report.blender}, preset {report.preset}, seed {report.seed}. "
        f"{len(report.judgements)} of {report.asked} cases judged; {_cost(report.cost)}.",
        "",
        table(report.rates),
        "",
        "False approval: a broken scene approved, of all broken scenes with a verdict. False rejection: a good scene "
        "sent back, of all good ones with a verdict. Not named: a broken scene sent back, without a word of what is "
        "wrong. In brackets the 95 % interval of Wilson.",
        "",
        "## Every case",
        "",
    ]
    return "\n".join([*head, *_case_lines(report), ""])


def summary(report: Report, folder: Path) -> str:
    """What a terminal is told at the end."""
    rows = [line.strip("| ").split(" | ") for line in table(report.rates).splitlines() if "---" not in line]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    model = f"model    {report.model}, {_cost(report.cost)}"
    return "\n".join(["", *lines, "", model, f"report   {folder / 'calibration.md'}"])


def table(rates: Iterable[Rates]) -> str:
    rows = [["stage", "cases", "false approval", "false rejection", "not named", "no verdict"], ["---"] * 6]
    for one in rates:
        figures = map(_rate, (one.false_approval, one.false_rejection, one.unnamed))
        rows.append([one.stage, str(one.cases), *figures, str(one.no_verdict)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rate(rate: Rate) -> str:
    if rate.rate is None:
        return "–"
    return f"{rate.wrong}/{rate.judged} = {100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _cost(cost: Cost) -> str:
    dollars = "price unknown" if cost.usd is None else f"${cost.usd:.2f}"
    return f"{cost.calls} calls, {cost.tokens} tokens, {dollars}"


def _case_lines(report: Report) -> Iterable[str]:
    for one in report.judgements:
        yield f"### {one.id}: {said(one)}"
        yield f"\n![reference, render, difference](cases/{one.id}.png)\n"
        yield f"What is wrong: {one.fault}. Expected: {one.expected}.{_naming(one)}{_machine(one)}\n"
        for item in one.items:
            mark = "x" if item.satisfied or item.withdrawn else " "
            yield f"- [{mark}] {_line(item.text)}"
        yield f"\n> {_line(one.critique) or '(no critique)'}\n"
    if report.unanswered:
        yield f"### Not asked: {', '.join(report.unanswered)}"


def _naming(one: Judgement) -> str:
    return "" if one.names_fault is None else " It is named." if one.names_fault else " It is not named."


def _machine(one: Judgement) -> str:
    found = " ".join(one.found_by_machine)
    return f" A run's own checks find: {found}" if found else ""


def _line(text: Any) -> str:
    """A model's words on one line, so that they cannot take the page's shape for theirs."""
    return " ".join(str(text).split())
