"""The pictures made to be looked at show what they say, whatever the size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agent.evaluation.comparison import GAP_PX, LABEL_PX, candidate_labels, comparison_png, contact_sheet_png
from agent.picture import Reference, read_reference

RED, BLUE = (200, 30, 20), (10, 20, 220)


def reference_of(tmp_path: Path, size: tuple[int, int]) -> Reference:
    Image.new("RGB", size, RED).save(tmp_path / "p.png")
    return read_reference(tmp_path / "p.png")


def plain(size: tuple[int, int], color: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def test_a_comparison_shows_reference_render_and_difference_in_panels_of_one_size(tmp_path: Path) -> None:
    sheet = opened(comparison_png(reference_of(tmp_path, (256, 128)), plain((256, 128), BLUE)))
    assert sheet.size == (3 * 256 + 4 * GAP_PX, 128 + LABEL_PX + 2 * GAP_PX)
    middle = GAP_PX + LABEL_PX + 64
    seen = [sheet.getpixel((GAP_PX + 128 + i * (256 + GAP_PX), middle)) for i in range(3)]
    assert seen == [RED, BLUE, (190, 10, 200)]


def test_labels_are_written_above_the_panels(tmp_path: Path) -> None:
    sheet = np.asarray(opened(comparison_png(reference_of(tmp_path, (256, 256)), plain((256, 256), RED))))
    for panel in range(3):
        left = GAP_PX + panel * (256 + GAP_PX)
        assert sheet[GAP_PX : GAP_PX + LABEL_PX, left : left + 60].min() < 100


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (512, 1), (1, 512), (640, 480)])
def test_any_size_gives_a_comparison(tmp_path: Path, size: tuple[int, int]) -> None:
    reference = reference_of(tmp_path, size)
    sheet = opened(comparison_png(reference, plain(reference.frame(64), BLUE)))
    assert sheet.width > 30 and sheet.height > LABEL_PX


def test_transparent_renders_are_shown_on_white(tmp_path: Path) -> None:
    sheet = opened(comparison_png(reference_of(tmp_path, (256, 256)), plain((256, 256), (0, 0, 0, 0))))
    assert sheet.getpixel((GAP_PX + 256 + GAP_PX + 128, 150)) == (255, 255, 255)


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    reference, render = reference_of(tmp_path, (100, 80)), plain((100, 80), BLUE)
    assert comparison_png(reference, render) == comparison_png(reference, render)


def test_a_contact_sheet_shows_the_candidates_in_the_order_given(tmp_path: Path) -> None:
    candidates = [plain((64, 64), (i * 20, 0, 0)) for i in range(1, 6)]
    sheet = opened(contact_sheet_png(candidates, reference_of(tmp_path, (64, 64)), panel_px=100))
    cells = [sheet.getpixel((GAP_PX + 50 + i % 3 * 108, GAP_PX + LABEL_PX + 50 + i // 3 * 132)) for i in range(6)]
    assert cells == [RED, *((i * 20, 0, 0) for i in range(1, 6))]


def test_labels_go_on_after_z() -> None:
    labels = candidate_labels(28)
    assert labels[:2] == ("A", "B") and labels[25:] == ("Z", "AA", "AB") and len(set(labels)) == 28
