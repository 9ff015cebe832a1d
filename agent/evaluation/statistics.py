"""Owns what rows say together: means with intervals, failures counted both ways, and differences of two methods.

Intervals are 95 % percentile intervals of the bootstrap: groups of pictures (each picture alone, where the data set
names no groups) are drawn with replacement, from a stated seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.evaluation.report import Comparison, Difference, Mean, Row, Summary
from agent.evaluation.score import MetricFacts

RESAMPLES = 2000
SEED = 0
INTERVAL_PERCENT = (2.5, 97.5)
TIE = 1e-9

ByPicture = Mapping[str, float]
Groups = Mapping[str, str]
"""Picture → group."""


def mean_of(metric: str, values: ByPicture, groups: Groups) -> Mean:
    if not values:
        return Mean(metric=metric, pictures=0, value=None)
    mean = float(np.mean(list(values.values())))
    low, high = _interval(values, groups)
    return Mean(metric=metric, pictures=len(values), value=_short(mean), low=low, high=high)


def difference_of(facts: MetricFacts, first: ByPicture, second: ByPicture, groups: Groups) -> Difference:
    """On the pictures that both have."""
    both = {picture: first[picture] - second[picture] for picture in first if picture in second}
    mean = mean_of(facts.name, both, groups)
    sign = 1.0 if facts.better == "higher" else -1.0
    wins = sum(sign * one > TIE for one in both.values())
    losses = sum(sign * one < -TIE for one in both.values())
    ties = len(both) - wins - losses
    return Difference(**mean.model_dump(), wins=wins, losses=losses, ties=ties)


def _interval(values: ByPicture, groups: Groups) -> tuple[float | None, float | None]:
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for picture, value in values.items():
        group = groups.get(picture) or picture
        sums[group] = sums.get(group, 0.0) + value
        counts[group] = counts.get(group, 0) + 1
    if len(sums) < 2:
        return None, None
    means = _resampled(np.array(list(sums.values())), np.array(list(counts.values())))
    low, high = np.percentile(means, INTERVAL_PERCENT)
    return _short(low), _short(high)


def _resampled(sums: NDArray[np.float64], counts: NDArray[np.int_]) -> NDArray[np.float64]:
    """A mean for each draw of as many groups as there are."""
    draws = np.random.default_rng(SEED).integers(0, len(sums), (RESAMPLES, len(sums)))
    means: NDArray[np.float64] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    return means


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def summaries_of(
    rows: Sequence[Row], metrics: Sequence[MetricFacts], unavailable: Collection[str] = ()
) -> tuple[Summary, ...]:
    """Of each method in the order of the rows, trivial answers last. `unavailable`: metrics of a picture that cannot be
    had here at all."""
    groups = {row.picture: row.group for row in rows}
    worst = _Worst(rows, unavailable)
    return tuple(
        Summary(
            method=method,
            trivial=own[0].trivial,
            runs=len(own),
            scored=sum(row.outcome == "scored" for row in own),
            failed=sum(row.outcome == "failed" for row in own),
            unfinished=sum(row.outcome == "unfinished" for row in own),
            unscored=sum(row.outcome == "unscored" for row in own),
            left_out=tuple(mean_of(one.name, by_picture(own, one.name), groups) for one in metrics),
            as_worst=tuple(mean_of(one.name, by_picture(own, one.name, worst.of(one)), groups) for one in metrics),
        )
        for method, own in _methods(rows)
    )


def comparisons_of(
    rows: Sequence[Row], metrics: Sequence[MetricFacts], unavailable: Collection[str] = ()
) -> tuple[Comparison, ...]:
    """Of each two methods, and of each method with each trivial answer."""
    groups = {row.picture: row.group for row in rows}
    failing, methods = _Worst(rows, unavailable), _methods(rows)
    found = []
    for (first, own), (second, other) in itertools.combinations(methods, 2):
        if own[0].trivial:
            continue

        def differences(worst: bool, own: Sequence[Row] = own, other: Sequence[Row] = other) -> tuple[Difference, ...]:
            return tuple(
                difference_of(
                    one,
                    by_picture(own, one.name, failing.of(one) if worst else None),
                    by_picture(other, one.name, failing.of(one) if worst else None),
                    groups,
                )
                for one in metrics
            )

        comparison = Comparison(
            first=first,
            second=second,
            trivial=other[0].trivial,
            left_out=differences(worst=False),
            as_worst=differences(worst=True),
        )
        found.append(comparison)
    return tuple(found)


def by_picture(rows: Iterable[Row], metric: str, worst: Callable[[Row], float | None] | None = None) -> ByPicture:
    """Picture → mean of a method's values on it; with `worst`, of what failed too, and nothing is worse than that."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = row.value(metric) if worst is None else worst(row)
        if value is not None:
            values.setdefault(row.picture, []).append(value)
    return {picture: float(np.mean(some)) for picture, some in values.items()}


def _methods(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    found: dict[tuple[bool, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.trivial, row.method), []).append(row)
    return [(method, own) for (_, method), own in sorted(found.items(), key=lambda one: one[0][0])]


class _Worst:
    """A row's value where failures count as the worst one, and nothing is worse than that."""

    def __init__(self, rows: Sequence[Row], unavailable: Collection[str]) -> None:
        self._unavailable = unavailable
        found: dict[str, set[str]] = {}
        for row in rows:
            for score in row.scores:
                if score.value is not None:
                    found.setdefault(score.metric, set()).add(row.picture)
        unknown = {row.picture for row in rows} - set().union(*found.values())
        self._measurable = {metric: pictures | unknown for metric, pictures in found.items()}
        """Metric → pictures that it says something of (nothing of silhouettes where there are none), or that have no
        score at all, so that nobody knows."""

    def of(self, facts: MetricFacts) -> Callable[[Row], float | None]:
        cannot_be_had = (facts.base or facts.name) in self._unavailable
        pictures = self._measurable.get(facts.name, set())

        def value_of(row: Row) -> float | None:
            value = row.value(facts.name)
            if value is None:
                is_failure = (row.is_failure and row.picture in pictures) or row.is_to_blame(facts.name)
                return facts.worst if is_failure and not cannot_be_had else None
            if facts.worst is None:
                return value
            return max(value, facts.worst) if facts.better == "higher" else min(value, facts.worst)

        return value_of


def _short(number: float) -> float:
    return round(float(number), 6)
