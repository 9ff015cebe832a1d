"""Owns the evaluation as a whole: runs and references in, a report and small pictures out."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.errors import UsageError
from agent.evaluation.data import Dataset, Item
from agent.evaluation.finding import Run
from agent.evaluation.matching import Matched, Subject, match
from agent.evaluation.report import Outcome, Report, Row
from agent.evaluation.score import MetricFacts, PictureMetric, Score, Weights
from agent.evaluation.scoring import ONE_THREAD, Measured, Meter, Scored, ToMeasure, measure_prepared, merged, prepare
from agent.evaluation.stagewise import Calibration, Cost, StageRun, costs_of, stage_renders, stage_rows, unmeasured
from agent.evaluation.statistics import RESAMPLES, SEED, comparisons_of, summaries_of
from agent.evaluation.weight_free import weight_free

FEW = 4
"""So few pictures are measured here: processes take a second or two to begin."""
UNSCORED = "its reference is missing: no run has kept it"

Picture = tuple[str, str]
"""Caption, and a small JPEG in base64."""


Measure = Callable[[ToMeasure], Measured]
"""By every metric that there is."""


@dataclass(frozen=True)
class AddedToRun:
    """What is known of a run beyond its render."""

    scores: tuple[Score, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AddedScores:
    """Of one picture."""

    runs: Mapping[Path, AddedToRun] = field(default_factory=dict)
    """By the run's folder."""
    trivial: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    """Of the trivial answers, by name."""


class Addition(Protocol):
    """Scores and pictures of runs that come of more than their renders: of their scenes, of other views."""

    @property
    def facts(self) -> tuple[MetricFacts, ...]: ...

    def of(self, subject: Subject, seen: frozenset[Path], another: Item | None, measure: Measure) -> AddedScores:
        """Of a picture, its runs that are finished and have a render, and what is known of another scene."""
        ...


@dataclass(frozen=True)
class Question:
    """What is to be evaluated, and how."""

    methods: Mapping[str, Sequence[Run]]
    data: Dataset | None = None
    size_px: int = 512
    learned: tuple[PictureMetric, ...] = ()
    """Measured in this process, with one copy of their networks."""
    weights: Weights = field(default_factory=lambda: Weights(None))
    additions: tuple[Addition, ...] = ()
    by_stage: bool = False
    calibration: Calibration | None = None
    tell: Callable[[str], None] = lambda _: None
    """Of progress, in words."""


@dataclass(frozen=True)
class Evaluation:
    report: Report
    pictures: tuple[tuple[Picture, ...], ...]
    """Of each row of the report."""


@dataclass(frozen=True)
class _Plan:
    """What is to be measured of one subject, as its folders were when it was begun."""

    subject: Subject
    finished: tuple[Run, ...]
    stages: tuple[tuple[str, Run, str], ...]
    """Method, run, stage."""
    another: Item | None
    """What is known of another scene."""
    to_measure: ToMeasure | None
    """None where there is no reference."""


def evaluate(question: Question) -> Evaluation:
    matched = match(question.methods, question.data)
    if not matched.subjects:
        name = question.data.name if question.data else ""
        raise UsageError(f"none of the runs is of a picture of {name}.", "Name the data set that they were made from.")
    learned = Meter(question.learned, question.weights, question.size_px)
    light = Meter(weight_free(question.size_px), Weights(None), question.size_px)

    def measure(asked: ToMeasure) -> Measured:
        return _with_learned(light.measure(asked), asked, learned)

    plans = [_plan(matched.subjects, number, question.by_stage) for number in range(len(matched.subjects))]
    answers = _measured([plan.to_measure for plan in plans if plan.to_measure is not None], learned, question.size_px)
    rows: list[tuple[Row, tuple[Picture, ...]]] = []
    stages: list[StageRun] = []
    for number, plan in enumerate(plans, 1):
        measured = next(answers) if plan.to_measure is not None else Measured(reason=UNSCORED)
        seen = _seen(plan, measured)
        added = [one.of(plan.subject, seen, plan.another, measure) for one in question.additions if not measured.reason]
        rows += _rows(plan, measured, added)
        stages += _stages(plan, measured)
        question.tell(f"{number} of {len(plans)} pictures measured: {plan.subject.id}")
    metrics = (*weight_free(question.size_px), *question.learned)
    facts = (*(one.facts for one in metrics), *(facts for one in question.additions for facts in one.facts))
    unavailable = (*light.unavailable, *learned.unavailable)
    report = _report(question, matched, facts, unavailable, [row for row, _ in rows], stages)
    return Evaluation(report=report, pictures=tuple(pictures for _, pictures in rows))


def _report(
    question: Question,
    matched: Matched,
    facts: Sequence[MetricFacts],
    unavailable: tuple[Score, ...],
    rows: Sequence[Row],
    stages: Sequence[StageRun],
) -> Report:
    groups = {row.picture: row.group for row in rows}
    never = frozenset(score.metric for score in unavailable)
    return Report(
        size_px=question.size_px,
        data=question.data.name if question.data else "",
        seed=SEED,
        resamples=RESAMPLES,
        metrics=tuple(facts),
        unavailable=unavailable,
        summaries=summaries_of(rows, facts, never),
        comparisons=comparisons_of(rows, facts, never),
        stages=stage_rows(stages, [one for one in facts if not one.about], groups, question.calibration),
        calibration=question.calibration.model if question.calibration else "",
        rows=tuple(rows),
        unmatched=matched.unmatched,
        without_run=matched.without_run,
        notes=(*(question.data.notes if question.data else ()), *matched.notes, *unmeasured(stages)),
    )


# ── what is measured, and where ───────────────────────────────────────────────────────────────────────────────────────
def _plan(subjects: Sequence[Subject], number: int, by_stage: bool) -> _Plan:
    subject = subjects[number]
    finished = [(method, run) for method, run in subject.runs if run.state == "finished"]
    runs = tuple(run for _, run in finished)
    if subject.view is None:
        return _Plan(subject=subject, finished=runs, stages=(), another=None, to_measure=None)
    laid = [(method, run, *one) for method, run in finished for one in stage_renders(run.folder)] if by_stage else []
    others = (one for one in (*subjects[number + 1 :], *subjects[:number]) if _is_another_scene(one, subject))
    other = next(others, None)
    to_measure = ToMeasure(
        view=subject.view,
        another=other.view if other else None,
        renders=(*(run.render for run in runs), *(path for *_, path in laid)),
        shown=len(runs),
    )
    stages = tuple((method, run, stage) for method, run, stage, _ in laid)
    return _Plan(
        subject=subject, finished=runs, stages=stages, another=other.item if other else None, to_measure=to_measure
    )


def _is_another_scene(one: Subject, subject: Subject) -> bool:
    """As far as is known: of another group; where there are none, of another file."""
    if one.view is None or subject.view is None:
        return False
    return one.group != subject.group if one.group or subject.group else one.digest != subject.digest


def _measured(every: Sequence[ToMeasure], learned: Meter, size_px: int) -> Iterator[Measured]:
    for asked, measured in zip(every, _measured_light(every, size_px), strict=True):
        yield _with_learned(measured, asked, learned)


def _with_learned(measured: Measured, asked: ToMeasure, learned: Meter) -> Measured:
    if learned.is_empty or measured.reason:
        return measured
    return merged(measured, learned.measure(asked, with_pictures=False))


def _measured_light(every: Sequence[ToMeasure], size_px: int) -> Iterator[Measured]:
    """In as many processes as there are cores; what is measured lies in files, so little goes to and fro."""
    if len(every) < FEW:
        meter = Meter(weight_free(size_px), Weights(None), size_px)
        yield from map(meter.measure, every)
        return
    workers = min(len(every), len(os.sched_getaffinity(0)))
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=fresh, initializer=prepare, initargs=(size_px,))
    before = dict(os.environ)
    os.environ.update(ONE_THREAD)  # inherited by the processes, which begin with the first work
    try:
        came = pool.map(measure_prepared, every)
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        yield from came
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _seen(plan: _Plan, measured: Measured) -> frozenset[Path]:
    """The finished runs whose render could be measured."""
    return frozenset(run.folder for run, one in zip(plan.finished, measured.renders, strict=False) if not one.reason)


def _rows(plan: _Plan, measured: Measured, added: Sequence[AddedScores]) -> Iterator[tuple[Row, tuple[Picture, ...]]]:
    """Of a subject's runs, then of the trivial answers to it."""
    subject = plan.subject
    came = {run.folder: one for run, one in zip(plan.finished, measured.renders, strict=False)}
    for method, run in subject.runs:
        more = [one.runs[run.folder] for one in added if run.folder in one.runs]
        yield _row_of(subject, method, run, came.get(run.folder, Scored(reason=measured.reason)), more, measured)
    for name, scored in measured.trivial:
        place = {"id": subject.id, "picture": subject.id, "group": subject.group}
        more_scores = (score for one in added for score in one.trivial.get(name, ()))
        yield Row(method=name, trivial=True, scores=(*scored.scores, *more_scores), **place), ()


def _row_of(
    subject: Subject, method: str, run: Run, came: Scored, more: Sequence[AddedToRun], measured: Measured
) -> tuple[Row, tuple[Picture, ...]]:
    outcome = run.state if run.state != "finished" else _outcome(came, measured)
    row = Row(
        method=method,
        id=run.id,
        picture=subject.id,
        group=subject.group,
        folder=str(run.folder),
        outcome=outcome,
        reason=run.reason or came.reason,
        notes=(*came.notes, *(note for one in more for note in one.notes)),
        scores=(*came.scores, *(score for one in more for score in one.scores)),
        calls=run.calls,
        tokens=run.tokens,
        usd=run.usd,
        minutes=run.minutes,
    )
    return row, (*came.pictures, *(picture for one in more for picture in one.pictures))


def _outcome(came: Scored, measured: Measured) -> Outcome:
    """Of a run that is finished."""
    return "unscored" if measured.reason else "failed" if came.reason else "scored"


def _stages(plan: _Plan, measured: Measured) -> Iterator[StageRun]:
    """What was measured after the renders of the runs."""
    costs: dict[Path, dict[str, Cost]] = {}
    for _, run, _ in plan.stages:
        own = [stage for _, other, stage in plan.stages if other is run]
        costs[run.folder] = costs_of(run.folder / "ledger.jsonl", own)
    for (method, run, stage), came in zip(plan.stages, measured.renders[len(plan.finished) :], strict=False):
        place = {"method": method, "run": str(run.folder), "picture": plan.subject.id, "stage": stage}
        yield StageRun(scores=came.scores, cost=costs[run.folder].get(stage, Cost()), **place)
