"""Owns the line between a wall and the ground before it: most columns of a picture change colour along one line."""

from __future__ import annotations

from itertools import product

import numpy as np

from agent.models.offline.colors import Floats

LEAST_STEP = 7.0
"""Lab distance between two zones for there to be a line between them."""
STRIP = 0.08
"""Of the width: the picture's edges where a line is looked for first."""
REACH = 0.09
"""Of the height: how far from there it may lie."""
COLUMNS, TRIES = 72, 25

Line = tuple[float, float]
"""Rows at the left and right edge of the picture."""


def wall_line(lab: Floats) -> Line | None:
    """The line with the greatest change of colour across it in most columns, near a change at the picture's edge."""
    height = lab.shape[0]
    found = [_refined(lab, start, REACH * height) for start in _starts(lab)]
    best = max(found, default=(0.0, (0.0, 0.0)))
    if best[0] < LEAST_STEP:
        return None
    left, right = _refined(lab, best[1], 0.1 * REACH * height)[1]
    return float(left), float(right)


def _starts(lab: Floats) -> list[Line]:
    strip = max(1, round(STRIP * lab.shape[1]))
    left, right = _step(lab[:, :strip]), _step(lab[:, -strip:])
    starts = [(row, row) for row in (left, right) if row is not None]
    return starts + ([(left, right)] if left is not None and right is not None else [])


def _refined(lab: Floats, start: Line, reach: float) -> tuple[float, Line]:
    """The best line whose ends lie within `reach` rows of the start's, and its change of colour."""
    offsets = np.linspace(-reach, reach, TRIES)
    columns = np.linspace(0, lab.shape[1] - 1, min(COLUMNS, lab.shape[1])).astype(int)
    steps = _changes(lab[:, columns])
    along = (columns + 0.5) / lab.shape[1]
    lines = [(start[0] + a, start[1] + b) for a, b in product(offsets, offsets)]
    return max((_change(steps, along, line), line) for line in lines)


def _changes(lab: Floats) -> Floats:
    """At each row boundary and column: the Lab distance between the means of a few rows above and below."""
    height, few = lab.shape[0], max(2, lab.shape[0] // 60)
    sums = np.concatenate([np.zeros((1, *lab.shape[1:])), np.cumsum(lab, axis=0)])
    rows = np.arange(height + 1)
    above, below = np.maximum(rows - few, 0), np.minimum(rows + few, height)
    upper = (sums[rows] - sums[above]) / np.maximum(rows - above, 1)[:, None, None]
    lower = (sums[below] - sums[rows]) / np.maximum(below - rows, 1)[:, None, None]
    changes = np.linalg.norm(upper - lower, axis=-1)
    changes[[0, -1]] = 0
    return np.asarray(changes)


def _change(steps: Floats, along: Floats, line: Line) -> float:
    rows = np.rint(line[0] + (line[1] - line[0]) * along).astype(int)
    seen = steps[np.clip(rows, 0, len(steps) - 1), np.arange(len(along))]
    return float(np.percentile(seen, 40))


def _step(strip: Floats) -> float | None:
    """The row at which two straight colour ramps explain a strip best; None where one explains it nearly as well."""
    rows = np.median(strip, axis=1)
    height = len(rows)
    margin = max(3, height // 25)
    if height < 4 * margin:
        return None
    one = _ramp_error(rows)
    errors = [_ramp_error(rows[:cut]) + _ramp_error(rows[cut:]) for cut in range(margin, height - margin)]
    cut = int(np.argmin(errors)) + margin
    reach = max(2, height // 40)
    step = np.linalg.norm(rows[max(0, cut - reach) : cut].mean(axis=0) - rows[cut : cut + reach].mean(axis=0))
    return float(cut) if errors[cut - margin] < 0.45 * one and step > LEAST_STEP else None


def _ramp_error(rows: Floats) -> float:
    place = np.linspace(-1, 1, len(rows))
    basis = np.stack([np.ones_like(place), place], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, rows, rcond=None)[0]
    return float(((rows - fitted) ** 2).sum())
