"""Pictures of any size, aspect, mode and alpha become pairs of one size on white; what is no picture is refused."""

import numpy as np
import pytest
from evaluated_runs import draw_picture
from PIL import Image

from agent.errors import InputUnreadable
from agent.evaluation.canvas import Canvas, read_drawn
from agent.picture import read_reference


@pytest.fixture
def canvas(tmp_path):
    return Canvas(read_reference(draw_picture(tmp_path / "reference.png"), 120), 120)


def drawn(tmp_path, image, name="render.png"):
    image.save(tmp_path / name)
    return read_drawn(tmp_path / name)


def test_both_sides_have_the_evaluations_size_whatever_the_references(canvas):
    assert (canvas.width_px, canvas.height_px) == (120, 80), "96 × 64, enlarged"


@pytest.mark.parametrize("size", [(24, 16), (96, 64), (333, 222), (4, 3)])
def test_a_render_of_another_size_is_brought_to_it(canvas, tmp_path, size):
    shown = drawn(tmp_path, Image.new("RGBA", size, (10, 20, 30, 255)))
    pair = canvas.pair(shown)
    assert pair.render.rgb.shape == pair.reference.rgb.shape == (80, 120, 3)
    assert (pair.render.rgb == (10, 20, 30)).all()
    assert not any("aspect" in note for note in canvas.notes_on(shown))


def test_another_aspect_is_stretched_and_told(canvas, tmp_path):
    shown = drawn(tmp_path, Image.new("RGBA", (64, 64), (10, 20, 30, 255)))
    assert canvas.pair(shown).render.rgb.shape == (80, 120, 3)
    assert any("another aspect, 64 × 64 px, and is stretched" in note for note in canvas.notes_on(shown))


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_any_mode_of_a_picture_is_read(canvas, tmp_path, mode):
    name = "render.tif" if mode == "CMYK" else "render.png"
    image = Image.new("I;16", (96, 64), 65535) if mode == "I;16" else Image.new("RGB", (96, 64), "white").convert(mode)
    assert (canvas.pair(drawn(tmp_path, image, name)).render.rgb == 255).all()


def test_alpha_is_laid_on_white_and_is_the_silhouette(canvas, tmp_path):
    image = Image.new("RGBA", (96, 64), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 48, 64))
    image.paste((0, 0, 0, 51), (48, 0, 72, 64))
    pair = canvas.pair(drawn(tmp_path, image))
    assert (pair.render.rgb[:, :60] == 0).all() and (pair.render.rgb[:, 60:90] == 204).all()
    assert (pair.render.rgb[:, 90:] == 255).all()
    assert pair.has_masks and pair.render.mask[:, :60].all() and not pair.render.mask[:, 60:].any()


def test_what_is_odd_about_a_render_is_told(canvas, tmp_path):
    notes = canvas.notes_on(drawn(tmp_path, Image.new("RGBA", (96, 64), (0, 0, 0, 0))))
    assert any("transparent everywhere" in note for note in notes)
    notes = canvas.notes_on(drawn(tmp_path, Image.new("RGB", (96, 64), "red")))
    assert any("one colour everywhere" in note for note in notes)
    assert any("is opaque" in note for note in notes)
    assert any("reference is enlarged from 96 px" in note for note in notes)


def test_a_missing_an_empty_and_a_broken_render_are_unreadable(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    for name in ("missing.png", "empty.png", "broken.png"):
        with pytest.raises(InputUnreadable, match=name):
            read_drawn(tmp_path / name)


def test_values_that_are_no_numbers_are_no_render(tmp_path):
    values = np.full((64, 96), 0.5, dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "fine.tif")
    assert read_drawn(tmp_path / "fine.tif").rgb.max() == 128
    values[3, 4] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    with pytest.raises(InputUnreadable, match="no numbers"):
        read_drawn(tmp_path / "nan.tif")
