"""Owns what a figure of an evaluation is: which metric, its value, or why there is none.

A metric that cannot be computed is *unavailable*, with the reason: never 0, never another metric's number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.evaluation.alignment import Side
from protocol.models import Value


class Unavailable(Exception):
    """Why a metric has no value: for any pair (weights that are not there), or for this one (no silhouette)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MetricFacts(Value):
    """What has to be said beside a figure so that it can be compared with another one."""

    name: str
    """As tables and files spell it: "psnr_db", "lpips_alex"."""
    title: str
    """As people say it: "LPIPS (AlexNet)"."""
    better: Literal["higher", "lower"]
    variant: str
    """Which of several definitions, network, window."""
    size: str
    """Resolution it is computed at."""
    background: str
    """What becomes of alpha."""
    base: str = ""
    """Name of the metric that this one is, of another picture than the run's own render."""
    about: str = ""
    """What it is of, where that is not the run's own render: a table of its own."""
    unit: str = ""
    worst: float | None = None
    """What a failed run scores where failures count as the worst value."""


class Score(Value):
    metric: str
    """`MetricFacts.name`."""
    value: float | None
    """Finite; None where there is none."""
    reason: str = ""
    """Why there is none."""
    is_fault: bool = False
    """It is the run's own doing that there is none: where failures count, it counts as the worst value."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference and what was rendered for it: of one size, on white."""

    reference: Side
    render: Side
    has_masks: bool
    """The reference is a cut-out, or comes with a mask: silhouettes mean something."""


@dataclass(frozen=True)
class Weights:
    """Where the trained networks of learned metrics lie."""

    folder: Path | None
    """With a sub-folder for each network; None: where the libraries look by themselves, fetched where they can."""


PairMeasure = Callable[[Pair], float]
"""A metric, ready; raises `Unavailable` for a pair that it says nothing of."""


@dataclass(frozen=True)
class PictureMetric:
    """A metric of two pictures."""

    facts: MetricFacts
    load: Callable[[Weights], PairMeasure]
    """Raises `Unavailable` where it cannot be computed here at all."""
