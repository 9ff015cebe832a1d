"""Owns the picture plane and the camera that looks through it: from a pixel to a ray and to a point of the scene.

Pixels: origin top left, x right, y down, in the analysed picture's own size. World: Blender's, Z up; the camera always
looks along +Y, pitched down, so upright planes that face it are y = constant. Units: metres, radians, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np

from agent.models.offline.colors import Floats

SENSOR_MM = 36.0
"""Along the longer side: Blender's sensor fit AUTO."""


@dataclass(frozen=True)
class Frame:
    """A camera at `distance` from the point (0, 0, `aim`), which lies in the middle of the picture."""

    width: int
    height: int
    pitch: float = 0.0
    """Downwards."""
    lens_mm: float = 50.0
    distance: float = 10.0
    aim: float = 0.0

    @property
    def focal(self) -> float:
        """In pixels."""
        return self.lens_mm / SENSOR_MM * max(self.width, self.height)

    @property
    def location(self) -> tuple[float, float, float]:
        return (0.0, -self.distance * cos(self.pitch), self.aim + self.distance * sin(self.pitch))

    def rays(self, x: Floats, y: Floats) -> Floats:
        """Directions through pixels, one unit deep along the view axis."""
        across = (np.asarray(x, dtype=np.float64) - self.width / 2) / self.focal
        down = (np.asarray(y, dtype=np.float64) - self.height / 2) / self.focal
        depth = cos(self.pitch) - down * sin(self.pitch)
        return np.stack([across, depth, -sin(self.pitch) - down * cos(self.pitch)], axis=-1)

    def on_plane(self, x: Floats, y: Floats, plane_y: float) -> Floats:
        """Points of the upright plane y = `plane_y` behind pixels."""
        rays = self.rays(x, y)
        t = (plane_y - self.location[1]) / np.maximum(rays[..., 1], 1e-3)
        return np.asarray(np.array(self.location) + rays * t[..., None])

    def on_ground(self, x: float, y: float, farthest: float = 60.0) -> tuple[float, float]:
        """Where the ground z = 0 lies behind a pixel; at most `farthest` away, also above the horizon."""
        ray = self.rays(np.array(x), np.array(y))
        t = self.location[2] / max(-float(ray[2]), 1e-6)
        t = min(t, farthest / max(1e-6, float(np.hypot(ray[0], ray[1]))))
        return float(ray[0] * t), self.location[1] + float(ray[1] * t)

    def pixel_size(self, plane_y: float) -> float:
        """Metres of one pixel on an upright plane, in the picture's middle."""
        return (plane_y - self.location[1]) / (self.focal * cos(self.pitch))
