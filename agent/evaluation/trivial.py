"""Owns the trivial answers: what can be had without reconstructing anything, and so what scores are read beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageFilter

from agent.evaluation.canvas import Drawn
from agent.evaluation.measures import flat_picture
from agent.picture import Reference, Rgb

BLUR_PX, BLUR_AT_PX = 8, 256
"""Standard deviation, and the longer side at which it is meant."""
MEAN, BORDER, BLURRED = "flat mean colour", "flat border colour", f"reference blurred by {BLUR_PX} px at {BLUR_AT_PX}"
ANOTHER = "another scene"
TRIVIAL = (MEAN, BORDER, BLURRED, ANOTHER)


def trivial_answers(reference: Reference, another: Callable[[], Reference] | None) -> Iterator[tuple[str, Drawn]]:
    """By name; `another` is the reference of another scene, if there is one."""
    yield MEAN, Drawn(rgb=flat_picture(reference), mask=None)
    yield BORDER, Drawn(rgb=_border_colour(reference.rgb), mask=None)
    yield BLURRED, _blurred(reference)
    if another is not None:
        other = another()
        yield ANOTHER, Drawn(rgb=other.rgb, mask=other.mask)


def _border_colour(rgb: Rgb) -> Rgb:
    """The mean of the outermost pixels, everywhere."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    return np.broadcast_to(np.rint(border.mean(axis=0)).astype(np.uint8), rgb.shape)


def _blurred(reference: Reference) -> Drawn:
    blur = ImageFilter.GaussianBlur(BLUR_PX * max(reference.width_px, reference.height_px) / BLUR_AT_PX)
    rgb = np.asarray(Image.fromarray(np.ascontiguousarray(reference.rgb)).filter(blur))
    if reference.mask is None:
        return Drawn(rgb=rgb, mask=None)
    levels = Image.fromarray(np.where(reference.mask, 255, 0).astype(np.uint8)).filter(blur)
    return Drawn(rgb=rgb, mask=np.asarray(levels) > 127)
