"""Owns moving one surface onto another by a similarity: turn, shift and one scale for all axes.

Iterative closest points finds only the nearest place where the two fit: it is begun from turns all around the up axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agent.evaluation.geometry.chamfer import nearness_of_points
from agent.evaluation.geometry.mesh import Points, Similarity, Surface
from agent.evaluation.geometry.needs import needs
from agent.evaluation.similarity import applied

YAW_STARTS = 8
COARSE_POINTS, FINE_POINTS = 1000, 6000
"""Of the source, for each start and for the best of them."""
FINALISTS = 3
"""What is round but for a little fits at many turns nearly as well."""
TARGET_POINTS_EACH = 5
"""As many of the target for one of the source: the fewer there are, the more the surface seems to shrink."""
COARSE_STEPS, FINE_STEPS = 40, 200


def align(source: Surface, target: Surface, seed: int) -> Similarity:
    """The similarity that brings the source nearest to the target, by Chamfer; never worse than none at all."""
    coarse = _Clouds(source, target, COARSE_POINTS, seed)
    found = sorted((coarse.icp(start, COARSE_STEPS) for start in _starts(source, target)), key=coarse.chamfer)
    fine = _Clouds(source, target, FINE_POINTS, seed)
    refined = [fine.icp(start, FINE_STEPS) for start in found[:FINALISTS]]
    return min((*refined, found[0], np.eye(4)), key=fine.chamfer)


class _Clouds:
    def __init__(self, source: Surface, target: Surface, points: int, seed: int) -> None:
        self._source = source.sample(points, seed + 10)
        self._dense = target.sample(points * TARGET_POINTS_EACH, seed + 11)
        self._diagonal_m = target.diagonal_m

    def chamfer(self, matrix: Similarity) -> float:
        few = self._dense[: len(self._source)]
        return nearness_of_points(applied(matrix, self._source), few, self._diagonal_m).chamfer

    def icp(self, start: Similarity, steps: int) -> Similarity:
        try:
            from trimesh import registration
        except ImportError as error:
            raise needs("trimesh") from error
        icp: Callable[..., Any] = registration.icp
        to_unit = _to_unit(self._dense, self._diagonal_m)  # its threshold is absolute
        source, target = applied(to_unit, applied(start, self._source)), applied(to_unit, self._dense)
        options = {"threshold": 1e-9, "max_iterations": steps, "reflection": False, "scale": True}
        try:
            with np.errstate(all="ignore"):
                result: Similarity = np.linalg.inv(to_unit) @ icp(source, target, **options)[0] @ to_unit @ start
        except (np.linalg.LinAlgError, ValueError):  # a far start may shrink to one point
            return start
        return result if np.isfinite(result).all() else start


def _to_unit(points: Points, diagonal_m: float) -> Similarity:
    matrix = np.diag((1.0, 1.0, 1.0, diagonal_m)) / diagonal_m
    matrix[:3, 3] = -points.mean(axis=0) / diagonal_m
    return matrix


def _starts(source: Surface, target: Surface) -> Iterator[Similarity]:
    """As it stands; then turned about the up axis, its box brought to the target's size and place."""
    yield np.eye(4)
    low, high = target.box
    points = source.corners.reshape(-1, 3)
    for number in range(YAW_STARTS):
        angle = 2.0 * math.pi * number / YAW_STARTS
        matrix = np.eye(4)
        matrix[:2, :2] = ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))
        turned = applied(matrix, points)
        own_low, own_high = turned.min(axis=0), turned.max(axis=0)
        scale = float(np.linalg.norm(high - low) / np.linalg.norm(own_high - own_low))
        matrix[:3] *= scale
        matrix[:3, 3] = (low + high) / 2.0 - scale * (own_low + own_high) / 2.0
        yield matrix
