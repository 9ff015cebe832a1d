"""Owns what a role takes from the pictures that tools return: renders at the reading's size, in linear light."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from agent.models.offline.colors import Floats, Mask, to_linear
from agent.models.offline.reading import Reading


def seen(png: bytes, reading: Reading) -> tuple[Floats, Mask]:
    """A render on white in linear light and where it is solid, at the reading's size."""
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    size = (reading.frame.width, reading.frame.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.float64) / 255
    alpha = pixels[..., 3:]
    return to_linear(pixels[..., :3] * alpha + 1 - alpha), np.asarray(pixels[..., 3] > 0.5)
