"""Owns the figures that say how near a render comes to its reference: plain numbers, finite, safe for JSON.

Everything is measured at the render's size with both pictures on white. No figure alone says that a reconstruction is
good: PSNR and SSIM reward empty pictures, so a silhouette and an edge term stand beside them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import feature

from agent.evaluation.alignment import WHOLE, Box, Side, both_sides
from agent.picture import Mask, Reference, Rgb
from protocol.models import Value, Vector

SSIM_NAME = "SSIM, Gaussian window (sigma 1.5, 11 px), population covariance, mean over RGB"
PSNR_CAP_DB = 99.0
"""What equal pictures score."""
RATIO_CAP = 99.0
SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5
MIDDLE = np.float32(127.5)
"""Of the levels of a channel."""
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

_canny: Callable[..., Any] = feature.canny

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


class Measures(Value):
    """Colours and luminance are taken over the objects of a cut-out and over the whole of any other picture."""

    psnr_db: float
    ssim: float
    iou: float | None
    """Of the silhouettes; None where the picture is no cut-out."""
    edge_px: float
    """Mean distance from an edge of one picture to the nearest edge of the other, both ways, in the render's pixels."""
    luminance_ratio: float
    """Render over reference, linear light."""
    mean_color_reference: Vector
    """sRGB, 0 to 1."""
    mean_color_render: Vector
    clipped_fraction: float
    """Of the render: white in all channels."""
    black_fraction: float


class ObjectMeasures(Value):
    """Over the pixels where the render shows this object, in the render and in the same place of the reference."""

    seen_box: Box | None
    """Left, top, right, bottom of what is seen of it, as fractions; None where it lies outside or is hidden."""
    seen_center: tuple[float, float] | None
    """Mean place of its pixels."""
    seen_share: float
    """Of the picture's pixels."""
    mean_color_reference: Vector | None
    mean_color_render: Vector | None
    luminance_reference: float | None
    """Mean, linear light, 0 to 1."""
    luminance_render: float | None
    luminance_ratio: float | None
    contrast_reference: float | None
    """Standard deviation of the luminance."""
    contrast_render: float | None
    reaches_border: bool
    """It reaches the picture's border, and may be cut off by it."""


def measure(reference: Reference, render_png: bytes, region: Box = WHOLE) -> Measures:
    """Of the whole picture, or of a region of it."""
    target, render = both_sides(reference, render_png, region)
    shown = render.rgb[render.mask]
    return Measures(
        psnr_db=psnr_db(target.rgb, render.rgb),
        ssim=ssim(target.rgb, render.rgb),
        iou=None if reference.mask is None else iou(target.mask, render.mask),
        edge_px=edge_px(edges_of_reference(target), edges_of(render.rgb)),
        luminance_ratio=luminance_ratio(target.rgb[target.mask], shown),
        mean_color_reference=mean_color(target.rgb[target.mask]) or (1.0, 1.0, 1.0),
        mean_color_render=mean_color(shown) or (1.0, 1.0, 1.0),
        clipped_fraction=_share(shown.min(axis=1) >= 253),
        black_fraction=_share(shown.max(axis=1) <= 2),
    )


def measure_objects(
    reference: Reference, render_png: bytes, id_png: bytes, names: Sequence[str]
) -> dict[str, ObjectMeasures]:
    """By name; `names[i - 1]` is the object behind the value i of the object-id picture."""
    target, render = both_sides(reference, render_png)
    height_px, width_px = render.rgb.shape[:2]
    ids = object_ids(id_png, width_px, height_px)
    return {name: _object_measures(ids == number, target, render) for number, name in enumerate(names, start=1)}


def seen_box(id_png: bytes) -> Box | None:
    """Around everything that an object-id picture shows."""
    with Image.open(io.BytesIO(id_png)) as image:
        width_px, height_px = image.size
    return _box(object_ids(id_png, width_px, height_px) > 0)


def _object_measures(seen: Mask, target: Side, render: Side) -> ObjectMeasures:
    wanted, shown = target.rgb[seen], render.rgb[seen]
    wanted_light, shown_light = _luminances(wanted), _luminances(shown)
    found = bool(seen.any())
    return ObjectMeasures(
        seen_box=_box(seen),
        seen_center=_center(seen),
        seen_share=_share(seen),
        mean_color_reference=mean_color(wanted),
        mean_color_render=mean_color(shown),
        luminance_reference=_short(wanted_light.mean()) if found else None,
        luminance_render=_short(shown_light.mean()) if found else None,
        luminance_ratio=luminance_ratio(wanted, shown) if found else None,
        contrast_reference=_short(wanted_light.std()) if found else None,
        contrast_render=_short(shown_light.std()) if found else None,
        reaches_border=bool(seen[0].any() or seen[-1].any() or seen[:, 0].any() or seen[:, -1].any()),
    )


def _box(seen: Mask) -> Box | None:
    rows, columns = np.nonzero(seen)
    if not rows.size:
        return None
    height_px, width_px = seen.shape
    return (_short(columns.min() / width_px), _short(rows.min() / height_px),
            _short((columns.max() + 1) / width_px), _short((rows.max() + 1) / height_px))  # fmt: skip


def _center(seen: Mask) -> tuple[float, float] | None:
    rows, columns = np.nonzero(seen)
    if not rows.size:
        return None
    height_px, width_px = seen.shape
    return _short((columns.mean() + 0.5) / width_px), _short((rows.mean() + 0.5) / height_px)


def object_ids(id_png: bytes, width_px: int, height_px: int) -> NDArray[np.uint32]:
    with Image.open(io.BytesIO(id_png)) as image:
        picture = image.convert("RGB")
    if picture.size != (width_px, height_px):
        picture = picture.resize((width_px, height_px), Image.Resampling.NEAREST)
    channels = np.asarray(picture).astype(np.uint32)
    ids: NDArray[np.uint32] = channels[..., 0] + 256 * channels[..., 1] + 65536 * channels[..., 2]
    return ids


# ── whole pictures ────────────────────────────────────────────────────────────────────────────────────────────────────
def psnr_db(first: Rgb, second: Rgb) -> float:
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return PSNR_CAP_DB if error == 0.0 else _short(min(PSNR_CAP_DB, 10.0 * np.log10(255.0**2 / error)))


class Moments:
    """What SSIM needs of one picture alone, so that it is found once however many are compared with it."""

    def __init__(self, rgb: Rgb) -> None:
        """A side shorter than the window is first extended to it by mirroring."""
        padding = [(0, max(0, SSIM_WINDOW_PX - side)) for side in rgb.shape[:2]] + [(0, 0)]
        padded = np.pad(rgb, padding, mode="symmetric").astype(np.float32) - MIDDLE
        self.channels = tuple(_ChannelMoments(channel) for channel in padded.transpose(2, 0, 1))


class _ChannelMoments:
    """One channel at a time stays in the processor's cache, which is half of the speed."""

    def __init__(self, values: Floats32) -> None:
        """Less `MIDDLE`: in single precision a variance is the small difference of large squares."""
        self.values = np.ascontiguousarray(values)
        mean = _windowed(self.values)
        self.variance = _windowed(self.values**2) - mean**2
        self.centered, self.mean = mean, mean + MIDDLE


def ssim(first: Rgb, second: Rgb) -> float:
    """`SSIM_NAME`."""
    return ssim_of(Moments(first), Moments(second))


def ssim_of(first: Moments, second: Moments) -> float:
    """Where the whole window lies in the picture."""
    return _short(float(np.mean([_ssim_of(*pair) for pair in zip(first.channels, second.channels, strict=True)])))


def _ssim_of(first: _ChannelMoments, second: _ChannelMoments) -> float:
    covariance = _windowed(first.values * second.values) - first.centered * second.centered
    likeness = (2.0 * first.mean * second.mean + SSIM_C1) * (2.0 * covariance + SSIM_C2)
    most = (first.mean**2 + second.mean**2 + SSIM_C1) * (first.variance + second.variance + SSIM_C2)
    return float((likeness / most).mean(dtype=np.float64))


@lru_cache(maxsize=4)
def moments_of_reference(side: Side) -> Moments:
    return Moments(side.rgb)


def _windowed(values: Floats32) -> Floats32:
    """Means under the Gaussian window."""
    reach = SSIM_WINDOW_PX // 2
    found: Floats32 = ndimage.gaussian_filter(values, SSIM_SIGMA_PX, radius=reach)
    return found[reach:-reach, reach:-reach]


def iou(first: Mask, second: Mask) -> float:
    """1 where both are empty."""
    union = np.count_nonzero(first | second)
    return 1.0 if union == 0 else _short(np.count_nonzero(first & second) / union)


def flat_picture(reference: Reference) -> Rgb:
    """The reference's mean colour everywhere: the empty answer that a reconstruction has to beat."""
    mean = np.rint(reference.rgb.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    return np.broadcast_to(mean, reference.rgb.shape)


def flat_picture_psnr(reference: Reference) -> float:
    return psnr_db(reference.rgb, flat_picture(reference))


# ── edges ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@lru_cache(maxsize=16)
def edges_of_reference(side: Side) -> Mask:
    """Remembered: a reference's side is one object for each size."""
    return edges_of(side.rgb)


def edges_of(rgb: Rgb) -> Mask:
    """Where colours change abruptly."""
    if min(rgb.shape[:2]) < 3:
        return np.zeros(rgb.shape[:2], dtype=np.bool_)
    grey = rgb.astype(np.float64) @ (0.2126 / 255, 0.7152 / 255, 0.0722 / 255)
    return np.asarray(_canny(grey, sigma=1.2, low_threshold=0.04, high_threshold=0.1, mode="nearest"), dtype=np.bool_)


def outline_of(mask: Mask) -> Mask:
    """The pixels of a silhouette that touch what is outside; the picture's border is no outline."""
    inner: Mask = ndimage.binary_erosion(mask, border_value=1)
    return mask & ~inner


def edge_px(first: Mask, second: Mask) -> float:
    """Mean distance from a pixel of one to the nearest of the other, both ways.

    0 where neither has any; half the diagonal where only one has.
    """
    if not first.any() or not second.any():
        return 0.0 if first.any() == second.any() else _short(0.5 * float(np.hypot(*first.shape)))
    to_first, to_second = (ndimage.distance_transform_edt(~edges) for edges in (first, second))
    return _short(0.5 * (to_second[first].mean() + to_first[second].mean()))


# ── colours ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _linear_levels() -> Floats:
    levels = np.arange(256) / 255.0
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


_LINEAR = _linear_levels()


def mean_color(pixels: Rgb) -> Vector | None:
    """Of a list of pixels, as sRGB; None for an empty one."""
    if not len(pixels):
        return None
    red, green, blue = _levels_of(pixels) @ np.arange(256) / len(pixels) / 255.0
    return (_short(red), _short(green), _short(blue))


def _levels_of(pixels: Rgb) -> NDArray[np.int64]:
    """3 × 256: of each channel, how many of a list of pixels have each level."""
    return np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])


def _luminances(pixels: Rgb) -> Floats:
    found: Floats = _LINEAR[pixels] @ (0.2126, 0.7152, 0.0722)
    return found


def _mean_luminance(pixels: Rgb) -> float:
    if not len(pixels):
        return 0.0
    return float(_levels_of(pixels) @ _LINEAR @ (0.2126, 0.7152, 0.0722)) / len(pixels)


def luminance_ratio(target: Rgb, render: Rgb) -> float:
    """1 for two blacks; a capped number where only the reference is black."""
    wanted, got = (_mean_luminance(pixels) for pixels in (target, render))
    if wanted < 1e-6:
        return 1.0 if got < 1e-6 else RATIO_CAP
    return _short(min(RATIO_CAP, got / wanted))


def _share(where: Mask) -> float:
    return _short(where.mean()) if where.size else 0.0


def _short(number: float) -> float:
    return round(float(number), 6)
