"""Owns what a network is shown of a picture: resized by Pillow, then one batch of one, channels first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from agent.picture import Rgb

if TYPE_CHECKING:
    from torch import Tensor

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation, of values from 0 to 1."""
CLIP: tuple[Triple, Triple] = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def batch(rgb: Rgb, mean: Triple, deviation: Triple) -> Tensor:
    """1 × 3 × height × width, (value − mean) / deviation of values from 0 to 1."""
    import torch

    pixels = (rgb / np.float32(255) - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))


def squeezed(rgb: Rgb, side_px: int) -> Rgb:
    """Square, whatever the aspect was."""
    return np.asarray(_resized(rgb, side_px, side_px))


def centered(rgb: Rgb, short_px: int, crop_px: int) -> Rgb:
    """The shorter side becomes `short_px`; of that the square in the middle."""
    height, width = rgb.shape[:2]
    short = min(height, width)
    image = _resized(rgb, width * short_px // short, height * short_px // short)
    left, top = (image.width - crop_px) // 2, (image.height - crop_px) // 2
    return np.asarray(image.crop((left, top, left + crop_px, top + crop_px)))


def limited(rgb: Rgb, long_px: int) -> Rgb:
    """As it is, or reduced so that the longer side is `long_px`."""
    height, width = rgb.shape[:2]
    scale = long_px / max(height, width)
    if scale >= 1.0:
        return rgb
    return np.asarray(_resized(rgb, max(1, round(width * scale)), max(1, round(height * scale))))


def _resized(rgb: Rgb, width_px: int, height_px: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return image.resize((width_px, height_px), Image.Resampling.BICUBIC)
