"""Owns what an evaluation comes to: the content of evaluation.json, from which all else is written."""

from __future__ import annotations

from typing import Literal

from agent.evaluation.score import MetricFacts, Score
from protocol.models import Value

Outcome = Literal["scored", "failed", "unfinished", "unscored"]
"""unscored: there is nothing to compare its render with."""


class Row(Value):
    """One run, or one trivial answer, beside the reference of its picture."""

    method: str
    trivial: bool = False
    id: str
    """Of the run; of the picture for a trivial answer."""
    picture: str
    group: str
    """Pictures of one group are resampled together: they show the same scene."""
    folder: str = ""
    outcome: Outcome = "scored"
    reason: str = ""
    """Why it has no scores."""
    notes: tuple[str, ...] = ()
    """What is odd about its pictures."""
    scores: tuple[Score, ...] = ()
    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    minutes: float = 0.0

    def value(self, metric: str) -> float | None:
        return next((score.value for score in self.scores if score.metric == metric), None)

    def is_to_blame(self, metric: str) -> bool:
        """It is its own doing that it has no value."""
        return any(score.metric == metric and score.is_fault for score in self.scores)

    @property
    def is_failure(self) -> bool:
        """Where failures count as the worst value, it does."""
        return self.outcome in ("failed", "unfinished")


class Mean(Value):
    """Of one metric over pictures; each counts once, several runs of it are averaged first."""

    metric: str
    pictures: int
    value: float | None
    """None where no picture has one."""
    low: float | None = None
    high: float | None = None
    """None where fewer than two groups have one."""


class Summary(Value):
    method: str
    trivial: bool
    runs: int
    scored: int
    failed: int
    unfinished: int
    unscored: int
    left_out: tuple[Mean, ...]
    """Failures left out."""
    as_worst: tuple[Mean, ...]
    """Failed and unfinished runs counted with each metric's worst value."""


class Difference(Value):
    """Of two methods in one metric, on the pictures that both have a value for: first minus second."""

    metric: str
    pictures: int
    value: float | None
    low: float | None = None
    high: float | None = None
    wins: int = 0
    """Pictures on which the first is better."""
    losses: int = 0
    ties: int = 0


class Comparison(Value):
    first: str
    second: str
    trivial: bool
    """The second is a trivial answer."""
    left_out: tuple[Difference, ...]
    as_worst: tuple[Difference, ...]


class Gain(Value):
    """Of one metric, over the stage before, on the runs that have both; positive is better, whatever the metric."""

    metric: str
    runs: int
    value: float | None
    low: float | None = None
    high: float | None = None
    per_call: float | None = None
    per_minute: float | None = None
    per_usd: float | None = None
    """None where nothing was spent, or not known."""


class Rates(Value):
    """Of a stage's verifier, from a calibration: how many wrong of how many judged, and the rate."""

    false_approval: tuple[int, int]
    false_rejection: tuple[int, int]


class StageRow(Value):
    method: str
    stage: str
    runs: int
    means: tuple[Mean, ...]
    """After it."""
    gains: tuple[Gain, ...]
    """Empty for the first."""
    calls: float
    minutes: float
    """From its first call to the end of its last; a mean, like the others, over the runs."""
    usd: float | None
    verifier: Rates | None = None


class Report(Value):
    """The content of evaluation.json."""

    version: Literal[1] = 1
    size_px: int
    """Longer side of every picture when it is measured."""
    data: str
    """Name of the data set; empty where each run's own picture is the reference."""
    seed: int
    resamples: int
    metrics: tuple[MetricFacts, ...]
    unavailable: tuple[Score, ...]
    """Metrics that could not be computed here at all, and why."""
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    stages: tuple[StageRow, ...]
    calibration: str
    """Which model's verifiers the rates are of; empty without."""
    rows: tuple[Row, ...]
    unmatched: tuple[str, ...]
    """Runs whose picture is none of the data set's."""
    without_run: tuple[str, ...]
    """Pictures of the data set that no run was made from."""
    notes: tuple[str, ...]
