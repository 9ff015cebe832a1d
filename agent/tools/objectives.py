"""Owns what the fit tool minimises: a number from a small render and the reference; 0 is a perfect match."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter, sobel

from agent.picture import Reference
from agent.tools.workbench import Workbench
from protocol.errors import BlenderError

Goal = Literal["all", "colour", "luminance", "silhouette"]
Objective = Callable[[bytes], float]
Pixels = NDArray[np.float64]
Region = NDArray[np.bool_]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
EDGE_PART, SILHOUETTE_PART = 0.4, 0.15
"""What edges and the outline count beside colours in "all"."""
MARGIN = 0.05
"""Part of the long side by which a region is widened, for what moves in it."""


def objective_for(goal: Goal, bench: Workbench, long_px: int, region: Region | None = None) -> Objective:
    """The objective for renders of that long side, over the whole picture or a region of the same size.

    Raises ValueError where the reference does not offer what the goal is.
    """
    size = bench.run.reference.frame(long_px)
    if goal == "silhouette":
        return _silhouette(bench.run.reference, size)
    reference = reference_pixels(bench.run.reference, size)
    if goal == "luminance":
        return lambda png: picture_loss(on_white(png) @ LUMINANCE, reference @ LUMINANCE, region)
    if goal == "colour":
        return lambda png: picture_loss(on_white(png), reference, region)
    edges = edges_of(reference)
    outline = (
        _silhouette(bench.run.reference, size) if bench.run.reference.mask is not None and region is None else None
    )

    def everything(png: bytes) -> float:
        pixels = on_white(png)
        loss = picture_loss(pixels, reference, region) + EDGE_PART * _rms(edges_of(pixels) - edges, region)
        return loss + SILHOUETTE_PART * outline(png) if outline else loss

    return everything


def picture_loss(render: Pixels, reference: Pixels, region: Region | None = None) -> float:
    """Root mean square difference of values 0 … 1; over a whole picture at full and at an eighth of the resolution.

    The coarse half gives a slope where shapes do not yet overlap.
    """
    fine = _rms(render - reference, region)
    if region is not None:
        return fine
    return 0.6 * fine + 0.4 * _rms(_eighth(render) - _eighth(reference), None)


def residuals(png: bytes, reference: Reference, blur_px: float) -> Pixels:
    """Differences of colours, edges and outline, all blurred: what steps of least squares make small."""
    with Image.open(io.BytesIO(png)) as picture:
        size = picture.size
    parts = [_blurred(on_white(png) - reference_pixels(reference, size), blur_px)]
    edges = edges_of(on_white(png)) - edges_of(reference_pixels(reference, size))
    parts.append(_blurred(edges[..., None], blur_px))
    if reference.mask is not None:
        parts.append(2 * _blurred((alpha_of(png) - mask_pixels(reference, size))[..., None], blur_px))
    return np.concatenate([part.ravel() for part in parts])


def edges_of(pixels: Pixels) -> Pixels:
    """Strength of the luminance's slope, softened."""
    soft = gaussian_filter(pixels @ LUMINANCE, 1.0)
    return np.asarray(np.hypot(sobel(soft, 0), sobel(soft, 1)) / 4, np.float64)


def on_white(png: bytes) -> Pixels:
    """A render's colours 0 … 1, laid on white where its film is transparent."""
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float64) / 255
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]


def alpha_of(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float64)[..., 3] / 255


def reference_pixels(reference: Reference, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(reference.rgb).resize(size, Image.Resampling.BOX), np.float64) / 255


def mask_pixels(reference: Reference, size: tuple[int, int]) -> Pixels:
    """The share of each pixel that a cut-out's objects cover."""
    assert reference.mask is not None
    scaled = Image.fromarray(reference.mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(scaled, np.float64) / 255


def seen_region(bench: Workbench, names: set[str], long_px: int, widened: bool = False) -> Region:
    """Where any of these objects is seen now. Raises ValueError where none is."""
    try:
        png, reply = bench.render_with_reply(long_side_px=long_px, picture="object_id", samples=1)
    except BlenderError as error:
        raise ValueError(f"the object's region could not be rendered: {error}") from error
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(np.int64)
    ids = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
    region = np.isin(ids, [number for number, name in enumerate(reply.objects, start=1) if name in names])
    if not region.any():
        raise ValueError(f"of {', '.join(sorted(names))} nothing is seen in the target view")
    return binary_dilation(region, iterations=max(1, round(MARGIN * long_px))) if widened else region


def _silhouette(reference: Reference, size: tuple[int, int]) -> Objective:
    if reference.mask is None:
        raise ValueError("this picture is no cut-out, so it has no silhouette to match")
    mask = mask_pixels(reference, size) > 0.5
    reach = float(np.hypot(size[0], size[1]))
    outside = _distances(~mask) / reach if mask.any() else np.ones(mask.shape)
    inside = _distances(mask) / reach

    def loss(png: bytes) -> float:
        alpha = alpha_of(png) > 0.5
        union = int(np.count_nonzero(alpha | mask))
        overlap = int(np.count_nonzero(alpha & mask)) / union if union else 1.0
        stray = float(outside[alpha & ~mask].sum() + inside[mask & ~alpha].sum())
        return 1 - overlap + stray / max(1, int(np.count_nonzero(mask)))

    return loss


def _rms(differences: Pixels, region: Region | None) -> float:
    chosen = differences if region is None else differences[region]
    return float(np.sqrt(np.mean(chosen**2)))


def _blurred(values: Pixels, blur_px: float) -> Pixels:
    """Thinned out to what the blur leaves of it."""
    step = max(1, int(blur_px))
    soft = gaussian_filter(values, (blur_px, blur_px, 0)) if blur_px > 0 else values
    return np.asarray(soft[step // 2 :: step, step // 2 :: step], np.float64)


def _distances(mask: Region) -> Pixels:
    return np.asarray(distance_transform_edt(mask), np.float64)


def _eighth(pixels: Pixels) -> Pixels:
    height, width = (max(1, side // 8) for side in pixels.shape[:2])
    rows = np.array_split(pixels, height, axis=0)
    bands = np.stack([band.mean(axis=0) for band in rows])
    return np.stack([part.mean(axis=1) for part in np.array_split(bands, width, axis=1)], axis=1)
