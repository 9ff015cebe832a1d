"""Owns the guess of the light from shading: which sun, on the solids that the silhouettes suggest, explains bright and
dark.

With the normals of the inflated parts, Lambert's law is linear in the light for a given direction: within each part,
brightness over its mean is 1 plus the sun's share times the change of the cosine. Directions are tried one by one.
"""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
from scipy import ndimage

from agent.models.offline.colors import LUMINANCE, Floats
from agent.models.offline.light import STUDIO, Light, unit
from agent.models.offline.reading import Reading
from agent.models.offline.reliefs import Swelling

LEVEL = 1.1
"""Light on the average visible surface: enough for a white thing to be white."""
LEAST_SKY = 0.4
LEAST_EXPLAINED = 0.02
"""Share of the variance within parts below which the shading tells nothing."""
MOST_SAMPLES = 20_000


def guess_light(reading: Reading, swelling: Swelling) -> Light:
    """Sun and sky; the studio's where shading tells nothing."""
    normals, bright = _samples(reading, swelling)
    if len(bright) < 200:
        return STUDIO
    total = float((bright**2).sum())
    tries = [_explained(bright, normals, toward) for toward in _directions()]
    gain, slope, mean, toward = max(tries, key=lambda one: one[0])
    if total <= 0 or gain / total < LEAST_EXPLAINED or slope <= 0:
        return STUDIO
    sun = LEVEL * slope
    sky = LEVEL - sun * mean
    if sky < LEAST_SKY:
        sun, sky = (LEVEL - LEAST_SKY) / max(mean, 0.1), LEAST_SKY
    return Light(toward, float(sun), float(sky))


def _directions() -> list[tuple[float, float, float]]:
    """On the viewer's side, from level to nearly overhead: shading tells little of a light from behind."""
    return [
        unit(sin(radians(side)) * cos(radians(up)), -cos(radians(side)) * cos(radians(up)), sin(radians(up)))
        for up in (10, 30, 50, 65)
        for side in range(-75, 76, 15)
    ]


def _explained(bright: Floats, normals: Floats, toward: tuple[float, float, float]) -> tuple[
    float, float, float, tuple[float, float, float]
]:  # fmt: skip
    """Explained sum of squares, the sun's slope, the mean cosine, and the direction."""
    cosine = np.clip(normals[:, :3] @ np.array(toward), 0, None)
    parts = normals[:, 3].astype(int)
    means = np.bincount(parts, weights=cosine) / np.maximum(np.bincount(parts), 1)
    change = cosine - means[parts]
    power = float((change**2).sum())
    slope = float((change * bright).sum()) / power if power > 1e-9 else 0.0
    return max(0.0, slope) ** 2 * power, slope, float(cosine.mean()), toward


def _samples(reading: Reading, swelling: Swelling) -> tuple[Floats, Floats]:
    """Normals with the part's number as a fourth column, and brightness relative to the part's mean less one."""
    normals, bright = list[Floats](), list[Floats]()
    luminance = ndimage.gaussian_filter(reading.linear @ LUMINANCE, 1.0)
    for number, part in enumerate(reading.parts):
        left, top, right, bottom = part.shape.box
        inner = ndimage.binary_erosion(part.mask[top:bottom, left:right], iterations=2)
        if np.count_nonzero(inner) < 40:
            continue
        front = swelling.front(number)[top:bottom, left:right]
        of = _normals(ndimage.gaussian_filter(front, 1.5))[inner]
        values = luminance[top:bottom, left:right][inner]
        relative = np.clip(values / max(float(values.mean()), 1e-3) - 1, -0.8, 1.5)
        normals.append(np.concatenate([of, np.full((len(of), 1), float(number))], axis=1))
        bright.append(relative)
    if not normals:
        return np.zeros((0, 4)), np.zeros(0)
    some = slice(None, None, max(1, sum(map(len, bright)) // MOST_SAMPLES))
    return np.concatenate(normals)[some], np.concatenate(bright)[some]


def _normals(front: Floats) -> Floats:
    """Of the sheet that stands `front` pixels before an upright plane: x right, y away, z up."""
    down, right = np.gradient(front)
    normals = np.stack([-right, -np.ones_like(front), down], axis=-1)
    return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True))
