"""Owns thickness: how far a flat silhouette swells to become a solid, per pixel.

Inflation solves Poisson's equation, −Δh = 4 inside and h = 0 on the outline, and takes √h: a disc becomes a ball, a
strip a rod (Joshi and Carr, "Repoussé: automatic inflation of 2D artwork", 2008, with a constant source). Units:
pixels.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from agent.models.offline.colors import Floats, Mask

MOST_UNKNOWNS = 30_000
ROUNDING = 0.35
"""Radius of a flat solid's edges, over its half width."""
FLATTEN = 0.38
"""Half the depth that a solid reaches at most, over the shorter side of its silhouette's box."""


def inflated(mask: Mask) -> Floats:
    """Half thickness of a rounded solid over the silhouette; 0 outside."""
    result = np.zeros(mask.shape)
    if not mask.any():
        return result
    window = ndimage.find_objects(mask.astype(np.int8))[0]
    small = np.pad(mask[window], 1)
    coarse = max(1, ceil(sqrt(np.count_nonzero(small) / MOST_UNKNOWNS)))
    height = _poisson(small[::coarse, ::coarse]) * coarse**2
    height = ndimage.zoom(height, coarse, order=1, grid_mode=True, mode="nearest") if coarse > 1 else height
    height = height[: small.shape[0], : small.shape[1]]
    height = np.pad(height, [(0, small.shape[0] - height.shape[0]), (0, small.shape[1] - height.shape[1])], mode="edge")
    rim = ndimage.distance_transform_edt(small)
    thick = np.where(small, np.sqrt(np.maximum(height, np.minimum(rim, coarse + 1.0) ** 2)), 0)
    result[window] = _flattened(thick, min(small.shape) - 2)[1:-1, 1:-1]
    return result


def padded(mask: Mask) -> Floats:
    """Half thickness of a flat solid with rounded edges, like a cushion: for what is a box from the front."""
    result = np.zeros(mask.shape)
    if not mask.any():
        return result
    window = ndimage.find_objects(mask.astype(np.int8))[0]
    rim = ndimage.distance_transform_edt(np.pad(mask[window], 1))[1:-1, 1:-1]
    rounding = max(1.0, ROUNDING * float(rim.max()))
    inward = np.clip(1 - rim / rounding, 0, 1)
    result[window] = FLATTEN * min(mask[window].shape) * np.sqrt(1 - inward**2) * mask[window]
    return result


def _flattened(thick: Floats, width: float) -> Floats:
    """Nothing gets thicker than a part of its width: wide things end in a flat, rounded front."""
    most = max(1.0, FLATTEN * width)
    return np.asarray(most * np.tanh(thick / most))


def _poisson(mask: Mask) -> Floats:
    """h with −Δh = 4 on the mask's pixels and 0 beyond them, five-point differences."""
    number = np.full(mask.shape, -1)
    count = int(np.count_nonzero(mask))
    number[mask] = np.arange(count)
    padded = np.pad(number, 1, constant_values=-1)
    rows, columns = [np.arange(count)], [np.arange(count)]
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]][mask]
        rows.append(np.flatnonzero(beside >= 0))
        columns.append(beside[beside >= 0])
    values = np.concatenate([np.full(len(r), 4.0 if n == 0 else -1.0) for n, r in enumerate(rows)])
    matrix = coo_matrix((values, (np.concatenate(rows), np.concatenate(columns))), (count, count)).tocsc()
    height = np.zeros(mask.shape)
    if count:
        height[mask] = spsolve(matrix, np.full(count, 4.0))
    return height
