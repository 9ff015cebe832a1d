"""Owns the list of scenes: what each shows, from where, and how large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians, sin
from random import Random

from agent.evaluation.regression import alone, tabletop
from agent.evaluation.regression.shapes import Point


@dataclass(frozen=True)
class Shot:
    """From where a scene is seen."""

    turn_deg: float
    """About the target; 0 is from the front (-Y), 90 from the right (+X)."""
    height_deg: float


@dataclass(frozen=True)
class Model:
    name: str
    build: Callable[[Random], None]
    cut_out: bool
    """Rendered with nothing behind it; else table and wall are in the picture, and a mask says where objects are."""
    size: tuple[int, int]
    """Width to height; the longer one becomes as long as asked for."""
    target: Point
    distance: float
    lens_mm: float
    reference: Shot
    novel: tuple[Shot, ...]

    def eye(self, shot: Shot) -> Point:
        turn, height = radians(shot.turn_deg), radians(shot.height_deg)
        x, y, z = self.target
        flat = self.distance * cos(height)
        return x + flat * sin(turn), y - flat * cos(turn), z + self.distance * sin(height)


MODELS = (
    Model("bedside", tabletop.bedside, False, (7, 8), (-0.15, 0, 1.3), 8.6, 50,
          Shot(4, 12), (Shot(-32, 18), Shot(34, 8))),
    Model("chess", tabletop.chess, False, (8, 8), (0.15, 0.1, 0.4), 14.4, 60,
          Shot(-24, 30), (Shot(22, 36), Shot(-48, 24))),
    Model("desk", tabletop.desk, False, (4, 3), (-0.35, 0.3, 0.85), 8.8, 55,
          Shot(5, 16), (Shot(-30, 24), Shot(36, 12))),
    Model("fruit", tabletop.fruit, False, (4, 3), (0.15, 0, 0.75), 8.2, 60,
          Shot(-6, 22), (Shot(30, 28), Shot(-36, 14))),
    Model("house", alone.house, True, (8, 7), (0, 0, 0.85), 11.5, 52,
          Shot(32, 26), (Shot(-50, 22), Shot(150, 35))),
    Model("rocket", alone.rocket, True, (3, 4), (0, 0, 1.8), 10.5, 85,
          Shot(12, 9), (Shot(-70, 16), Shot(165, 25))),
    Model("snowman", alone.snowman, True, (13, 16), (0, 0, 1.93), 11.5, 77,
          Shot(-14, 8), (Shot(55, 14), Shot(180, 22))),
    Model("tea", alone.tea, True, (4, 3), (0, 0, 0.6), 9.4, 54,
          Shot(18, 27), (Shot(-60, 22), Shot(140, 38))),
)  # fmt: skip
