"""Owns what a full picture stands on and before: one plain colour, or a ground with perhaps a wall behind it, and what
is neither.

Background is what a smooth colour model of each zone explains, fitted robustly from the picture's border inwards; a
soft-edged darker patch of the same hue counts as shadow. Does not divide the foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.models.offline.colors import Floats, Mask
from agent.models.offline.foreground import all_but_border, cleaned, standing_out
from agent.models.offline.wall_line import wall_line

PLAIN = 3.0
"""Largest spread (Lab) of a border that counts as one colour."""
BUSY = 4.0
"""Usual Lab distance from a smooth model above which there is no smooth background."""
LEAST_SHARE, LEAST_OF_BUSY = 0.01, 0.05
"""Of the picture, for what stands out to be its objects; in a picture without a smooth background."""


@dataclass(frozen=True)
class Background:
    objects: Mask
    """Pixels that are neither ground nor wall."""
    plain: Floats | None
    """sRGB of a plain background; None where there is a ground."""
    line: tuple[float, float] | None
    """Rows where the wall meets the ground at the left and right edge of the picture; None without a wall."""

    def wall(self) -> Mask:
        """Pixels above the line."""
        height, width = self.objects.shape
        if self.line is None:
            return np.zeros((height, width), bool)
        rows = self.line[0] + (self.line[1] - self.line[0]) * (np.arange(width) + 0.5) / width
        return np.asarray(np.arange(height)[:, None] + 0.5 < rows[None, :])


def read_background(rgb: Floats, lab: Floats) -> Background:
    """`rgb` is sRGB 0 … 1, `lab` the same picture."""
    border = _border(lab.shape[:2])
    if _spread(lab[border]) < PLAIN:
        return _plain(rgb, lab, border)
    line = wall_line(lab)
    zones = Background(np.zeros(border.shape, bool), None, line)
    wall = zones.wall()
    distance, model, busy = np.zeros(border.shape), np.zeros(lab.shape), False
    for zone in (wall, ~wall):
        if zone.any():
            model[zone], distance[zone], usual = _explain(lab, zone, border)
            busy = busy or usual > BUSY
    objects = standing_out(lab, model, distance, ~wall)
    if objects.mean() < (LEAST_OF_BUSY if busy else LEAST_SHARE):
        objects = all_but_border(lab)
    return Background(cleaned(objects), None, line)


def _border(shape: tuple[int, ...]) -> Mask:
    height, width = shape[:2]
    thick = max(1, round(0.03 * min(height, width)))
    border = np.ones((height, width), bool)
    border[thick : height - thick, thick : width - thick] = False
    return border


def _spread(lab: Floats) -> float:
    """Distance from the median within which nine tenths of the pixels lie."""
    return float(np.percentile(np.linalg.norm(lab - np.median(lab, axis=0), axis=1), 90))


def _plain(rgb: Floats, lab: Floats, border: Mask) -> Background:
    away = np.linalg.norm(lab - np.median(lab[border], axis=0), axis=-1)
    return Background(cleaned(away > 2.0 * PLAIN), np.median(rgb[border], axis=0), None)


# ── the colour model of a zone ────────────────────────────────────────────────────────────────────────────────────────
def _explain(lab: Floats, zone: Mask, border: Mask) -> tuple[Floats, Floats, float]:
    """A quadratic Lab surface of the zone, fitted to what it explains; each pixel's distance from it; the usual one.

    Distances are scaled down where the usual one is large, as in a grain of wood.
    """
    height, width = zone.shape
    y, x = np.nonzero(zone)
    u, v = 2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1
    basis = np.stack([np.ones_like(u), u, v, u * v, u * u, v * v], axis=1)
    values, outer = lab[zone], border[zone]
    chosen = outer if outer.sum() > 50 else np.ones(len(values), bool)
    for degree in (1, 3, 6, 6, 6):
        some = np.flatnonzero(chosen)[:: max(1, int(chosen.sum()) // 4000)]
        terms = basis[:, :degree]
        fitted = terms @ np.linalg.lstsq(terms[some], values[some], rcond=None)[0]
        distance = np.linalg.norm((values - fitted) * [0.6, 1, 1], axis=1)
        usual = max(1.5, float(np.median(distance[some])))
        chosen = distance < 3.0 * usual
        if chosen.sum() < 50:
            break
    return fitted, distance * min(1.0, 3.0 / usual), usual
