"""What the metrics without weights say of pictures whose figures are known."""

import math
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage.metrics import structural_similarity

from agent.evaluation.canvas import Canvas, Drawn
from agent.evaluation.measures import ssim
from agent.evaluation.score import Unavailable, Weights
from agent.evaluation.weight_free import MOST_STOPS, weight_free
from agent.picture import Reference

SIZE_PX = 128
NAMES = tuple(one.facts.name for one in weight_free(SIZE_PX))


def reference(rgb, mask=None, kind=None):
    kind = kind or ("full" if mask is None else "cutout")
    facts = {"png": b"", "source": None, "digest": "", "notes": ()}
    return Reference(rgb=rgb, mask=mask, kind=kind, width_px=rgb.shape[1], height_px=rgb.shape[0], **facts)


def value(name, canvas, drawn):
    metric = next(one for one in weight_free(SIZE_PX) if one.facts.name == name)
    return metric.load(Weights(None))(canvas.pair(drawn))


def square(left=40, size=48, level=60):
    """A dark square on white, and where it is."""
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.bool_)
    mask[40 : 40 + size, left : left + size] = True
    return np.where(mask[..., None], level, 255).astype(np.uint8).repeat(3, axis=2), mask


CUTOUT = Canvas(reference(*square()), SIZE_PX)


@pytest.mark.parametrize(
    ("name", "best"),
    [("psnr_db", 99.0), ("ssim", 1.0), ("iou", 1.0), ("boundary_px", 0.0), ("edge_px", 0.0),
     ("luminance_stops", 0.0), ("color_de00", 0.0)],
)  # fmt: skip
def test_equal_pictures_have_the_best_value(name, best):
    assert value(name, CUTOUT, Drawn(*square())) == pytest.approx(best, abs=1e-6)


def test_the_names_are_those_that_tables_use_and_each_says_what_it_is():
    assert len(set(NAMES)) == len(NAMES) == 8
    for one in weight_free(SIZE_PX):
        assert one.facts.variant and one.facts.size and one.facts.background and one.facts.worst is not None


@pytest.mark.parametrize("sigma", [2.0, 8.0, 20.0])
def test_noise_of_a_known_level_has_the_psnr_that_follows_from_it(sigma):
    grey = np.full((SIZE_PX, SIZE_PX, 3), 128, dtype=np.uint8)
    noise = np.random.default_rng(1).normal(0.0, sigma, grey.shape)
    noisy = np.rint(grey + noise).clip(0, 255).astype(np.uint8)
    expected = 20 * math.log10(255 / math.sqrt(sigma**2 + 1 / 12))  # rounding is noise too
    assert value("psnr_db", Canvas(reference(grey), SIZE_PX), Drawn(noisy, None)) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("shape", [(64, 48), (11, 200), (5, 7)])
def test_ssim_is_scikit_images_own_with_the_stated_settings(shape):
    random = np.random.default_rng(0)
    first = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
    second = np.clip(first + random.normal(0, 30, first.shape), 0, 255).astype(np.uint8)
    padding = [(0, max(0, 11 - side)) for side in shape] + [(0, 0)]
    expected = structural_similarity(
        *(np.pad(one, padding, mode="symmetric") for one in (first, second)),
        data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert ssim(first, second) == pytest.approx(expected, abs=1e-6)
    assert ssim(second, first) == ssim(first, second)


def test_a_shifted_square_has_the_iou_and_the_distance_of_its_shift():
    drawn = Drawn(*square(left=48))
    assert value("iou", CUTOUT, drawn) == pytest.approx(40 / 56, abs=1e-6)
    assert 2.0 < value("boundary_px", CUTOUT, drawn) < 8.0, "two of four sides lie 8 px away"
    assert value("boundary_px", CUTOUT, drawn) < value("boundary_px", CUTOUT, Drawn(*square(left=60)))
    assert value("luminance_stops", CUTOUT, drawn) == pytest.approx(0.0, abs=1e-6)


def test_half_the_light_is_one_stop():
    dark = np.full((SIZE_PX, SIZE_PX, 3), 128, dtype=np.uint8)
    linear = ((128 / 255 + 0.055) / 1.055) ** 2.4
    bright = np.full_like(dark, round(255 * (1.055 * (2 * linear) ** (1 / 2.4) - 0.055)))
    assert value("luminance_stops", Canvas(reference(bright), SIZE_PX), Drawn(dark, None)) == pytest.approx(1, abs=0.01)
    assert value("luminance_stops", Canvas(reference(dark), SIZE_PX), Drawn(bright, None)) == pytest.approx(1, abs=0.01)


def test_a_colour_difference_is_the_known_one_of_its_pair():
    red, green = (np.full((SIZE_PX, SIZE_PX, 3), colour, dtype=np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    assert value("color_de00", Canvas(reference(red), SIZE_PX), Drawn(green, None)) == pytest.approx(86.6, abs=0.1)


def test_blur_costs_more_the_wider_it_is():
    rgb, mask = square()
    blurred = [np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(width))) for width in (1, 3, 8)]
    for name in ("psnr_db", "ssim"):
        figures = [value(name, CUTOUT, Drawn(one, mask)) for one in blurred]
        assert figures == sorted(figures, reverse=True) and figures[0] > figures[2]


def test_a_render_that_shows_nothing_scores_like_nothing():
    white, empty = np.full((SIZE_PX, SIZE_PX, 3), 255, dtype=np.uint8), np.zeros((SIZE_PX, SIZE_PX), dtype=np.bool_)
    nothing = Drawn(white, empty)
    assert value("iou", CUTOUT, nothing) == 0.0
    assert value("boundary_px", CUTOUT, nothing) == pytest.approx(math.hypot(SIZE_PX, SIZE_PX), abs=1e-3)
    assert value("luminance_stops", CUTOUT, nothing) == MOST_STOPS
    assert value("color_de00", CUTOUT, nothing) > 50
    assert value("psnr_db", CUTOUT, nothing) < 15


def test_silhouettes_of_pictures_without_any_are_not_measured_but_told():
    full = Canvas(reference(square()[0]), SIZE_PX)
    for name in ("iou", "boundary_px"):
        with pytest.raises(Unavailable, match="silhouette"):
            value(name, full, Drawn(square()[0], None))


def test_a_full_picture_has_no_silhouette_whatever_is_drawn_for_it():
    """One column holds one definition: a render of a full picture is opaque, a trivial answer may not be."""
    rgb, mask = square()
    masked = Canvas(reference(rgb, mask, kind="full"), SIZE_PX)
    for drawn in (Drawn(rgb, None), Drawn(rgb, mask)):
        with pytest.raises(Unavailable):
            value("iou", masked, drawn)


def test_flip_without_its_package_is_unavailable_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(Unavailable, match="make evaluate"):
        value("flip", CUTOUT, Drawn(*square()))


def test_flip_is_that_of_its_own_package():
    from flip_evaluator import evaluate

    rgb, mask = square(left=48)
    own = value("flip", CUTOUT, Drawn(rgb, mask))
    first, second = ((one / 255.0).astype(np.float32) for one in (square()[0], rgb))
    assert own == pytest.approx(evaluate(first, second, "LDR", applyMagma=False)[1], abs=1e-6)
    assert value("flip", CUTOUT, Drawn(*square())) == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < own < 1.0
