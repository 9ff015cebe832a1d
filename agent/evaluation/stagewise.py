"""Owns what each stage of a run adds, and at what cost: from the stages' own renders and the ledger.

What comes before the first render (decomposition, selection among rollouts) is counted with its stage; calls of any
other stage that has no render of its own with the one before them in time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from agent.calibration.rates import Rates as StageRates
from agent.errors import InputUnreadable
from agent.evaluation.report import Gain, Mean, Rates, StageRow
from agent.evaluation.score import MetricFacts, Score
from agent.evaluation.statistics import Groups, mean_of
from agent.models.base import Place
from protocol.models import Value

ORDER = (
    "decomposition", "initialisation", "selection", "alignment", "geometry", "material", "composition", "lighting",
    "monolithic", "geometry_again", "material_again", "composition_again", "lighting_again", "camera",
)  # fmt: skip


class Cost(Value):
    calls: int = 0
    minutes: float = 0.0
    """From the first call to the end of the last."""
    usd: float | None = 0.0
    """None where a call's price is not known."""


class StageRun(Value):
    """One run after one stage."""

    method: str
    run: str
    picture: str
    stage: str
    scores: tuple[Score, ...]
    cost: Cost


class Calibration(BaseModel):
    """What is read of calibration.json."""

    model: str
    rates: tuple[StageRates, ...]


def read_calibration(folder: Path) -> Calibration:
    """Raises InputUnreadable."""
    path = folder / "calibration.json"
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no calibration's result"
        again = "Name the folder of a finished calibration."
        raise InputUnreadable(f"{path} cannot be read: {str(reason).lower()}.", again) from None


def stage_renders(folder: Path) -> list[tuple[str, Path]]:
    """(stage, its render), in the order of the method; of a run that is not finished, those that there are."""
    found = [(one.parent.name.partition("_")[2], one) for one in folder.glob("stages/*_*/render.png")]
    return sorted(((stage, path) for stage, path in found if stage in ORDER), key=lambda one: ORDER.index(one[0]))


# ── costs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class Call(BaseModel):
    """What costs need of a ledger's line."""

    place: Place
    at: float
    seconds: float
    usd: float | None


def costs_of(ledger: Path, stages: Sequence[str]) -> dict[str, Cost]:
    """Stage → what its calls came to, and those after them of stages without a render of their own. `stages`: those
    with one, in order; the first has what comes before it too."""
    by_stage: dict[str, list[Call]] = {}
    stage = stages[0]
    for call in sorted(_calls(ledger), key=lambda call: call.at):
        stage = call.place.stage if call.place.stage in stages else stage
        by_stage.setdefault(stage, []).append(call)
    return {stage: _cost(calls) for stage, calls in by_stage.items()}


def minutes_of(calls: Iterable[Call]) -> float:
    """From the first call's beginning to the last one's end."""
    spans = [(call.at - call.seconds, call.at) for call in calls]
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / 60 if spans else 0.0


def _cost(calls: Sequence[Call]) -> Cost:
    prices = [call.usd for call in calls]
    usd = None if None in prices else sum(price or 0.0 for price in prices)
    return Cost(calls=len(calls), minutes=minutes_of(calls), usd=usd)


def _calls(ledger: Path) -> list[Call]:
    try:
        lines = ledger.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Call.model_validate(json.loads(line)))
        except (ValueError, ValidationError):  # torn, or changed from outside
            continue
    return found


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def stage_rows(
    runs: Sequence[StageRun], metrics: Sequence[MetricFacts], groups: Groups, calibration: Calibration | None
) -> tuple[StageRow, ...]:
    """By method, then by stage; a render that could not be measured is in no mean."""
    rates = {one.stage: one for one in calibration.rates} if calibration else {}
    rows = []
    for method in dict.fromkeys(one.method for one in runs):
        own = [one for one in runs if one.method == method]
        stages = sorted({one.stage for one in own}, key=ORDER.index)
        before: dict[tuple[str, str], StageRun] = {}
        for stage in stages:
            after = {(one.run, one.picture): one for one in own if one.stage == stage}
            rows.append(_row(method, stage, after, before, metrics, groups, rates.get(stage)))
            before |= after  # a stage that a run left out changed nothing in it
    return tuple(rows)


def unmeasured(runs: Sequence[StageRun]) -> tuple[str, ...]:
    """What is said of the renders that could not be measured."""
    broken = (one for one in runs if all(score.value is None for score in one.scores))
    return tuple(f"{one.run}: its render of {one.stage} could not be measured and is in no mean." for one in broken)


Runs = Mapping[tuple[str, str], StageRun]


def _row(
    method: str, stage: str, after: Runs, before: Runs, metrics: Sequence[MetricFacts], groups: Groups,
    rates: StageRates | None,
) -> StageRow:  # fmt: skip
    costs = [one.cost for one in after.values()]
    prices = [cost.usd for cost in costs]
    calls, minutes = (float(np.mean([getattr(cost, name) for cost in costs])) for name in ("calls", "minutes"))
    usd = None if None in prices else float(np.mean([price or 0.0 for price in prices]))
    row = StageRow(
        method=method,
        stage=stage,
        runs=len(after),
        means=tuple(_mean(one, after, groups) for one in metrics),
        gains=tuple(_gain(one, after, before, groups, (calls, minutes, usd)) for one in metrics) if before else (),
        calls=round(calls, 3),
        minutes=round(minutes, 4),
        usd=None if usd is None else round(usd, 6),
        verifier=_rates(rates),
    )
    return row


def _mean(facts: MetricFacts, runs: Runs, groups: Groups) -> Mean:
    return mean_of(facts.name, _by_picture({key: _value(one, facts.name) for key, one in runs.items()}), groups)


def _gain(
    facts: MetricFacts, after: Runs, before: Runs, groups: Groups, cost: tuple[float, float, float | None]
) -> Gain:
    sign, gains = (1.0 if facts.better == "higher" else -1.0), dict[tuple[str, str], float | None]()
    for key, one in after.items():
        was, now = _value(before[key], facts.name) if key in before else None, _value(one, facts.name)
        gains[key] = None if was is None or now is None else sign * (now - was)
    mean = mean_of(facts.name, _by_picture(gains), groups)
    calls, minutes, usd = cost
    return Gain(
        metric=facts.name,
        runs=sum(gain is not None for gain in gains.values()),
        value=mean.value,
        low=mean.low,
        high=mean.high,
        per_call=_per(mean.value, calls),
        per_minute=_per(mean.value, minutes),
        per_usd=_per(mean.value, usd),
    )


def _by_picture(values: Mapping[tuple[str, str], float | None]) -> dict[str, float]:
    """Picture → mean over its runs."""
    found: dict[str, list[float]] = {}
    for (_, picture), value in values.items():
        if value is not None:
            found.setdefault(picture, []).append(value)
    return {picture: float(np.mean(some)) for picture, some in found.items()}


def _value(run: StageRun, metric: str) -> float | None:
    return next((score.value for score in run.scores if score.metric == metric), None)


def _per(gain: float | None, spent: float | None) -> float | None:
    return None if gain is None or not spent else round(gain / spent, 6)


def _rates(rates: StageRates | None) -> Rates | None:
    if rates is None:
        return None
    approved, rejected = rates.false_approval, rates.false_rejection
    return Rates(false_approval=(approved.wrong, approved.judged), false_rejection=(rejected.wrong, rejected.judged))
