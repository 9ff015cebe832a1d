"""Owns the pictures made to be looked at: reference, render and difference side by side, and sheets of candidates."""

from __future__ import annotations

import io
from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agent.evaluation.alignment import reference_side, render_side
from agent.picture import Reference, Rgb

LEAST_PANEL_PX = 256
GAP_PX = 8
LABEL_PX = 24
PAPER, INK = (236, 236, 236), (24, 24, 24)


def comparison_png(reference: Reference, render_png: bytes) -> bytes:
    """Reference | render | difference, labelled, each as high as the others."""
    render = render_side(reference, render_png)
    target = reference_side(reference, render.rgb.shape[1], render.rgb.shape[0])
    difference = np.abs(target.rgb.astype(np.int16) - render.rgb.astype(np.int16)).astype(np.uint8)
    size = reference.frame(max(LEAST_PANEL_PX, *render.rgb.shape[:2]))
    panels = [
        ("reference", _panel(reference.rgb, size)),
        ("render", _panel(render.rgb, size)),
        ("difference (black: none)", _panel(difference, size)),
    ]
    return _sheet(panels, columns=3)


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


def _panel(rgb: Rgb, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(rgb))
    shrinks = image.width > size[0] or image.height > size[1]
    tiny = max(image.size) * 4 <= max(size)
    method = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST if tiny else Image.Resampling.BILINEAR
    return image if image.size == size else image.resize(size, method)


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
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _fitting(
    label: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """As much of a label as fits above its picture."""
    while len(label) > 1 and draw.textlength(label, font=font) > width:
        label = label[:-1].rstrip(" (:")
    return label
