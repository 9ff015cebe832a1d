"""Owns what stands behind the objects of a full picture: a ground slab and a wall, as sheets seen through a screen
grid.

Their vertices lie behind a grid of the picture, so that a smooth gradient of the picture is a gradient over their
vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.models.offline.colors import Floats, Mask
from agent.models.offline.reading import Reading

GROUND, WALL = "Ground", "Wall"
BEYOND = 0.6
"""How far the sheets reach beyond the picture, as a part of its width."""
COLUMNS, ROWS = 13, 9


@dataclass(frozen=True, eq=False)
class Sheet:
    name: str
    mask: Mask
    """Pixels of the picture where it is seen."""
    x: Floats
    y: Floats
    """Pixel behind which each vertex lies; rows × columns, away from the viewer or downwards last."""
    points: Floats
    """rows × columns × 3."""
    drop: tuple[float, float, float]
    """From the seen face to the other."""


def sheets(reading: Reading) -> list[Sheet]:
    """None for a plain background."""
    if reading.background.plain is not None:
        return []
    wall = reading.background.wall()
    return [_ground(reading, ~wall & ~reading.background.objects)] + (
        [_wall(reading, wall & ~reading.background.objects)] if reading.background.line else []
    )


def _ground(reading: Reading, seen: Mask) -> Sheet:
    frame = reading.frame
    left, right = reading.background.line or (_far_row(reading),) * 2
    u = np.linspace(-BEYOND, 1 + BEYOND, COLUMNS)
    v = np.linspace(0, 1, ROWS)[:, None]
    top = np.clip(left + (right - left) * u, _far_row(reading), None)
    y = top * (1 - v) + 1.35 * frame.height * v
    x = np.broadcast_to(u * frame.width, y.shape)
    points = [[(*frame.on_ground(a, b), 0.0) for a, b in zip(p, q, strict=True)] for p, q in zip(x, y, strict=True)]
    return Sheet(GROUND, seen, x, y, np.array(points), (0.0, 0.0, -0.3))


def _far_row(reading: Reading) -> float:
    """A row that still lies below the horizon."""
    frame = reading.frame
    horizon = frame.height / 2 - np.tan(frame.pitch) * frame.focal
    return float(max(-0.25 * frame.height, horizon + 0.04 * frame.focal))


def _wall(reading: Reading, seen: Mask) -> Sheet:
    """Upright through the points where the line meets the picture's edges."""
    frame, line = reading.frame, reading.background.line
    assert line is not None
    a, b = np.array(frame.on_ground(0.0, line[0])), np.array(frame.on_ground(float(frame.width), line[1]))
    along = np.linspace(-BEYOND, 1 + BEYOND, COLUMNS)
    foot = a + (b - a) * along[:, None]
    height = _height(reading, float(foot[:, 1].max()))
    z = np.linspace(height, 0, ROWS)
    points = np.array([[(p[0], p[1], h) for p in foot] for h in z])
    x, y = _seen_at(reading, points)
    away = np.array([-(b - a)[1], (b - a)[0]]) / max(1e-6, float(np.hypot(*(b - a))))
    return Sheet(WALL, seen, x, y, points, (0.2 * float(away[0]), 0.2 * float(away[1]), 0.0))


def _height(reading: Reading, distance: float) -> float:
    """Up to well above the picture's top, at a distance."""
    frame = reading.frame
    top = frame.on_plane(np.array(frame.width / 2), np.array(-0.3 * frame.height), distance)
    return max(0.5, float(top[2]))


def _seen_at(reading: Reading, points: Floats) -> tuple[Floats, Floats]:
    """Pixels at which points are seen: the camera's projection."""
    frame = reading.frame
    away = points - np.array(frame.location)
    s, c = np.sin(frame.pitch), np.cos(frame.pitch)
    depth = np.maximum(away[..., 1] * c - away[..., 2] * s, 1e-3)
    up = away[..., 1] * s + away[..., 2] * c
    return frame.width / 2 + frame.focal * away[..., 0] / depth, frame.height / 2 - frame.focal * up / depth
