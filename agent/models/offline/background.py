"""Owns what a full picture stands on and before: one plain colour, or a ground with perhaps a wall behind it, and what
is neither.

Background is what a smooth colour model of each zone explains, fitted robustly from the picture's border inwards; a
soft-edged darker patch of the same hue counts as shadow. Does not divide the foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from agent.models.offline.colors import Floats, Labels, Mask, to_linear
from agent.models.offline.regions import partition

PLAIN = 3.0
"""Largest spread (Lab) of a border that counts as one colour."""
LEAST_STEP = 7.0
"""Lab distance between two zones for there to be a line between them."""
LEAST_DISTANCE = 9.0
"""Lab distance from the background at which something is surely an object."""


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
    line = _wall_line(lab)
    zones = Background(np.zeros(border.shape, bool), None, line)
    wall = zones.wall()
    distance, model = np.zeros(border.shape), np.zeros(lab.shape)
    for zone in (wall, ~wall):
        if zone.any():
            model[zone], distance[zone] = _explain(lab, zone, border)
    return Background(_objects(rgb, lab, model, distance), None, line)


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
    return Background(_cleaned(away > 2.0 * PLAIN), np.median(rgb[border], axis=0), None)


# ── the line between wall and ground ──────────────────────────────────────────────────────────────────────────────────
def _wall_line(lab: Floats) -> tuple[float, float] | None:
    """From a change of colour down the left and the right edge; one edge alone gives a level line."""
    width = lab.shape[1]
    strip = max(1, round(0.08 * width))
    left, right = _step(lab[:, :strip]), _step(lab[:, -strip:])
    if left is None and right is None:
        return None
    if left is None or right is None or abs(left - right) > 0.25 * width:
        known = [row for row in (left, right) if row is not None]
        level = min(known)
        return level, level
    slope = (right - left) / max(1, width - strip)
    return left - slope * strip / 2, right + slope * strip / 2


def _step(strip: Floats) -> float | None:
    """The row at which two straight colour ramps explain a strip best; None where one explains it nearly as well."""
    rows = np.median(strip, axis=1)
    height = len(rows)
    margin = max(3, height // 25)
    if height < 4 * margin:
        return None
    one = _ramp_error(rows)
    errors = [_ramp_error(rows[:cut]) + _ramp_error(rows[cut:]) for cut in range(margin, height - margin)]
    cut = int(np.argmin(errors)) + margin
    reach = max(2, height // 40)
    step = np.linalg.norm(rows[max(0, cut - reach) : cut].mean(axis=0) - rows[cut : cut + reach].mean(axis=0))
    return float(cut) if errors[cut - margin] < 0.45 * one and step > LEAST_STEP else None


def _ramp_error(rows: Floats) -> float:
    place = np.linspace(-1, 1, len(rows))
    basis = np.stack([np.ones_like(place), place], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, rows, rcond=None)[0]
    return float(((rows - fitted) ** 2).sum())


# ── the colour model of a zone ────────────────────────────────────────────────────────────────────────────────────────
def _explain(lab: Floats, zone: Mask, border: Mask) -> tuple[Floats, Floats]:
    """A quadratic Lab surface of the zone, and each pixel's distance from it over the usual one. Iteratively re-
    selected."""
    height, width = zone.shape
    y, x = np.nonzero(zone)
    u, v = 2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1
    basis = np.stack([np.ones_like(u), u, v, u * v, u * u, v * v], axis=1)
    values, outer = lab[zone], border[zone]
    chosen = outer if outer.sum() > 50 else np.ones(len(values), bool)
    distance = np.zeros(len(values))
    fitted = values
    for degree in (1, 3, 6, 6, 6):
        some = np.flatnonzero(chosen)[:: max(1, int(chosen.sum()) // 4000)]
        terms = basis[:, :degree]
        fitted = terms @ np.linalg.lstsq(terms[some], values[some], rcond=None)[0]
        distance = np.linalg.norm((values - fitted) * [0.6, 1, 1], axis=1)
        usual = max(1.5, float(np.median(distance[some])))
        chosen = distance < 3.0 * usual
        if chosen.sum() < 50:
            break
    return fitted, distance * min(1.0, 3.0 / usual)


# ── from distances to objects ─────────────────────────────────────────────────────────────────────────────────────────
def _objects(rgb: Floats, lab: Floats, model: Floats, distance: Floats) -> Mask:
    """Whole regions stand out or do not: by their distance, less what is a soft shadow."""
    everything = np.ones(distance.shape, bool)
    regions = partition(lab, everything, 90, 0.0006 * distance.size)
    count = int(regions.max()) + 1
    area = np.maximum(np.bincount(regions.ravel(), minlength=count), 1)
    mean = np.bincount(regions.ravel(), weights=distance.ravel(), minlength=count) / area
    soft = _soft_shadows(rgb, lab, model, regions, count)
    return _cleaned((mean > LEAST_DISTANCE)[regions] & ~soft[regions])


def _soft_shadows(rgb: Floats, lab: Floats, model: Floats, regions: Labels, count: int) -> Mask:
    """Regions that are the background's hue, darker or lighter, and end without an edge."""
    away = lab - model
    area = np.maximum(np.bincount(regions.ravel(), minlength=count), 1)
    mean = np.stack(
        [np.bincount(regions.ravel(), weights=away[..., c].ravel(), minlength=count) / area for c in range(3)]
    )
    hue = np.hypot(mean[1], mean[2])
    edge = ndimage.gaussian_gradient_magnitude(lab[..., 0], 1.5)
    rim = ndimage.grey_dilation(regions, (3, 3)) != ndimage.grey_erosion(regions, (3, 3))
    rims = np.maximum(np.bincount(regions[rim], minlength=count), 1)
    sharp = np.bincount(regions[rim], weights=edge[rim], minlength=count) / rims
    return np.asarray((hue < 10) & (np.abs(mean[0]) < 40) & (sharp < 0.11 * np.abs(mean[0])))


def _cleaned(mask: Mask) -> Mask:
    """Without specks and pinholes."""
    least = max(4, int(0.0008 * mask.size))
    opened = ndimage.binary_opening(mask, iterations=1) if min(mask.shape) > 16 else mask
    labels, count = ndimage.label(opened)
    if count:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        opened = (sizes >= least)[labels]
    holes, count = ndimage.label(~opened)
    if count:
        sizes = np.bincount(holes.ravel())
        sizes[0] = mask.size
        opened = opened | (sizes < least)[holes]
    return np.asarray(opened)


def mean_linear(rgb: Floats, mask: Mask) -> Floats:
    """Mean colour of some pixels in linear light."""
    return np.asarray(to_linear(rgb[mask]).mean(axis=0)) if mask.any() else np.full(3, 0.5)
