"""Owns colour arithmetic: sRGB to linear light and Lab, and the plain word for a colour. Knows no picture.

sRGB transfer function: IEC 61966-2-1. Lab: CIE 1976, D65 white, from linear sRGB by the usual 3 × 3 matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Rgb = tuple[float, float, float]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750])


def to_linear(srgb: Floats) -> Floats:
    return np.asarray(np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4))


def to_srgb(linear: Floats) -> Floats:
    low = np.clip(linear, 0.0, None)
    return np.asarray(np.where(low <= 0.0031308, 12.92 * low, 1.055 * low ** (1 / 2.4) - 0.055))


def to_lab(srgb: Floats) -> Floats:
    xyz = to_linear(srgb) @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


_HUES = ((20, "pink"), (52, "red"), (74, "orange"), (108, "yellow"), (165, "green"), (220, "teal"), (290, "blue"),
         (330, "purple"), (361, "pink"))  # fmt: skip
"""Upper bounds of the Lab hue angle in degrees."""


def color_word(srgb: Rgb) -> str:
    """The everyday word for a colour: grey levels by lightness, others by Lab hue, dark and dull warm ones brown."""
    lightness, a, b = to_lab(np.array(srgb, dtype=np.float64))
    chroma, hue = float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)) % 360)
    if chroma < 9 or lightness < 8:
        return "black" if lightness < 22 else "grey" if lightness < 82 else "white"
    if 25 <= hue < 95 and (lightness < 52 if chroma < 60 else lightness < 38):
        return "brown"
    if 40 <= hue < 110 and chroma < 32 and lightness >= 52:
        return "beige"
    return next(word for bound, word in _HUES if hue < bound)
