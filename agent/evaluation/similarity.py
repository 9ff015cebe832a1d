"""Owns similarities: 4×4 matrices, applied to columns, that turn, move and scale alike in all directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agent.evaluation.data import Matrix

Floats = NDArray[np.float64]

ALMOST = 1e-3
"""How far a similarity's axes may be from perpendicular and equally long."""


def applied(matrix: ArrayLike, points: Floats) -> Floats:
    """N×3 points after a 4×4 matrix."""
    own = np.asarray(matrix, np.float64)
    moved: Floats = points @ own[:3, :3].T + own[:3, 3]
    return moved


def inverse(matrix: Matrix) -> Matrix:
    """Of a similarity; ValueError for what is none."""
    scale_of(np.asarray(matrix, np.float64))
    return rows(np.linalg.inv(np.asarray(matrix, np.float64)))


def scale_of(matrix: Floats) -> float:
    """By which a similarity enlarges; ValueError for what is none."""
    axes = matrix[:3, :3]
    volume = float(np.linalg.det(axes)) if np.isfinite(matrix).all() else 0.0
    scale = float(np.cbrt(volume))
    if scale <= 0.0 or not np.array_equal(matrix[3], (0.0, 0.0, 0.0, 1.0)):
        raise ValueError(f"no similarity: {matrix.tolist()}")
    if np.abs(axes.T @ axes / scale**2 - np.eye(3)).max() > ALMOST:
        raise ValueError(f"no similarity, its axes are not alike: {matrix.tolist()}")
    return scale


def rows(matrix: Floats) -> Matrix:
    first, second, third, fourth = (tuple(map(float, row)) for row in matrix)
    return (first, second, third, fourth)  # type: ignore[return-value]
