"""Owns which colours a light may be given: those of real light, from candles to a blue sky.

Along the colours of glowing bodies and of daylight green lies between red and blue. In channels of linear light these
colours are two cones, one warm and one cool, so that what may be given is the sum of a few rays without negative parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_GREEN, MOST_GREEN = 0.85, 1.1
"""Of the smaller, and of the larger, of red and blue."""
LEAST_CHANNEL = 0.25
"""Of the largest."""
SLACK = 1e-3
"""Part of the largest channel: what rounding does to a colour."""

WARM = np.array(
    [
        (1, LEAST_CHANNEL, LEAST_CHANNEL),
        (1, LEAST_CHANNEL, LEAST_CHANNEL / LEAST_GREEN),
        (1, LEAST_GREEN, 1),
        (1, MOST_GREEN, 1),
        (1, MOST_GREEN, LEAST_CHANNEL * MOST_GREEN),
        (1, 1, LEAST_CHANNEL),
    ]
)
"""Corners of the colours whose red is at least their blue."""
COOL = WARM[:, ::-1]


def is_plausible(strengths: Sequence[float]) -> bool:
    """Whether real light has such a colour; so does one that is black, or has no colour."""
    if len(strengths) != 3 or max(strengths) <= 0:
        return True
    red, green, blue = (value / max(strengths) for value in strengths)
    between = LEAST_GREEN * min(red, blue) - SLACK <= green <= MOST_GREEN * max(red, blue) + SLACK
    return between and min(red, green, blue) >= LEAST_CHANNEL - SLACK


def nearest_rays(now: Sequence[float], wanted: Sequence[float]) -> Floats:
    """Columns of which a light's strengths may be sums: the warm or the cool ones, whichever `wanted` is nearer to.

    A light whose colour is beyond them may keep it, and so be as saturated as it is.
    """
    if len(now) != 3:
        return np.eye(len(now))
    side = WARM if wanted[0] >= wanted[2] else COOL
    return side.T if is_plausible(now) else np.column_stack([side.T, np.array(now) / max(now)])
