"""Owns opening the picture of a view: as a reference, with the mask that the data set gives for it.

Bringing it to the size of a render is left to `alignment.reference_side`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from agent.errors import InputUnreadable
from agent.evaluation.data import View
from agent.picture import LEAST_SHARE, Mask, Reference, read_reference
from agent.picture_file import decode, read_content

_ASPECT_TOLERANCE_PX = 1.0


def reference_of(view: View, long_px: int = 512) -> Reference:
    """The view's picture on white, its longer side at most `long_px`, with the mask from the view's own file, else from
    its alpha or a plain white background. Raises InputUnreadable.

    A mask of a full picture leaves it full: it only says where the objects are.
    """
    reference = read_reference(view.picture, long_px)
    if view.mask is None:
        return reference
    mask = _read_mask(view.mask, reference)
    if not LEAST_SHARE <= float(mask.mean()) <= 1.0 - LEAST_SHARE:
        what = "everything" if mask.mean() > 0.5 else "nothing"
        return replace(reference, mask=None, notes=(*reference.notes, f"its mask shows {what} and is not used"))
    mask.setflags(write=False)
    return replace(reference, mask=mask)


def _read_mask(path: Path, reference: Reference) -> Mask:
    """White is where objects are; transparent counts as black."""
    image = decode(path, read_content(path), max(reference.width_px, reference.height_px), [])
    if abs(image.width / image.height * reference.height_px - reference.width_px) > _ASPECT_TOLERANCE_PX:
        message = f"The mask {path} has another shape ({image.width} × {image.height} px) than its picture"
        size = f"({reference.width_px} × {reference.height_px} px)"
        raise InputUnreadable(f"{message} {reference.source} {size}.", "Give a mask of the picture's own size.")
    grey = _on_black(image)
    if image.size != (reference.width_px, reference.height_px):
        grey = grey.resize((reference.width_px, reference.height_px), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def _on_black(image: Image.Image) -> Image.Image:
    black = Image.new("RGB", image.size)
    black.paste(image.convert("RGB"), mask=image.getchannel("A") if image.mode == "RGBA" else None)
    return black.convert("L")
