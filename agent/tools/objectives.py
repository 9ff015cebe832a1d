"""Owns what the fit tool minimises: a number from a small render and the reference; 0 is a perfect match."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from agent.picture import Reference
from agent.tools.workbench import Workbench
from protocol.errors import BlenderError

Objective = Callable[[bytes], float]
Pixels = NDArray[np.float64]


def objective_for(name: str, bench: Workbench, long_px: int) -> Objective:
    """The objective of that name for renders of that long side. Raises ValueError where nothing has that name."""
    size = bench.run.reference.frame(long_px)
    if name == "silhouette":
        return _silhouette(bench.run.reference, size)
    reference = _reference_pixels(bench.run.reference, size)
    if name == "picture":
        return lambda png: picture_loss(on_white(png), reference)
    region = _object_region(bench, name.removeprefix("object:"), size)
    return lambda png: float(np.sqrt(np.mean((on_white(png)[region] - reference[region]) ** 2)))


def picture_loss(render: Pixels, reference: Pixels) -> float:
    """Root mean square difference of colours, at full and at an eighth of the resolution, both 0 … 1.

    The coarse half gives a slope where shapes do not yet overlap.
    """
    fine = np.sqrt(np.mean((render - reference) ** 2))
    coarse = np.sqrt(np.mean((_eighth(render) - _eighth(reference)) ** 2))
    return float(0.6 * fine + 0.4 * coarse)


def on_white(png: bytes) -> Pixels:
    """A render's colours 0 … 1, laid on white where its film is transparent."""
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float64) / 255
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]


def _reference_pixels(reference: Reference, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(reference.rgb).resize(size, Image.Resampling.BOX), np.float64) / 255


def _silhouette(reference: Reference, size: tuple[int, int]) -> Objective:
    if reference.mask is None:
        raise ValueError("this picture is no cut-out, so it has no silhouette to match")
    scaled = Image.fromarray(reference.mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    mask = np.asarray(scaled) > 127
    reach = float(np.hypot(size[0], size[1]))
    outside = _distances(~mask) / reach if mask.any() else np.ones(mask.shape)
    inside = _distances(mask) / reach

    def loss(png: bytes) -> float:
        alpha = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[..., 3] > 127
        union = int(np.count_nonzero(alpha | mask))
        overlap = int(np.count_nonzero(alpha & mask)) / union if union else 1.0
        stray = float(outside[alpha & ~mask].sum() + inside[mask & ~alpha].sum())
        return 1 - overlap + stray / max(1, int(np.count_nonzero(mask)))

    return loss


def _distances(mask: NDArray[np.bool_]) -> Pixels:
    return np.asarray(distance_transform_edt(mask), np.float64)


def _object_region(bench: Workbench, name: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the object is seen now: the region whose colours are compared."""
    try:
        png, reply = bench.render_with_reply(long_side_px=max(size), picture="object_id", samples=1)
    except BlenderError as error:
        raise ValueError(f"the object's region could not be rendered: {error}") from error
    if name not in reply.objects:
        raise ValueError(f"no object {name!r} is in the scene")
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(np.int64)
    ids = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
    region: NDArray[np.bool_] = ids == reply.objects.index(name) + 1
    if not region.any():
        raise ValueError(f"object {name!r} is not seen in the target view")
    return region


def _eighth(pixels: Pixels) -> Pixels:
    height, width = (max(1, side // 8) for side in pixels.shape[:2])
    rows = np.array_split(pixels, height, axis=0)
    bands = np.stack([band.mean(axis=0) for band in rows])
    return np.stack([part.mean(axis=1) for part in np.array_split(bands, width, axis=1)], axis=1)
