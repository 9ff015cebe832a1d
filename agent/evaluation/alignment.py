"""Owns bringing a reference and a render to one resolution, on white: what every measure and comparison begins with."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agent.picture import Mask, Reference, Rgb

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture, origin top left."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
Window = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two pictures that are compared."""

    rgb: Rgb
    """Laid on white."""
    mask: Mask
    """Where its objects are: everywhere, for a picture that is no cut-out."""


def pixels_of(region: Box, width_px: int, height_px: int) -> Window:
    """The pixels that a region touches, at least one."""
    left, top, right, bottom = region
    rows = _span(top, bottom, height_px)
    return rows, _span(left, right, width_px)


def _span(begin: float, end: float, count: int) -> slice:
    first = min(count - 1, max(0, math.floor(begin * count + 1e-6)))
    return slice(first, min(count, max(first + 1, math.ceil(end * count - 1e-6))))


def both_sides(reference: Reference, render_png: bytes, region: Box = WHOLE) -> tuple[Side, Side]:
    """(reference, render) at the render's size, or the pixels of a region of it."""
    with Image.open(io.BytesIO(render_png)) as image:
        width_px, height_px = image.size
    return reference_side(reference, width_px, height_px, region), render_side(reference, render_png, region)


def render_side(reference: Reference, render_png: bytes, region: Box = WHOLE) -> Side:
    """The render as it is; its alpha is a mask only where the reference has one."""
    with Image.open(io.BytesIO(render_png)) as image:
        pixels = np.asarray(image.convert("RGBA"))[pixels_of(region, *image.size)]
    alpha = pixels[..., 3:].astype(np.float64) / 255.0
    rgb = np.rint(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
    mask = np.ones(rgb.shape[:2], dtype=np.bool_) if reference.mask is None else pixels[..., 3] > 127
    return Side(rgb=rgb, mask=mask)


@lru_cache(maxsize=16)
def reference_side(reference: Reference, width_px: int, height_px: int, region: Box = WHOLE) -> Side:
    """The reference at a render's size: each pixel is the mean of the area it covers."""
    window = pixels_of(region, width_px, height_px)
    rgb = by_area(reference.rgb.astype(np.float64), width_px, height_px, window)
    if reference.mask is None:
        mask = np.ones(rgb.shape[:2], dtype=np.bool_)
    else:
        mask = by_area(reference.mask.astype(np.float64)[..., None], width_px, height_px, window)[..., 0] > 0.5
    return Side(rgb=np.rint(rgb).clip(0, 255).astype(np.uint8), mask=mask)


ALL: Window = (slice(None), slice(None))


def by_area(values: NDArray[np.float64], width_px: int, height_px: int, window: Window = ALL) -> NDArray[np.float64]:
    """Height × width × channels at another size, or a window of it: each pixel is the mean of the area it covers."""
    if values.shape[:2] == (height_px, width_px):
        return values[window]
    rows, columns = _overlaps(values.shape[0], height_px)[window[0]], _overlaps(values.shape[1], width_px)[window[1]]
    result: NDArray[np.float64] = np.einsum("yi,ijc->yjc", rows, values, optimize=True)
    result = np.einsum("xj,yjc->yxc", columns, result, optimize=True)
    return result


def _overlaps(before: int, after: int) -> NDArray[np.float64]:
    """after × before: the share that each old cell has in each new one, when both rows of cells are equally long."""
    edges = np.arange(after + 1) * (before / after)
    cells = np.arange(before)
    covered = np.minimum(edges[1:, None], cells + 1.0) - np.maximum(edges[:-1, None], cells)
    covered = covered.clip(min=0.0)
    shares: NDArray[np.float64] = covered / covered.sum(axis=1, keepdims=True)
    return shares
