"""Owns the searches for numbers: without derivatives, and by steps of least squares. Knows nothing of pictures.

Both are deterministic for a seed and work in coordinates scaled to 0 … 1 between each number's bounds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]

START_WIDTH = 0.08
"""CMA-ES' first step as a part of each range: started wide it does not converge within a few hundred looks."""
DAMPINGS = (1e-3, 1e-1, 3.0)
"""Of a step of least squares, tried in turn until one is a gain."""
PULL = 0.03
"""Part of the squares at the start that a number's usual distance from 0 counts: what they hardly tell is held."""
LEAST_STEP_GAIN = 0.01
"""Part of the squares that a step must take away for another to be tried."""


@dataclass(frozen=True)
class Number:
    """One number that is looked for."""

    name: str
    lower: float
    upper: float
    start: float
    usual: float = np.inf
    """How far from 0 it may be expected: what the picture hardly tells is drawn to there. Infinite: not at all."""


def search(
    loss: Callable[[Sequence[float]], float], numbers: Sequence[Number], looks: int, seed: int
) -> tuple[list[float], float]:
    """The best values found within `looks` evaluations, and their loss.

    One number: Brent's bounded method (scipy). More: CMA-ES (Hansen, pycma).
    """
    lower, width, start = _scales(numbers)
    seen: list[tuple[float, Floats]] = []

    def scaled(point: Floats) -> float:
        result = loss(list(lower + width * np.clip(point, 0, 1)))
        seen.append((result, np.clip(point, 0, 1)))
        return result

    if len(numbers) == 1:
        span = (max(0.0, start[0] - 0.3), min(1.0, start[0] + 0.3))
        minimize_scalar(
            lambda x: scaled(np.array([x])), bounds=span, method="bounded", options={"maxiter": max(1, looks - 1)}
        )
        scaled(start)
    else:
        _cma(scaled, start, looks, seed)
    best_loss, best = min(seen, key=lambda pair: pair[0])
    return list(lower + width * best), best_loss


def descend(
    residuals: Callable[[Sequence[float]], Floats], numbers: Sequence[Number], looks: int, probe: float,
    goes_on: Callable[[], bool] = lambda: True,
) -> tuple[list[float], int]:  # fmt: skip
    """Values of less squared residuals, by damped Gauss–Newton steps (Levenberg, Marquardt); and the looks they took.

    `probe`: part of each range by which a number is moved to see what that does. `goes_on` is asked before each step.
    """
    if looks <= len(numbers) + 1 or not goes_on():
        return [one.start for one in numbers], 0
    lower, width, point = _scales(numbers)
    left, stiffness = looks, np.zeros(len(numbers))

    def at(where: Floats) -> Floats:
        nonlocal left
        left -= 1
        values = lower + width * where
        return np.concatenate([residuals(list(values)), stiffness * values])

    here = at(point)
    stiffness = np.sqrt(PULL * (here @ here)) / np.array([one.usual for one in numbers])
    here[-len(numbers) :] = stiffness * (lower + width * point)
    while left > len(numbers) and goes_on():
        probes = np.where(point + probe <= 1, probe, -probe)
        moves = zip(probes.tolist(), np.eye(len(numbers)), strict=True)
        slopes = np.stack([(at(point + step * axis) - here) / step for step, axis in moves], axis=1)
        squares, before = slopes.T @ slopes, float(here @ here)
        for damping in DAMPINGS[: max(0, left)]:
            damped = squares + damping * np.diag(np.diag(squares) + 1e-12)
            there = np.clip(point - np.linalg.solve(damped, slopes.T @ here), 0, 1)
            found = at(there)
            if float(found @ found) < before:
                point, here = there, found
                break
        if float(here @ here) > (1 - LEAST_STEP_GAIN) * before:
            break
    return list(lower + width * point), looks - left


def around(numbers: Sequence[Number], values: Sequence[float], share: float = 1.0) -> tuple[Number, ...]:
    """The same numbers, started from other values, in ranges that are `share` as wide about them."""
    return tuple(
        replace(one, lower=at - share * (one.upper - one.lower) / 2, upper=at + share * (one.upper - one.lower) / 2,
                start=at)
        for one, at in zip(numbers, values, strict=True)
    )  # fmt: skip


def _scales(numbers: Sequence[Number]) -> tuple[Floats, Floats, Floats]:
    """Lower bounds, widths, and starts as parts of the widths."""
    lower = np.array([one.lower for one in numbers])
    width = np.array([one.upper for one in numbers]) - lower
    return lower, width, (np.array([one.start for one in numbers]) - lower) / width


def _cma(loss: Callable[[Floats], float], start: Floats, looks: int, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses matplotlib, for plots that nobody asks for
        import cma
    loss(start)
    options = {"bounds": [0, 1], "seed": seed + 1, "verbose": -9, "maxfevals": looks - 1, "verb_log": 0}
    strategy = cma.CMAEvolutionStrategy(np.clip(start, 1e-6, 1 - 1e-6), START_WIDTH, options)
    left = looks - 1
    while left > 0 and not strategy.stop():
        points = strategy.ask()[:left]
        losses = [loss(np.asarray(point)) for point in points]
        left -= len(points)
        if len(points) < strategy.popsize:
            return
        strategy.tell(points, losses)
