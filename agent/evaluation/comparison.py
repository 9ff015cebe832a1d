"""Owns the pictures made to be looked at: comparisons of reference and render, whole or of a region, regions of the
reference alone, and sheets of candidates.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agent.evaluation.alignment import WHOLE, Box, Side, both_sides, pixels_of, render_side
from agent.evaluation.measures import edges_of
from agent.picture import SMALLEST_RENDER_PX, Reference, Rgb
from agent.picture_file import fitted

LEAST_PANEL_PX = 256
LEAST_SINGLE_PX = 512
"""Of a picture that stands alone."""
GAP_PX = 8
LABEL_PX = 24
RULER_PX = 44
TICK_PX = 6
MOST_TICKS = 10
"""Along one side."""
PAPER, INK, EDGE = (236, 236, 236), (24, 24, 24), (255, 0, 255)


def comparison_png(reference: Reference, render_png: bytes, region: Box = WHOLE) -> bytes:
    """Reference | render | difference, labelled, each as high as the others."""
    target, render = both_sides(reference, render_png, region)
    size = _size(render, LEAST_PANEL_PX)
    panels = [
        ("reference", _reference_panel(reference, render_png, region, size)),
        ("render", _panel(render.rgb, size)),
        ("difference (black: none)", _panel(_difference(target, render), size)),
    ]
    return _sheet(panels, columns=3)


def overlay_png(reference: Reference, render_png: bytes, region: Box = WHOLE) -> bytes:
    """Reference and render in one, half and half, with the reference's edges drawn over them."""
    render = render_side(reference, render_png, region)
    size = _size(render, LEAST_SINGLE_PX)
    wanted, shown = _reference_panel(reference, render_png, region, size), _panel(render.rgb, size)
    blend = np.array(Image.blend(wanted, shown, 0.5))
    blend[edges_of(np.asarray(wanted))] = EDGE
    return _sheet([("half reference, half render; magenta: the reference's edges", Image.fromarray(blend))], columns=1)


def difference_png(reference: Reference, render_png: bytes, region: Box = WHOLE) -> bytes:
    """The difference map alone, larger."""
    target, render = both_sides(reference, render_png, region)
    panel = _panel(_difference(target, render), _size(render, LEAST_SINGLE_PX))
    return _sheet([("difference (black: none)", panel)], columns=1)


def _difference(target: Side, render: Side) -> Rgb:
    return np.abs(target.rgb.astype(np.int16) - render.rgb.astype(np.int16)).astype(np.uint8)


def _size(side: Side, least_px: int) -> tuple[int, int]:
    """Width and height of a panel: the side's, enlarged where its longer one is shorter than `least_px`."""
    height_px, width_px = side.rgb.shape[:2]
    return fitted(width_px, height_px, max(least_px, width_px, height_px), SMALLEST_RENDER_PX, enlarge=True)


def _reference_panel(reference: Reference, render_png: bytes, region: Box, size: tuple[int, int]) -> Image.Image:
    """What the reference shows where the render's pixels of the region lie, from all the pixels that it has."""
    with Image.open(io.BytesIO(render_png)) as image:
        width_px, height_px = image.size
    rows, columns = pixels_of(region, width_px, height_px)
    box = (columns.start / width_px, rows.start / height_px, columns.stop / width_px, rows.stop / height_px)
    across, down = reference.width_px, reference.height_px
    return _panel(reference.rgb, size, (box[0] * across, box[1] * down, box[2] * across, box[3] * down))


def region_png(reference: Reference, region: Box, long_px: int) -> bytes:
    """A region of the reference, its longer side `long_px`, under and beside rulers in fractions of the picture."""
    across, down = reference.width_px, reference.height_px
    left, top, right, bottom = region
    box = (left * across, top * down, right * across, bottom * down)
    size = _fitted_box(box, long_px)
    picture = Image.fromarray(np.ascontiguousarray(reference.rgb)).resize(size, Image.Resampling.LANCZOS, box)
    sheet = Image.new("RGB", (size[0] + RULER_PX + GAP_PX, size[1] + RULER_PX + GAP_PX), PAPER)
    sheet.paste(picture, (RULER_PX, RULER_PX))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, label in _ticks(left, right, size[0]):
        draw.line((place, RULER_PX - TICK_PX, place, RULER_PX - 1), fill=INK)
        draw.text((place, RULER_PX - TICK_PX - 2), label, fill=INK, font=font, anchor="mb")
    for place, label in _ticks(top, bottom, size[1]):
        draw.line((RULER_PX - TICK_PX, place, RULER_PX - 1, place), fill=INK)
        draw.text((RULER_PX - TICK_PX - 2, place), label, fill=INK, font=font, anchor="rm")
    return _png(sheet)


def _fitted_box(box: Box, long_px: int) -> tuple[int, int]:
    """Width and height of what lies in a box of pixels, its longer side `long_px`."""
    scale = long_px / max(box[2] - box[0], box[3] - box[1])
    return max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale))


def _ticks(low: float, high: float, length_px: int) -> list[tuple[int, str]]:
    """(pixel of the sheet, fraction of the picture) along one side, at round numbers."""
    most = max(1, min(MOST_TICKS, length_px // RULER_PX))
    step = next((step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / step <= most), 0.5)
    numbers = range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)
    places = (round((number * step - low) / (high - low) * length_px) for number in numbers)
    return [
        (RULER_PX + min(length_px - 1, place), f"{number * step:.3g}")
        for number, place in zip(numbers, places, strict=True)
    ]


def contact_sheet_png(candidates: Sequence[bytes], reference: Reference, panel_px: int = 320) -> bytes:
    """The reference, then the candidates labelled A, B, C … in the order given."""
    size = reference.frame(panel_px)
    panels = [("reference", _panel(reference.rgb, size))]
    for label, png in zip(candidate_labels(len(candidates)), candidates, strict=True):
        panels.append((label, _panel(render_side(reference, png).rgb, size)))
    return _sheet(panels, columns=min(3, len(panels)))


def candidate_labels(count: int) -> tuple[str, ...]:
    """A … Z, then AA, AB …"""
    letters = ascii_uppercase
    return tuple(letters[i] if i < 26 else letters[i // 26 - 1] + letters[i % 26] for i in range(count))


def _panel(rgb: Rgb, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    """A picture, or what lies in a box of its pixels, at a panel's size."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    box = box or (0.0, 0.0, image.width, image.height)
    width, height = box[2] - box[0], box[3] - box[1]
    shrinks, tiny = width > size[0] or height > size[1], max(image.size) * 4 <= max(size)
    method = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST if tiny else Image.Resampling.BILINEAR
    return image if box == (0, 0, *size) else image.resize(size, method, box)


def _sheet(panels: Sequence[tuple[str, Image.Image]], columns: int) -> bytes:
    """A grid of pictures of one size, each under its label."""
    width, height = panels[0][1].size
    rows = -(-len(panels) // columns)
    cell_width, cell_height = width + GAP_PX, height + LABEL_PX + GAP_PX
    sheet = Image.new("RGB", (columns * cell_width + GAP_PX, rows * cell_height + GAP_PX), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for index, (label, picture) in enumerate(panels):
        left, top = GAP_PX + index % columns * cell_width, GAP_PX + index // columns * cell_height
        draw.text((left, top), _fitting(label, draw, font, width), fill=INK, font=font)
        sheet.paste(picture, (left, top + LABEL_PX))
    return _png(sheet)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _fitting(
    label: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """As much of a label as fits above its picture."""
    while len(label) > 1 and draw.textlength(label, font=font) > width:
        label = label[:-1].rstrip(" (:")
    return label
