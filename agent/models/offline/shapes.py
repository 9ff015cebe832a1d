"""Owns what a silhouette looks like: its place, its main axes, and the primitive that comes nearest to it.

Each primitive is drawn as the outline it would show and compared with the silhouette by overlap; the best one names the
shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.models.offline.colors import Floats, Mask

Kind = Literal["ball", "box", "cone", "cylinder", "rod", "outline"]
GOOD_OVERLAP = 0.89
"""Below it no primitive fits and the outline itself is the shape."""
ROD_ASPECT = 4.0


@dataclass(frozen=True)
class Shape:
    kind: Kind
    center: tuple[float, float]
    """Of the fitted primitive, in pixels."""
    half: tuple[float, float]
    """Half extents along `angle` and across it, in pixels."""
    angle: float
    """Of the first axis, radians from the x axis towards y (down); 0 for upright shapes."""
    overlap: float
    """Of the primitive's outline with the silhouette, 0 … 1."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels, the last two exclusive."""

    @property
    def word(self) -> str:
        """The shape in one word, for a name."""
        long, short = max(self.half), max(min(self.half), 0.5)
        if self.kind == "ball" and long / short > 1.35:
            return "oval"
        return "shape" if self.kind == "outline" else self.kind


def read_shape(mask: Mask) -> Shape:
    """Of a non-empty silhouette."""
    ys, xs = np.nonzero(mask)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    left, top, right, bottom = box
    x, y = xs.astype(np.float64) + 0.5, ys.astype(np.float64) + 0.5
    small = mask[top:bottom, left:right]
    upright = (((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2), 0.0)
    turned = _main_axes(x, y)
    tries: list[tuple[float, Kind, tuple[tuple[float, float], tuple[float, float], float]]] = []
    for place in (upright, turned):
        tries.append((_overlap(small, box, "ball", place), "ball", place))
        tries.append((_overlap(small, box, "box", place) - 0.005, "box", place))
    tries.append((_overlap(small, box, "cone", upright), "cone", upright))
    tries.append((_overlap(small, box, "cylinder", upright) - 0.005, "cylinder", upright))
    best, kind, (center, half, angle) = max(tries, key=lambda one: one[0])
    if best < GOOD_OVERLAP:
        kind, (center, half, angle) = "outline", turned
    elif kind == "box" and max(half) > ROD_ASPECT * max(0.5, min(half)):
        kind = "rod"
    return Shape(kind, center, half, angle, max(0.0, best), box)


def _main_axes(x: Floats, y: Floats) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Box along the axes of the second moments."""
    cx, cy = float(x.mean()), float(y.mean())
    moments = np.cov(np.stack([x, y])) if len(x) > 2 else np.eye(2)
    angle = 0.5 * float(np.arctan2(2 * moments[0, 1], moments[0, 0] - moments[1, 1]))
    along, across = _turn(x - cx, y - cy, angle)
    mid = (float(along.min() + along.max()) / 2, float(across.min() + across.max()) / 2)
    half = (float(np.ptp(along)) / 2 + 0.5, float(np.ptp(across)) / 2 + 0.5)
    back_x, back_y = mid[0] * np.cos(angle) - mid[1] * np.sin(angle), mid[0] * np.sin(angle) + mid[1] * np.cos(angle)
    return (cx + float(back_x), cy + float(back_y)), half, angle


def _turn(x: Floats, y: Floats, angle: float) -> tuple[Floats, Floats]:
    return x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)


def _overlap(
    small: Mask,
    box: tuple[int, int, int, int],
    kind: Kind,
    place: tuple[tuple[float, float], tuple[float, float], float],
) -> float:
    """Intersection over union of the primitive's outline with the silhouette, inside the silhouette's box."""
    (cx, cy), (a, b), angle = place
    height, width = small.shape
    y, x = np.mgrid[0:height, 0:width]
    u, v = _turn(x + box[0] + 0.5 - cx, y + box[1] + 0.5 - cy, angle)
    u, v = u / max(a, 0.5), v / max(b, 0.5)
    outline = _outline(kind, u, v, a / max(b, 0.5))
    union = np.count_nonzero(outline | small)
    return np.count_nonzero(outline & small) / union if union else 0.0


def _outline(kind: Kind, u: Floats, v: Floats, aspect: float) -> Mask:
    """Where the primitive shows in its own box −1 … 1; v points down."""
    if kind == "ball":
        return np.asarray(u * u + v * v <= 1)
    if kind == "cone":
        return np.asarray((np.abs(u) <= (v + 1) / 2) & (v <= 1))
    if kind == "cylinder":
        dip = min(0.6, 0.35 * aspect) * np.sqrt(np.clip(1 - u * u, 0, 1))
        edge = 1 - min(0.6, 0.35 * aspect)
        return np.asarray((np.abs(u) <= 1) & (np.abs(v) <= edge + dip))
    return np.asarray((np.abs(u) <= 1) & (np.abs(v) <= 1))
