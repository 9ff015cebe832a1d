"""Owns reading the picture that a run reconstructs: any file a user may give becomes one small sRGB picture on white.

Never executes anything (no EPS, no PDF) and never decodes more than a stated number of pixels. What is odd about a file
but can be put right is put right and said in `notes`; what cannot ends in one `InputUnreadable`. Measuring and showing
the picture is left to `agent/evaluation/`.
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from scipy import ndimage

from agent.errors import InputUnreadable

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "ICO")
MAX_FILE_BYTES = 512 * 2**20
MAX_PIXELS = 200_000_000
"""Decoded at most: 800 MB for a moment. A baseline JPEG is decoded at a fraction of its size and counts as that."""
MAX_JPEG_PIXELS = 1_000_000_000
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

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError, OverflowError,
           IndexError, KeyError, TypeError)  # fmt: skip
"""What Pillow's decoders raise on broken content."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The picture to reconstruct, as every other part sees it."""

    rgb: Rgb
    """Height × width × 3, sRGB, laid on white, read-only."""
    mask: Mask | None
    """Of a cut-out: where its objects are."""
    kind: Literal["cutout", "full"]
    png: bytes
    """`rgb`; for a cut-out RGBA with the mask as alpha, so that either way of reading it shows the picture on white."""
    width_px: int
    height_px: int
    source: Path
    digest: str
    """SHA-256 of the source file's bytes."""
    notes: tuple[str, ...]
    """What was odd about the file and how it was read."""

    def frame(self, long_px: int) -> tuple[int, int]:
        """Width and height of a render with this picture's aspect."""
        return _fitted(self.width_px, self.height_px, long_px, SMALLEST_RENDER_PX, enlarge=True)


def read_reference(path: Path, target_px: int = 512) -> Reference:
    """Read a picture; its longer side becomes at most `target_px`. Raises `InputUnreadable`."""
    content = _content(path)
    notes: list[str] = []
    try:
        image = _decoded(path, content, target_px, notes)
    except UnidentifiedImageError as error:
        raise _unreadable(path, _what_it_is(content), f"Give one of: {', '.join(FORMATS)}.") from error
    except _BROKEN as error:
        raise _unreadable(path, f"its content is broken or cut off ({_first_line(error)})", _EXPORT_AGAIN) from error
    rgb, alpha = _laid_on_white(image, notes)
    mask = _mask_from_alpha(alpha, notes) if alpha is not None else None
    if mask is None:
        mask = _mask_from_white(rgb, notes)
    return _reference(rgb, mask, path, content, notes)


def _reference(rgb: Rgb, mask: Mask | None, path: Path, content: bytes, notes: list[str]) -> Reference:
    rgb.setflags(write=False)
    if mask is not None:
        mask.setflags(write=False)
    return Reference(
        rgb=rgb,
        mask=mask,
        kind="full" if mask is None else "cutout",
        png=encode_png(rgb, mask),
        width_px=rgb.shape[1],
        height_px=rgb.shape[0],
        source=path,
        digest=hashlib.sha256(content).hexdigest(),
        notes=tuple(notes),
    )


def encode_png(rgb: Rgb, mask: Mask | None = None) -> bytes:
    """The same bytes for the same pixels."""
    pixels = rgb if mask is None else np.dstack([rgb, np.where(mask, 255, 0).astype(np.uint8)])
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────
_EXPORT_AGAIN = "Open it in a picture program and export it again as PNG."


def _unreadable(path: Path, reason: str, remedy: str) -> InputUnreadable:
    return InputUnreadable(f"Cannot read the picture {path}: {reason}.", remedy)


def _content(path: Path) -> bytes:
    """The file's bytes, read once: what is digested is what is decoded."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is not a regular file"
            raise _unreadable(path, what, "Give the path of one picture file.")
        if status.st_size > MAX_FILE_BYTES:
            reason = f"it has {status.st_size:,} bytes, the limit is {MAX_FILE_BYTES:,}"
            raise _unreadable(path, reason, "Scale it down first.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file", "Check the path.") from error
    except PermissionError as error:
        raise _unreadable(path, "permission denied", "Make it readable, for example with chmod +r.") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, _first_line(error), "Check the path.") from error
    if not content:
        raise _unreadable(path, "the file is empty", "Copy or download it again.")
    return content


_MAGIC = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an SVG drawing or another XML document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"8BPS", "a Photoshop document"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"BLENDER", "a Blender file"),
    (b"PK\x03\x04", "a zip archive"),
)


def _what_it_is(content: bytes) -> str:
    head = content[:512]
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "it is a HEIC picture, which is not supported"
    for magic, name in _MAGIC:
        if head.lstrip().startswith(magic):
            return f"it is {name}, not a supported picture"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "it holds text, not a picture"
    return "its content is no picture of a supported format, whatever its name says"


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200].rstrip(".")


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@contextmanager
def _own_pixel_limit() -> Iterator[None]:
    """Pillow's own limit refuses by a count that it cannot explain; ours is checked before anything is decoded."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decoded(path: Path, content: bytes, target_px: int, notes: list[str]) -> Image.Image:
    """The upright sRGB picture, "RGB" or "RGBA", no longer than `target_px`."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _own_pixel_limit(), Image.open(io.BytesIO(content), formats=formats) as image:
        width, height = image.size
        _check_pixels(path, image, target_px)
        _note_frames(image, notes)
        image.load()
        profile, mode = image.info.get("icc_profile"), image.mode
        upright = _upright(_reduced(image, target_px), image, notes)
    rgb = _srgb(upright, profile, mode, notes)
    size = _fitted(*rgb.size, target_px, 1)
    if (width, height) not in (size, size[::-1]):
        notes.append(f"scaled down from {width} × {height} to {size[0]} × {size[1]} px")
    return rgb if rgb.size == size else rgb.resize(size, Image.Resampling.HAMMING)


def _check_pixels(path: Path, image: Image.Image, target_px: int) -> None:
    """Refuse a decompression bomb by its header; let a baseline JPEG be decoded at a fraction of its size."""
    width, height = image.size
    limit = MAX_PIXELS
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        image.draft(None, (2 * target_px, 2 * target_px))
        limit = MAX_JPEG_PIXELS if image.width * image.height <= MAX_PIXELS else MAX_PIXELS
    if width * height > limit:
        reason = f"it is {width:,} × {height:,} px, more than the limit of {limit:,} pixels"
        raise _unreadable(path, reason, "Scale it down first.")


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    """The first frame is what was opened."""
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} {'pages' if image.format == 'TIFF' else 'frames'}")


def _reduced(image: Image.Image, target_px: int) -> Image.Image:
    """A plain 8 bit picture under four times `target_px` long, made in bands: a second full copy never exists."""
    factor = max(1, max(image.size) // (2 * target_px))
    if factor == 1:
        return _eight_bit(image)
    rows = factor * max(1, 2**22 // (image.width * factor))
    bands = [
        _eight_bit(image.crop((0, top, image.width, min(top + rows, image.height)))).reduce(factor)
        for top in range(0, image.height, rows)
    ]
    whole = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    for index, band in enumerate(bands):
        whole.paste(band, (0, index * bands[0].height))
    return whole


def _eight_bit(image: Image.Image) -> Image.Image:
    """Mode L, CMYK, RGB or RGBA."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_levels(np.asarray(image)))
    if image.mode in ("L", "RGB", "CMYK", "RGBA") and "transparency" not in image.info:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "L" if image.mode == "1" else "RGB")


def _levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """16 bit integers by their full range; floats as 0…1."""
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=1e30, neginf=0.0)
    scale = 255.0 if values.dtype.kind == "f" else 255.0 / 65535.0
    levels: NDArray[np.uint8] = np.clip(numbers * scale + 0.5, 0, 255).astype(np.uint8)
    return levels


def _upright(image: Image.Image, source: Image.Image, notes: list[str]) -> Image.Image:
    """Turned as the EXIF orientation of `source` says."""
    try:
        orientation = source.getexif().get(0x0112, 1)
    except _BROKEN:
        notes.append("its EXIF data is broken and was ignored")
        return image
    method = _TURNS.get(orientation)
    if method is None:
        return image
    notes.append("turned upright as its EXIF data says")
    return image.transpose(method)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _srgb(image: Image.Image, profile: bytes | None, mode: str, notes: list[str]) -> Image.Image:
    """Mode RGB or RGBA in sRGB, through the embedded ICC profile where it has one that fits."""
    if mode not in ("RGB", "RGBA", "L", "P"):
        notes.append(f"converted from {_MODES.get(mode, mode)}")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    color = image.convert("RGB") if alpha is not None else image
    color = _through_profile(color, profile, notes) if profile else color
    color = color.convert("RGB")
    if alpha is not None:
        color.putalpha(alpha)
    return color


_MODES = {"CMYK": "CMYK", "LA": "grey with alpha", "PA": "palette with alpha", "1": "1 bit", "F": "floating point",
          "I": "16 bit grey", "I;16": "16 bit grey", "I;16B": "16 bit grey", "I;16L": "16 bit grey"}  # fmt: skip


def _through_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        if "srgb" in name.lower():
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (*_BROKEN, ImageCms.PyCMSError):
        notes.append("its colour profile does not fit and was ignored")
        return image
    notes.append(f"converted to sRGB from the colour profile “{name[:60]}”")
    return converted or image


def _fitted(width: int, height: int, long_px: int, least_px: int, enlarge: bool = False) -> tuple[int, int]:
    scale = long_px / max(width, height)
    if scale >= 1.0 and not enlarge:
        return width, height
    return max(least_px, round(width * scale)), max(least_px, round(height * scale))


# ── cut-out or full ───────────────────────────────────────────────────────────────────────────────────────────────────
def _laid_on_white(image: Image.Image, notes: list[str]) -> tuple[Rgb, NDArray[np.uint8] | None]:
    pixels = np.asarray(image)
    if image.mode != "RGBA" or pixels[..., 3].min() == 255:
        return np.array(pixels[..., :3]), None
    notes.append("its transparency is laid on white")
    alpha = pixels[..., 3:].astype(np.float64) / 255.0
    return np.rint(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8), pixels[..., 3]


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
