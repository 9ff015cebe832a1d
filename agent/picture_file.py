"""Owns turning a picture file into upright 8 bit sRGB pixels of a bounded size, whatever its format and oddities.

Never executes anything (no EPS, no PDF) and never decodes more than a stated number of pixels. What is odd but can be
put right is put right and noted; what cannot ends in one `InputUnreadable`. What it shows is left to `picture.py`.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from agent.errors import InputUnreadable

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "ICO")
MAX_FILE_BYTES = 512 * 2**20
MAX_PIXELS = 200_000_000
"""Decoded at most: 800 MB for a moment. A baseline JPEG is decoded at a fraction of its size and counts as that."""
MAX_JPEG_PIXELS = 1_000_000_000

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError, OverflowError,
           IndexError, KeyError, TypeError)  # fmt: skip
"""What Pillow's decoders raise on broken content."""


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────
_EXPORT_AGAIN = "Open it in a picture program and export it again as PNG."


def _unreadable(path: Path, reason: str, remedy: str) -> InputUnreadable:
    return InputUnreadable(f"Cannot read the picture {path}: {reason}.", remedy)


def read_content(path: Path) -> bytes:
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


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels by the file's header alone, before it is turned upright. Raises `InputUnreadable`."""
    Image.init()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unreadable(path, "it is no regular file", "Give the path of one picture file.")
        with _own_pixel_limit(), Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            return image.size
    except UnidentifiedImageError as error:
        remedy = f"Give one of: {', '.join(FORMATS)}."
        raise _unreadable(path, "its content is no picture of a supported format", remedy) from error
    except _BROKEN as error:
        raise _unreadable(path, _first_line(error).lower(), "Check it, or copy it again.") from error


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
def decode(path: Path, content: bytes, target_px: int, notes: list[str]) -> Image.Image:
    """The picture in `content`, "RGB" or "RGBA", its longer side at most `target_px`; `path` names it in messages."""
    try:
        return _decoded(path, content, target_px, notes)
    except UnidentifiedImageError as error:
        raise _unreadable(path, _what_it_is(content), f"Give one of: {', '.join(FORMATS)}.") from error
    except _BROKEN as error:
        raise _unreadable(path, f"its content is broken or cut off ({_first_line(error)})", _EXPORT_AGAIN) from error


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
    rgb = _srgb(upright, profile, _stored_as(image, mode, content), notes)
    size = fitted(*rgb.size, target_px, 1)
    if (width, height) not in (size, size[::-1]):
        notes.append(f"scaled down from {width} × {height} to {size[0]} × {size[1]} px")
    return rgb if rgb.size == size else rgb.resize(size, Image.Resampling.HAMMING)


def _stored_as(image: Image.Image, mode: str, content: bytes) -> str:
    """The mode that the file has its pixels in: Pillow gives 16 bit colours as 8 bit, and all wide integers as "I"."""
    if image.format == "PNG":
        return f"{_PNG_MODES.get(content[25], mode)};16" if content[24] == 16 else mode
    if image.format == "TIFF":
        return f"{mode};16" if max(_tiff_bits(image), default=8) == 16 and mode in _PNG_MODES.values() else mode
    return "I;16" if mode == "I" else mode


_PNG_MODES = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}
"""By the number that a PNG has for its kind of colour."""


def _tiff_bits(image: Image.Image) -> set[int]:
    """Of each channel."""
    bits = getattr(image, "tag_v2", {}).get(258, ())
    return {bits} if isinstance(bits, int) else set(bits)


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
          "I": "32 bit grey, where 65,535 and more is white", "I;16": "16 bit grey", "I;16B": "16 bit grey",
          "I;16L": "16 bit grey", "L;16": "16 bit grey", "LA;16": "16 bit grey with alpha", "RGB;16": "16 bit RGB",
          "RGBA;16": "16 bit RGB with alpha"}  # fmt: skip


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


def fitted(width: int, height: int, long_px: int, least_px: int, enlarge: bool = False) -> tuple[int, int]:
    """Width and height with the longer side `long_px`, or as they are if smaller and not to be enlarged."""
    scale = long_px / max(width, height)
    if scale >= 1.0 and not enlarge:
        return width, height
    return max(least_px, round(width * scale)), max(least_px, round(height * scale))
