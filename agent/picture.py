"""Owns the picture that a run reconstructs: small, sRGB, laid on white, and whether it is a cut-out.

How a file is decoded is left to `picture_file.py`, measuring and showing to `evaluation/`. A reference's own PNG reads
as the very same reference, so that a resumed run sees what it saw.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from agent.picture_file import decode, fitted, read_content
from protocol.models import Value

SMALLEST_RENDER_PX = 4
"""Blender renders no side shorter than this."""

WHITE_LEVEL = 240
"""A border colour with every channel at or above this counts as white."""
WHITE_TOLERANCE = 12
"""How far background pixels may lie from the border's colour: JPEG noise, not a shadow."""
LEAST_SHARE = 0.001
"""A cut-out has at least this share of its pixels both in the mask and outside it."""

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Reference:
    """The picture to reconstruct, as every other part sees it."""

    rgb: Rgb
    """Height × width × 3, sRGB, laid on white, read-only."""
    mask: Mask | None
    """Of a cut-out: where its objects are."""
    kind: Literal["cutout", "full"]
    png: bytes
    """`rgb`; for a cut-out RGBA with the mask as alpha, so that either way of reading it shows the picture on white.

    Carries digest and notes, and reads as this reference again."""
    width_px: int
    height_px: int
    source: Path
    digest: str
    """SHA-256 of the source file's bytes."""
    notes: tuple[str, ...]
    """What was odd about the file and how it was read."""

    def frame(self, long_px: int) -> tuple[int, int]:
        """Width and height of a render with this picture's aspect."""
        return fitted(self.width_px, self.height_px, long_px, SMALLEST_RENDER_PX, enlarge=True)


def read_reference(path: Path, target_px: int = 512) -> Reference:
    """Read a picture; its longer side becomes at most `target_px`. Raises `InputUnreadable`."""
    content, notes = read_content(path), list[str]()
    image = decode(path, content, target_px, notes)
    about = _own_words(image)
    rgb, alpha = _pixels(image) if about else _laid_on_white(image, notes)
    mask = _mask_from_alpha(alpha, notes) if alpha is not None else None
    if mask is None and not about:
        mask = _mask_from_white(rgb, notes)
    if about is None:
        digest = hashlib.sha256(content).hexdigest()
        about = About(digest=digest, notes=tuple(notes), pixels=_pixels_digest(_with_alpha(rgb, mask)))
    return _reference(rgb, mask, path, about)


class About(Value):
    """What a reference's PNG says about where it came from."""

    digest: str
    notes: tuple[str, ...]
    pixels: str
    """Digest of its own pixels: a PNG that was edited since is a picture like any other."""


_ABOUT = "seig-reference"
"""Name of the PNG's text that holds it."""


def _own_words(image: Image.Image) -> About | None:
    """Only of a picture that was written as a reference and not touched since."""
    try:
        about = About.model_validate_json(image.info[_ABOUT])
    except (KeyError, ValueError):
        return None
    return about if about.pixels == _pixels_digest(np.asarray(image)) else None


def _pixels_digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _reference(rgb: Rgb, mask: Mask | None, path: Path, about: About) -> Reference:
    rgb.setflags(write=False)
    if mask is not None:
        mask.setflags(write=False)
    return Reference(
        rgb=rgb,
        mask=mask,
        kind="full" if mask is None else "cutout",
        png=encode_png(rgb, mask, {_ABOUT: about.model_dump_json()}),
        width_px=rgb.shape[1],
        height_px=rgb.shape[0],
        source=path,
        digest=about.digest,
        notes=about.notes,
    )


def encode_png(rgb: Rgb, mask: Mask | None = None, texts: Mapping[str, str] = {}) -> bytes:
    """The same bytes for the same pixels and texts."""
    buffer, info = io.BytesIO(), PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    image = Image.fromarray(np.ascontiguousarray(_with_alpha(rgb, mask)))
    image.save(buffer, "PNG", compress_level=6, pnginfo=info)
    return buffer.getvalue()


def _with_alpha(rgb: Rgb, mask: Mask | None) -> Rgb:
    return rgb if mask is None else np.dstack([rgb, np.where(mask, 255, 0).astype(np.uint8)])


# ── cut-out or full ───────────────────────────────────────────────────────────────────────────────────────────────────
def _pixels(image: Image.Image) -> tuple[Rgb, NDArray[np.uint8] | None]:
    """Colours as they are, and alpha where there is any transparency."""
    pixels = np.asarray(image)
    transparent = image.mode == "RGBA" and pixels[..., 3].min() < 255
    return np.array(pixels[..., :3]), pixels[..., 3] if transparent else None


def _laid_on_white(image: Image.Image, notes: list[str]) -> tuple[Rgb, NDArray[np.uint8] | None]:
    rgb, alpha = _pixels(image)
    if alpha is None:
        return rgb, None
    notes.append("its transparency is laid on white")
    share = alpha[..., None].astype(np.float64) / 255.0
    return np.rint(rgb * share + 255.0 * (1.0 - share)).astype(np.uint8), alpha


def _mask_from_alpha(alpha: NDArray[np.uint8], notes: list[str]) -> Mask | None:
    mask = alpha > 127
    if _is_cutout(mask):
        return mask
    notes.append("its transparency shows no object and is not taken for a cut-out")
    return None


def _mask_from_white(rgb: Rgb, notes: list[str]) -> Mask | None:
    """What is not plain white connected with the border, if the border is plain white."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    white = np.median(border, axis=0)
    near = np.abs(rgb - white).max(axis=2) <= WHITE_TOLERANCE
    on_border = np.concatenate([near[0], near[-1], near[:, 0], near[:, -1]])
    if white.min() < WHITE_LEVEL or on_border.mean() < 0.8:
        return None
    mask = _without_specks(~_connected_with_border(near))
    if not _is_cutout(mask):
        return None
    notes.append("plain white background: taken for a cut-out")
    return mask


def _connected_with_border(near: Mask) -> Mask:
    labels, _ = ndimage.label(near)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.isin(labels, touching[touching > 0])


def _without_specks(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= max(2, mask.size // 20_000)
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _is_cutout(mask: Mask) -> bool:
    return LEAST_SHARE <= float(mask.mean()) <= 1.0 - LEAST_SHARE
