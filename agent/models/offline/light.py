"""Owns the light of the scene in numbers: one sun, and a sky that shines evenly. Radiance 1 is white.

A matte surface of colour c under the sun and the sky reflects c · (sky + sun · cos θ): Lambert's law, with the sun's
strength divided by π (Blender's sun is in W/m²), occlusion and light between surfaces left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import acos, atan2, pi

import numpy as np

from agent.models.offline.colors import Floats


@dataclass(frozen=True)
class Light:
    toward: tuple[float, float, float]
    """Unit vector to the sun."""
    sun: float
    sky: float

    @property
    def energy(self) -> float:
        """Blender's strength of the sun."""
        return self.sun * pi

    @property
    def turn(self) -> tuple[float, float, float]:
        """Euler angles of a sun whose +Z axis points to it."""
        x, y, z = self.toward
        return acos(max(-1.0, min(1.0, z))), 0.0, atan2(x, -y)

    def on(self, normals: Floats) -> Floats:
        """Light that falls on surfaces with these unit normals."""
        return np.asarray(self.sky + self.sun * np.clip(normals @ np.array(self.toward), 0, None))


def unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = (x * x + y * y + z * z) ** 0.5
    return x / length, y / length, z / length


STUDIO = Light(unit(-0.45, -0.75, 0.75), 0.5, 0.6)
"""From the upper left front, where a picture tells nothing."""
