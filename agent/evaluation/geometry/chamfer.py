"""Owns the distance between two surfaces, from points sampled on each: Chamfer and F-score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from agent.evaluation.geometry.mesh import Points, Surface

SAMPLES = 6000
"""Of each surface, in proportion to area."""
FSCORE_REACH = 0.02
"""As a fraction of the target's diagonal. Two samplings of one surface lie within it; not within 0.01."""


@dataclass(frozen=True)
class Nearness:
    chamfer: float
    """Mean distance to the nearest, there and back, over the diagonal of the target's box. 0 is never reached: two
    samplings of one surface are about 0.013 apart."""
    fscore: float
    """Harmonic mean of the shares of points within `FSCORE_REACH` of the other surface, each way; 0 to 1."""


def nearness(source: Surface, target: Surface, seed: int) -> Nearness:
    """The two are sampled with different seeds, so that a surface is not compared with its very points."""
    return nearness_of_points(source.sample(SAMPLES, seed), target.sample(SAMPLES, seed + 1), target.diagonal_m)


def nearness_of_points(source: Points, target: Points, diagonal_m: float) -> Nearness:
    there = cKDTree(target).query(source)[0] / diagonal_m
    back = cKDTree(source).query(target)[0] / diagonal_m
    precision, recall = float(np.mean(there <= FSCORE_REACH)), float(np.mean(back <= FSCORE_REACH))
    both = precision + recall
    return Nearness(
        chamfer=float(there.mean() + back.mean()),
        fscore=2.0 * precision * recall / both if both else 0.0,
    )
