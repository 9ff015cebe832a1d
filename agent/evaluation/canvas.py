"""Owns bringing a reference and the pictures made for it to the evaluation's one size, on white: the pairs that metrics
are given. How a picture file is decoded is left to `picture_file.py`.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from agent.errors import InputUnreadable
from agent.evaluation.alignment import Side, by_area, reference_side
from agent.evaluation.score import Pair
from agent.picture import Mask, Reference, Rgb
from agent.picture_file import decode, fitted, read_content

LARGEST_RENDER_PX = 4096
"""A longer render is first scaled down to it."""
ASPECT_TOLERANCE = 0.02
"""Two aspects that differ by less are one: sides are whole numbers of pixels."""
EXPORT_AGAIN = "Render it again."


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture that was made for a reference."""

    rgb: Rgb
    """On white."""
    mask: Mask | None
    """Where it shows something; None for an opaque picture."""
    notes: tuple[str, ...] = ()


def read_drawn(path: Path) -> Drawn:
    """A render as it lies in a file. Raises InputUnreadable where it is missing, empty, broken or holds no numbers."""
    content, notes = read_content(path), list[str]()
    image = decode(path, content, LARGEST_RENDER_PX, notes)
    _refuse_no_numbers(path, content)
    pixels = np.asarray(image)
    if image.mode != "RGBA" or pixels[..., 3].min() == 255:
        rgb, mask = np.array(pixels[..., :3]), None
    else:
        share = pixels[..., 3:].astype(np.float64) / 255.0
        rgb = np.rint(pixels[..., :3] * share + 255.0 * (1.0 - share)).astype(np.uint8)
        mask = pixels[..., 3] > 127
    if mask is not None and not mask.any():
        notes.append("shows nothing: it is transparent everywhere")
    elif np.ptp(rgb, axis=(0, 1)).max() == 0:
        notes.append("has one colour everywhere")
    return Drawn(rgb=rgb, mask=mask, notes=tuple(f"the render {note}" for note in notes))


def _refuse_no_numbers(path: Path, content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        if image.mode == "F" and not np.isfinite(np.asarray(image)).all():
            raise InputUnreadable(f"The render {path} holds values that are no numbers.", EXPORT_AGAIN)


class Canvas:
    """A reference at the evaluation's size; whatever is laid on it becomes as large."""

    def __init__(self, reference: Reference, size_px: int) -> None:
        """`size_px`: of the longer side, whatever the reference's own size is."""
        self.reference = reference
        self.width_px, self.height_px = reference.frame(size_px)
        self._cut = reference_side(reference, self.width_px, self.height_px)
        self._whole = Side(rgb=self._cut.rgb, mask=np.ones_like(self._cut.mask))

    def pair(self, drawn: Drawn) -> Pair:
        """Silhouettes count where the reference is a cut-out: a render of a full picture has none."""
        rgb = by_area(drawn.rgb.astype(np.float64), self.width_px, self.height_px)
        mask = np.ones(rgb.shape[:2], dtype=np.bool_)
        if drawn.mask is not None:
            mask = resized(drawn.mask, self.width_px, self.height_px)
        has_masks = self.reference.kind == "cutout"
        return Pair(
            reference=self._cut if has_masks else self._whole,
            render=Side(rgb=np.rint(rgb).astype(np.uint8), mask=mask if has_masks else self._whole.mask),
            has_masks=has_masks,
        )

    def notes_on(self, drawn: Drawn) -> tuple[str, ...]:
        """What is odd about a picture, beside this reference."""
        notes, (height_px, width_px) = list(drawn.notes), drawn.rgb.shape[:2]
        if (own_px := max(self.reference.width_px, self.reference.height_px)) < max(self.width_px, self.height_px):
            notes.append(f"the reference is enlarged from {own_px} px")
        if abs(math.log(width_px * self.height_px / (height_px * self.width_px))) > self._tolerance(drawn):
            notes.append(f"the render has another aspect, {width_px} × {height_px} px, and is stretched")
        if self.reference.kind == "cutout" and drawn.mask is None:
            notes.append("the render is opaque: its silhouette is the whole picture")
        return tuple(notes)

    def _tolerance(self, drawn: Drawn) -> float:
        shortest: int = min(*drawn.rgb.shape[:2], self.width_px, self.height_px)
        return max(ASPECT_TOLERANCE, 1.0 / shortest)


def resized(mask: Mask, width_px: int, height_px: int) -> Mask:
    """Where more than half of a pixel's area is in the mask."""
    return by_area(mask.astype(np.float64)[..., None], width_px, height_px)[..., 0] > 0.5


def reduced(side: Side, long_px: int) -> Rgb:
    """A side with at most so many pixels along the longer one, each the mean of the area that it covers."""
    height_px, width_px = side.rgb.shape[:2]
    size = fitted(width_px, height_px, long_px, 1)
    return np.asarray(Image.fromarray(side.rgb).resize(size, Image.Resampling.BOX))
