"""Owns asking a stage's verifier about the cases, as a run's first round would, and what came of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from agent.calibration.scenes import Case, Scene
from agent.evaluation.comparison import comparison_png
from agent.runs.budget import BudgetReached
from agent.runs.journal import write_atomically
from agent.runs.run import Run
from agent.stages.checklist import Checklist
from agent.stages.initialisation import gate
from agent.stages.rounds import ask_verdict, attempt
from agent.stages.table import INITIALISATION, REFINING
from agent.tools.ending import VerdictInput, VerdictItem
from agent.tools.workbench import Workbench
from protocol.models import Value
from sandbox.snapshots import Snapshot

STAGES = {stage.name: stage for stage in (INITIALISATION, *REFINING)}

Decision = Literal["approve", "revise", "none"]
"""none: the verifier came to no verdict within its calls."""


class Judgement(Value):
    """What a verifier said of one case."""

    id: str
    scene: str
    stage: str
    fault: str
    expected: Literal["approve", "revise"]
    decision: Decision
    names_fault: bool | None
    """Whether an open item or the critique names what is wrong; None where nothing is, or it was not found."""
    items: tuple[VerdictItem, ...]
    critique: str
    found_by_machine: tuple[str, ...]
    """At initialisation: what a run's own checks find, which hold a scaffold back whatever the verifier says."""
    number: int
    """The case's, under which the ledger holds its calls."""


def judge(run: Run, scene: Scene, stage: str, cases: Sequence[tuple[Case, Snapshot]]) -> list[Judgement]:
    """One stage's cases of one scene, in order; fewer than asked when a budget ends it."""
    judgements: list[Judgement] = []
    with Workbench(run, scene.graph, cases[0][1]) as bench:
        bench.begin(STAGES[stage])
        for case, snapshot in cases:
            bench.move_to(snapshot.id)
            try:
                judgements.append(_judged(bench, case))
            except BudgetReached:
                break
    return judgements


def _judged(bench: Workbench, case: Case) -> Judgement:
    run = bench.run
    _show(bench, case)
    verdict = ask_verdict(bench, 1, getattr(run.config.rounds, case.stage), Checklist(), case.number)
    problems = gate(bench) if case.stage == INITIALISATION.name else []
    judgement = Judgement(
        id=case.id,
        scene=case.scene,
        stage=case.stage,
        fault=case.fault,
        expected=case.expected,
        decision=verdict.decision if verdict else "none",
        names_fault=_names(verdict, case.named_by) if verdict and verdict.decision == case.expected else None,
        items=verdict.items if verdict else (),
        critique=verdict.critique if verdict else "",
        found_by_machine=tuple(problems),
        number=case.number,
    )
    run.console.say(f"{case.id}: {said(judgement)}")
    return judgement


def _show(bench: Workbench, case: Case) -> None:
    """The picture that the verifier is shown, for people to look at."""
    seen = attempt(bench, 0, case.number)
    if seen.png:
        path = bench.run.folder.path / "cases" / f"{case.id}.png"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, comparison_png(bench.run.reference, seen.png))


def said(judgement: Judgement) -> str:
    """The decision, and whether it is right."""
    words = {"approve": "approved", "revise": "to be revised", "none": "no verdict"}
    right = judgement.decision == judgement.expected
    error = "false approval" if judgement.decision == "approve" else "false rejection"
    return words[judgement.decision] + ("" if right or judgement.decision == "none" else f": {error}")


def _names(verdict: VerdictInput, words: Iterable[str]) -> bool | None:
    if not words:
        return None
    still_open = [item.text for item in verdict.items if not item.satisfied and not item.withdrawn]
    text = _plain(" ".join([*still_open, verdict.critique]))
    return any(_plain(word) in text for word in words)


def _plain(text: str) -> str:
    return text.casefold().replace("_", " ")
