"""Owns the colours of surfaces: what base colour, under the light that a render shows, gives the picture's colour.

A matte surface shows its base colour times the light on it. A render of known base colours so tells the light at each
pixel; the picture divided by it tells the base colours that were wanted. Mean colours are means of linear light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import ClusterError, kmeans2

from agent.models.offline.colors import Floats, Labels, Mask, to_lab, to_srgb
from agent.models.offline.reading import Part, Reading
from agent.models.offline.stage_set import Sheet

DARKEST, BRIGHTEST = 0.002, 0.97
"""Of base colours: nothing real is blacker or whiter."""
LEAST_PIXELS = 60
"""Of a part, for it to have a gradient."""
WORTHWHILE = 4.0
"""Lab distance (root mean square) that another shade must take away."""

Colors = dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Shades:
    """Several tints for one part's base colours, and which of them each pixel of the picture takes."""

    name: str
    tints: Floats
    numbers: Labels
    box: tuple[int, int, int, int]
    """Of the part, in pixels."""


@dataclass(frozen=True, eq=False)
class Gradient:
    """A smooth change of base colour over a part: per channel the square of a polynomial of the place."""

    name: str
    box: tuple[int, int, int, int]
    """In pixels: where its place runs from −1 to 1."""
    powers: tuple[tuple[int, int], ...]
    factors: Floats
    low: Floats
    high: Floats


def clipped(color: Floats) -> Floats:
    return np.clip(color, DARKEST, BRIGHTEST)


def first_colors(reading: Reading, sheets: list[Sheet]) -> Colors:
    """As if a light of strength 1 fell everywhere."""
    colors = {part.name: clipped(np.array(part.color)) for part in reading.parts}
    for sheet in sheets:
        colors[sheet.name] = clipped(_mean(reading.linear, sheet.mask))
    return colors


def masks(reading: Reading, sheets: list[Sheet]) -> dict[str, Mask]:
    """Where each part and sheet is seen in the picture."""
    return {part.name: part.mask for part in reading.parts} | {sheet.name: sheet.mask for sheet in sheets}


def corrected(colors: Mapping[str, Floats], where: Mapping[str, Mask], picture: Floats, render: Floats) -> Colors:
    """Base colours times picture over render, each over its own pixels, away from their rims."""
    better = {}
    for name, color in colors.items():
        inner = _inner(where[name])
        ratio = (_mean(picture, inner) + 0.002) / (_mean(render, inner) + 0.002)
        better[name] = clipped(color * np.clip(ratio, 0.2, 5.0))
    return better


def light_on(render: Floats, color: Floats, where: Mask) -> Floats:
    """Smoothed strength of the light on a part, per pixel and channel, within bounds."""
    light = (render + 0.002) / (color + 0.002)
    inner = _inner(where)
    usual = np.median(light[inner], axis=0) if inner.any() else np.ones(3)
    weight = ndimage.gaussian_filter(inner.astype(np.float64), 3)
    smooth = np.stack([ndimage.gaussian_filter(np.where(inner, light[..., c], 0), 3) for c in range(3)], axis=-1)
    smooth = np.where(weight[..., None] > 0.05, smooth / np.maximum(weight, 0.05)[..., None], usual)
    return np.asarray(np.clip(smooth, 0.4 * usual, 2.5 * usual))


def shades_of(part: Part, picture: Floats, light: Floats, base: Floats, most: int, step: float) -> Shades | None:
    """As many tints of its base colours as are worth it, in patches wider than `step`; None where one is enough."""
    window = _window(part.mask)
    mask, wanted = part.mask[window], clipped(picture[window] / np.maximum(light[window], 1e-3))
    usual = _mean(base, part.mask)
    lab = to_lab(to_srgb(wanted / base[window] * usual))
    smooth = np.stack(
        [ndimage.gaussian_filter(_filled(lab[..., c], mask), max(0.7, 0.5 * step)) for c in range(3)], axis=-1
    )
    values = smooth[mask]
    centers = values.mean(axis=0)[None, :]
    for count in range(2, most + 1):
        more = _clusters(values, count)
        if _error(values, centers) - _error(values, more) > WORTHWHILE * (count - len(centers)):
            centers = more
    if len(centers) < 2:
        return None
    numbers = np.zeros(part.mask.shape, np.int32)
    nearest = ((smooth[:, :, None, :] - centers) ** 2).sum(axis=-1).argmin(axis=-1)
    numbers[window] = nearest
    numbers = _spread(numbers, part.mask)
    patches = [mask & (numbers[window] == n) for n in range(len(centers))]
    tints = [_mean(wanted, patch) / _mean(base[window], patch) for patch in patches]
    return Shades(part.name, np.clip(np.array(tints), 0.02, 20.0), numbers, part.shape.box)


def _clusters(values: Floats, count: int) -> Floats:
    """Lloyd's k-means from centres spread along lightness: the same for the same values."""
    some = values[:: max(1, len(values) // 4000)]
    order = some[np.argsort(some[:, 0], kind="stable")]
    start = order[np.linspace(0, len(order) - 1, 2 * count + 1).astype(int)[1::2]]
    try:
        centers, _ = kmeans2(some, start, iter=15, minit="matrix", missing="raise")
    except ClusterError:  # one centre attracts nothing: there are no more clusters than that
        return np.asarray(values.mean(axis=0)[None, :])
    return np.asarray(centers)


def _error(values: Floats, centers: Floats) -> float:
    return float(np.sqrt(((values[:, None, :] - centers) ** 2).sum(axis=-1).min(axis=1).mean()))


def gradient_over(name: str, mask: Mask, picture: Floats, light: Floats, degree: int) -> Gradient | None:
    """The polynomial surface of base colours that comes nearest over a mask; None where too little is seen."""
    inner = _inner(mask, 3 if degree > 2 else 2)
    y, x = np.nonzero(inner)
    if len(y) < LEAST_PIXELS:
        return None
    some = slice(None, None, max(1, len(y) // 6000))
    y, x = y[some], x[some]
    root = np.sqrt(clipped(picture[y, x] / np.maximum(light[y, x], 1e-3)))
    low, high = np.percentile(root, (2, 98), axis=0)
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    box = _box(mask)
    basis = _terms(x.astype(np.float64) + 0.5, y.astype(np.float64) + 0.5, box, powers)
    ridge = 1e-4 * len(y) * np.eye(len(powers))
    factors = np.asarray(np.linalg.solve(basis.T @ basis + ridge, basis.T @ root), np.float64)
    return Gradient(name, box, tuple(powers), factors, low, high)


def _terms(x: Floats, y: Floats, box: tuple[int, int, int, int], powers: Sequence[tuple[int, int]]) -> Floats:
    left, top, right, bottom = box
    u = np.clip(2 * (x - left) / (right - left) - 1, -1, 1)
    v = np.clip(2 * (y - top) / (bottom - top) - 1, -1, 1)
    return np.stack([u**i * v**j for i, j in powers], axis=-1)


def painted(gradient: Gradient, shape: tuple[int, ...]) -> Floats:
    """A gradient's base colours over a picture."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    root = _terms(x, y, gradient.box, gradient.powers) @ gradient.factors
    return np.asarray(np.clip(root, gradient.low, gradient.high) ** 2)


def _mean(picture: Floats, mask: Mask) -> Floats:
    return np.asarray(picture[mask].mean(axis=0)) if mask.any() else np.full(3, 0.5)


def _inner(mask: Mask, pixels: int = 2) -> Mask:
    """Without its rim, where that leaves something."""
    eroded = ndimage.binary_erosion(mask, iterations=pixels)
    return np.asarray(eroded if np.count_nonzero(eroded) > 0.2 * np.count_nonzero(mask) else mask)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = _window(mask)
    return columns.start, rows.start, columns.stop, rows.stop


def _window(mask: Mask) -> tuple[slice, slice]:
    found: tuple[slice, slice] = ndimage.find_objects(mask.astype(np.int8))[0]
    return found


def _filled(values: Floats, mask: Mask) -> Floats:
    """Values of the mask, carried on around it."""
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])


def _spread(numbers: Labels, mask: Mask) -> Labels:
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(numbers[tuple(nearest)], np.int32)
