"""Owns bringing a pose to the picture: steps of least squares on blurred differences first, then a free search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agent.tools.fitting.poses import Knobs
from agent.tools.fitting.search import PULL, around, descend, search
from agent.tools.fitting.trial import Trial
from agent.tools.objectives import Objective, Pixels, residuals

BLURS = (0.08, 0.03, 0.012)
"""Parts of the long side, from coarse to fine."""
LEAST_PROBE = 0.012
"""Part of the ranges: below it the noise of rendering hides what a move does."""
DESCENT = 0.6
"""Part of the looks that the steps may take; what they leave is the free search's."""
NARROW = 0.12
"""Part of the ranges in which the free search goes on."""
LEAST_OF_SEARCH = 5
"""Looks for each number, below which a free search finds nothing."""
TELLING = 24
"""Looks after which what was gained tells whether more can be."""


def register(
    trial: Trial, knobs: Knobs, objective: Objective, start: Sequence[float], seed: int, reach: float = 1.0,
    promising: float = 0.0,
) -> list[float]:  # fmt: skip
    """The best values within the looks that are left, by the objective; never worse than `start`, nor than the scene.

    `promising`: part of the scene's objective that must be gained within the first `TELLING` looks for it to go on.
    """
    reference, values, seen = trial.bench.run.reference, list(start), list[tuple[float, list[float]]]()
    usual, least = np.array([one.usual for one in knobs.numbers]), LEAST_OF_SEARCH * len(knobs.numbers)

    def judged(png: bytes, at: Sequence[float]) -> float:
        return objective(png) * (1 + PULL / 2 * float(np.sum((np.array(at) / usual) ** 2)))

    def goes_on() -> bool:
        if len(seen) < TELLING:
            return True
        return not promising or min(seen, key=lambda pair: pair[0])[0] < (1 - promising) * seen[0][0]

    if any(start):
        stays = [0.0] * len(start)
        seen.append((judged(trial.look(knobs.source(stays)), stays), stays))
    descending = int(DESCENT * trial.left)
    if trial.left - descending < least:
        descending = trial.left - 1
    for share in BLURS:
        blur_px = share * max(trial.size)

        def differences(at: Sequence[float], blur_px: float = blur_px) -> Pixels:
            png = trial.look(knobs.source(at))
            seen.append((judged(png, at), list(at)))
            return residuals(png, reference, blur_px)

        numbers = [replace(one, start=at) for one, at in zip(knobs.numbers, values, strict=True)]
        values, used = descend(differences, numbers, descending, max(0.4 * share, LEAST_PROBE) / reach, goes_on)
        descending -= used
    if not any(at == list(start) for _, at in seen) and trial.left:
        seen.append((judged(trial.look(knobs.source(start)), start), list(start)))
    best = min(seen, key=lambda pair: pair[0])
    if trial.left >= least and goes_on():
        near = around(knobs.numbers, best[1], NARROW / reach)
        found, loss = search(lambda at: judged(trial.look(knobs.source(at)), at), near, trial.left, seed)
        best = min(best, (loss, found), key=lambda pair: pair[0])
    return best[1]
