"""The pictures made to be looked at show what they say, whatever the size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agent.evaluation.comparison import (
    EDGE,
    GAP_PX,
    INK,
    LABEL_PX,
    RULER_PX,
    candidate_labels,
    comparison_png,
    contact_sheet_png,
    difference_png,
    overlay_png,
    region_png,
)
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


def halves(size: tuple[int, int], left: tuple[int, int, int], right: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def test_a_region_shows_that_part_of_both_and_nothing_else(tmp_path: Path) -> None:
    halves((200, 100), RED, BLUE).save(tmp_path / "p.png")
    reference, render = read_reference(tmp_path / "p.png"), io.BytesIO()
    halves((400, 200), BLUE, RED).save(render, "PNG")
    for region, colors in (((0.0, 0.0, 0.5, 1.0), (RED, BLUE)), ((0.5, 0.25, 0.75, 0.75), (BLUE, RED))):
        sheet = np.asarray(opened(comparison_png(reference, render.getvalue(), region)))
        size = (sheet.shape[1] - 4 * GAP_PX) // 3
        for panel, color in enumerate((*colors, (190, 10, 200))):
            left = GAP_PX + panel * (size + GAP_PX)
            inside = sheet[GAP_PX + LABEL_PX + 4 : -GAP_PX - 4, left + 4 : left + size - 4]
            assert (inside == color).all()


def test_a_region_takes_the_references_own_pixels(tmp_path: Path) -> None:
    """Not those of a reference that was first brought to the render's size."""
    fine = np.zeros((256, 256, 3), dtype=np.uint8)
    fine[:, ::2] = 255
    Image.fromarray(fine).save(tmp_path / "p.png")
    sheet = opened(comparison_png(read_reference(tmp_path / "p.png"), plain((64, 64), RED), (0.0, 0.0, 0.25, 0.25)))
    row = np.asarray(sheet)[GAP_PX + LABEL_PX + 100, GAP_PX : GAP_PX + 256, 0].astype(int)
    assert np.count_nonzero(np.diff(np.sign(row - 127)) != 0) == 63  # 64 stripes, where the render has 16 pixels


def test_an_overlay_blends_both_and_draws_the_references_edges(tmp_path: Path) -> None:
    halves((128, 128), RED, BLUE).save(tmp_path / "p.png")
    blend = opened(overlay_png(read_reference(tmp_path / "p.png"), plain((128, 128), BLUE)))
    assert blend.size == (512 + 2 * GAP_PX, 512 + LABEL_PX + 2 * GAP_PX)
    row = np.asarray(blend)[GAP_PX + LABEL_PX + 256, GAP_PX : GAP_PX + 512]
    assert tuple(row[100]) == (105, 25, 120) and tuple(row[400]) == BLUE
    assert np.flatnonzero((row == EDGE).all(axis=1)) == pytest.approx(256, abs=2)


def test_a_difference_stands_alone(tmp_path: Path) -> None:
    alone = opened(difference_png(reference_of(tmp_path, (64, 32)), plain((64, 32), BLUE)))
    assert alone.size == (512 + 2 * GAP_PX, 256 + LABEL_PX + 2 * GAP_PX)
    assert alone.getpixel((256, 128)) == (190, 10, 200)


@pytest.mark.parametrize("draw", [comparison_png, overlay_png, difference_png])
def test_a_region_smaller_than_a_pixel_is_one(tmp_path: Path, draw) -> None:  # type: ignore[no-untyped-def]
    region = (0.999, 0.0, 1.0, 0.001)
    assert opened(draw(reference_of(tmp_path, (8, 8)), plain((8, 8), BLUE), region)).width > 256


def test_transparent_renders_are_shown_on_white(tmp_path: Path) -> None:
    sheet = opened(comparison_png(reference_of(tmp_path, (256, 256)), plain((256, 256), (0, 0, 0, 0))))
    assert sheet.getpixel((GAP_PX + 256 + GAP_PX + 128, 150)) == (255, 255, 255)


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    reference, render = reference_of(tmp_path, (100, 80)), plain((100, 80), BLUE)
    assert comparison_png(reference, render) == comparison_png(reference, render)


def test_a_region_of_the_reference_is_enlarged_between_rulers_in_fractions_of_the_picture(tmp_path: Path) -> None:
    halves((200, 100), RED, BLUE).save(tmp_path / "p.png")
    sheet = np.asarray(opened(region_png(read_reference(tmp_path / "p.png"), (0.4, 0.0, 0.65, 0.25), 400)))
    assert sheet.shape[:2] == (200 + RULER_PX + GAP_PX, 400 + RULER_PX + GAP_PX)
    shown = sheet[RULER_PX:-GAP_PX, RULER_PX:-GAP_PX]
    assert (shown[:, :130] == RED).all() and (shown[:, 190:] == BLUE).all()  # 0.5 lies at 160
    ticks = [np.flatnonzero((line == INK).all(axis=1)) for line in (sheet[RULER_PX - 3], sheet[:, RULER_PX - 3])]
    assert (ticks[0] - RULER_PX).tolist() == [0, 80, 160, 240, 320, 399]  # 0.4, 0.45, … 0.65
    assert (ticks[1] - RULER_PX).tolist() == [0, 80, 160]  # 0, 0.1, 0.2


@pytest.mark.parametrize("size", [(1, 1), (512, 1), (3, 640)])
def test_any_region_of_any_picture_is_shown(tmp_path: Path, size: tuple[int, int]) -> None:
    reference = reference_of(tmp_path, size)
    for region in ((0.0, 0.0, 1.0, 1.0), (0.98, 0.98, 1.0, 1.0), (0.0, 0.4, 1.0, 0.42)):
        assert max(opened(region_png(reference, region, 64)).size) == 64 + RULER_PX + GAP_PX


def test_a_contact_sheet_shows_the_candidates_in_the_order_given(tmp_path: Path) -> None:
    candidates = [plain((64, 64), (i * 20, 0, 0)) for i in range(1, 6)]
    sheet = opened(contact_sheet_png(candidates, reference_of(tmp_path, (64, 64)), panel_px=100))
    cells = [sheet.getpixel((GAP_PX + 50 + i % 3 * 108, GAP_PX + LABEL_PX + 50 + i // 3 * 132)) for i in range(6)]
    assert cells == [RED, *((i * 20, 0, 0) for i in range(1, 6))]


def test_labels_go_on_after_z() -> None:
    labels = candidate_labels(28)
    assert labels[:2] == ("A", "B") and labels[25:] == ("Z", "AA", "AB") and len(set(labels)) == 28
