"""The figures are exact where they can be computed by hand, finite everywhere, and order near before far."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from agent.evaluation.alignment import reference_side
from agent.evaluation.measures import (
    PSNR_CAP_DB,
    ObjectMeasures,
    flat_picture_psnr,
    measure,
    measure_objects,
    psnr_db,
    seen_box,
    ssim,
)
from agent.evaluation.metrics import Metrics, baseline, metrics_of
from agent.picture import Reference, encode_png, read_reference
from agent.scene_graph import SceneGraph, SceneNode
from agent.tools.hints import told_objects


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def ball(size: int = 128, center: tuple[float, float] = (0.5, 0.5), color: str = "#c83214") -> Image.Image:
    """A disc on a transparent ground."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    x, y, radius = center[0] * size, center[1] * size, size / 4
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return image


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    def read(image: Image.Image) -> Reference:
        image.save(tmp_path / "reference.png")
        return read_reference(tmp_path / "reference.png")

    return read


def test_equal_pictures_score_full_marks(read) -> None:  # type: ignore[no-untyped-def]
    measures = measure(read(ball()), png(ball()))
    assert (measures.psnr_db, measures.ssim, measures.iou, measures.edge_px) == (PSNR_CAP_DB, 1.0, 1.0, 0.0)
    assert measures.luminance_ratio == 1.0
    assert measures.mean_color_render == measures.mean_color_reference


def test_psnr_and_ssim_are_those_of_scikit_image(read) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(3)
    first = random.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    second = np.clip(first.astype(int) + random.integers(-40, 40, first.shape), 0, 255).astype(np.uint8)
    assert psnr_db(first, second) == pytest.approx(peak_signal_noise_ratio(first, second), abs=1e-5)
    expected = structural_similarity(
        first, second, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(first, second) == pytest.approx(expected, abs=1e-5)


def test_iou_is_that_of_the_silhouettes_and_none_for_a_full_picture(read) -> None:  # type: ignore[no-untyped-def]
    left = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    left.paste((200, 0, 0, 255), (0, 0, 60, 100))
    right = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    right.paste((0, 200, 0, 255), (40, 0, 100, 100))
    assert measure(read(left), png(right)).iou == pytest.approx(0.2)
    assert measure(read(Image.new("RGB", (100, 100), "navy")), png(right)).iou is None


def test_a_faint_silhouette_does_not_count(read) -> None:  # type: ignore[no-untyped-def]
    faint = ball()
    faint.putalpha(faint.getchannel("A").point(lambda level: min(level, 120)))
    assert measure(read(ball()), png(faint)).iou == 0.0


def test_edges_that_move_by_ten_pixels_are_about_that_far_apart(read) -> None:  # type: ignore[no-untyped-def]
    def bar(left: int) -> Image.Image:
        image = Image.new("RGB", (200, 200), "white")
        image.paste((20, 20, 20), (left, -10, left + 50, 210))
        return image

    assert measure(read(bar(70)), png(bar(80))).edge_px == pytest.approx(10.0, abs=1.5)


def test_an_empty_render_has_no_near_edges(read) -> None:  # type: ignore[no-untyped-def]
    empty = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    measures = measure(read(ball()), png(empty))
    assert (measures.iou, measures.luminance_ratio) == (0.0, 0.0)
    assert measures.edge_px == pytest.approx(math.hypot(64, 64), abs=1e-5)


def test_luminance_is_compared_in_linear_light_over_the_objects(read) -> None:  # type: ignore[no-untyped-def]
    measures = measure(read(ball(color="#bcbcbc")), png(ball(color="#898989")))
    assert measures.luminance_ratio == pytest.approx(0.5, abs=0.01)
    assert measures.mean_color_reference == pytest.approx((0.7373, 0.7373, 0.7373), abs=0.01)


def test_burnt_and_black_pixels_are_counted_where_objects_are(read) -> None:  # type: ignore[no-untyped-def]
    assert measure(read(ball()), png(ball(color="white"))).clipped_fraction == 1.0
    assert measure(read(ball()), png(ball(color="black"))).black_fraction == 1.0
    assert measure(read(ball()), png(ball())).clipped_fraction == 0.0
    assert measure(read(Image.new("RGB", (20, 20), "navy")), png(Image.new("RGB", (20, 20)))).black_fraction == 1.0


def test_the_reference_is_brought_to_the_renders_size_by_area(read) -> None:  # type: ignore[no-untyped-def]
    reference = read(Image.fromarray(np.array([[0, 0, 90, 90, 30, 30]], dtype=np.uint8).repeat(6, axis=0)))
    assert reference_side(reference, 3, 3).rgb[0, :, 0].tolist() == [0, 90, 30]
    assert reference_side(reference, 4, 2).rgb[0, :, 0].tolist() == [0, 60, 70, 30]
    assert reference_side(reference, 12, 6).rgb[0, ::2, 0].tolist() == [0, 0, 90, 90, 30, 30]


def test_a_small_render_is_measured_at_its_own_size(read) -> None:  # type: ignore[no-untyped-def]
    small = ball(size=128).resize((32, 32), Image.Resampling.BOX)
    assert measure(read(ball(size=128)), png(small)).psnr_db > 28


def test_nearer_pictures_score_better_in_every_figure(read) -> None:  # type: ignore[no-untyped-def]
    reference = read(ball())
    near, far = (measure(reference, png(ball(center=(0.5 + shift, 0.5)))) for shift in (0.02, 0.2))
    assert near.psnr_db > far.psnr_db and near.ssim > far.ssim and near.edge_px < far.edge_px
    assert (near.iou or 0) > (far.iou or 0)
    blurred, more = (measure(reference, png(ball().filter(ImageFilter.GaussianBlur(r)))) for r in (1, 6))
    assert blurred.psnr_db > more.psnr_db and blurred.ssim > more.ssim


sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
noise = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(reference_size=sizes, render_size=sizes, seed=noise, alpha=st.booleans())
def test_every_pair_of_pictures_gives_finite_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    reference_size: tuple[int, int],
    render_size: tuple[int, int],
    seed: int,
    alpha: bool,
) -> None:
    random = np.random.default_rng(seed)

    def picture(size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(random.integers(0, 256, (size[1], size[0], 4 if alpha else 3), dtype=np.uint8))

    path = tmp_path_factory.mktemp("picture") / "p.png"
    picture(reference_size).save(path)
    reference, render = read_reference(path), png(picture(render_size))
    measures = measure(reference, render)
    assert json.loads(json.dumps(measures.model_dump(), allow_nan=False)) == json.loads(measures.model_dump_json())
    assert json.dumps(baseline(reference).model_dump(), allow_nan=False)


# ── objects ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def ids_png(ids: np.ndarray) -> bytes:
    return encode_png(np.dstack([ids % 256, ids // 256 % 256, ids // 65536]).astype(np.uint8))


def test_objects_are_measured_where_they_are_seen(read) -> None:  # type: ignore[no-untyped-def]
    reference = Image.new("RGB", (100, 50), "black")
    reference.paste((200, 0, 0), (0, 0, 50, 50))
    render = Image.new("RGB", (100, 50), "black")
    render.paste((100, 0, 0), (0, 0, 50, 50))
    ids = np.zeros((50, 100), dtype=int)
    ids[:, :40], ids[10:20, 60:80] = 1, 300
    names = ["Wall", *(f"Hidden{i}" for i in range(298)), "Cup"]
    objects = measure_objects(read(reference), png(render), ids_png(ids), names)
    assert list(objects) == names
    wall, hidden, cup = objects["Wall"], objects["Hidden5"], objects["Cup"]
    assert wall.seen_box == (0.0, 0.0, 0.4, 1.0) and wall.seen_share == 0.4 and wall.reaches_border
    assert wall.seen_center == (0.2, 0.5)
    assert wall.mean_color_reference == pytest.approx((200 / 255, 0, 0), abs=1e-6)
    assert wall.mean_color_render == pytest.approx((100 / 255, 0, 0), abs=1e-6)
    assert wall.luminance_reference == pytest.approx(0.2126 * ((200 / 255 + 0.055) / 1.055) ** 2.4, abs=1e-5)
    assert wall.luminance_render == pytest.approx(0.2126 * ((100 / 255 + 0.055) / 1.055) ** 2.4, abs=1e-5)
    assert wall.luminance_ratio == pytest.approx(wall.luminance_render / wall.luminance_reference, abs=1e-4)
    assert wall.contrast_reference == 0.0 == wall.contrast_render
    assert cup.seen_box == (0.6, 0.2, 0.8, 0.4) and not cup.reaches_border and cup.seen_center == (0.7, 0.3)
    assert hidden.seen_box is None and hidden.mean_color_render is None and hidden.seen_share == 0.0


def test_contrast_is_the_deviation_of_the_luminance(read) -> None:  # type: ignore[no-untyped-def]
    levels = np.array([[0, 255]], dtype=np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    white, everywhere = png(Image.new("RGB", (20, 10), "white")), ids_png(np.ones((10, 20), int))
    objects = measure_objects(read(Image.fromarray(levels)), white, everywhere, ["All"])
    assert (objects["All"].contrast_reference, objects["All"].contrast_render) == (0.5, 0.0)
    assert (objects["All"].luminance_reference, objects["All"].luminance_render) == (0.5, 1.0)


def test_a_region_is_measured_by_itself(read) -> None:  # type: ignore[no-untyped-def]
    reference, render = Image.new("RGB", (80, 40), "navy"), Image.new("RGB", (80, 40), "navy")
    render.paste((255, 255, 255), (40, 0, 80, 40))
    left, right = (measure(read(reference), png(render), (x, 0.0, x + 0.5, 1.0)) for x in (0.0, 0.5))
    assert (left.psnr_db, left.clipped_fraction) == (PSNR_CAP_DB, 0.0)
    assert right.clipped_fraction == 1.0 and right.mean_color_render == (1.0, 1.0, 1.0)
    assert left.mean_color_reference == right.mean_color_reference == pytest.approx((0, 0, 128 / 255), abs=1e-6)


def test_everything_that_an_object_id_picture_shows_has_a_box() -> None:
    ids = np.zeros((50, 100), dtype=int)
    assert seen_box(ids_png(ids)) is None
    ids[10, 20], ids[29, 59] = 1, 300
    assert seen_box(ids_png(ids)) == (0.2, 0.2, 0.6, 0.6)


def test_an_object_id_picture_of_another_size_is_fitted(read) -> None:  # type: ignore[no-untyped-def]
    ids = np.zeros((10, 10), dtype=int)
    ids[:5] = 1
    objects = measure_objects(read(ball(40)), png(ball(40)), ids_png(ids), ["Top"])
    assert objects["Top"].seen_box == (0.0, 0.0, 1.0, 0.5) and objects["Top"].seen_share == 0.5


# ── as a model is told ────────────────────────────────────────────────────────────────────────────────────────────────
def one_object(box: tuple[float, float, float, float] | None) -> ObjectMeasures:
    share = (box[2] - box[0]) * (box[3] - box[1]) if box else 0.0
    return ObjectMeasures(
        seen_box=box, seen_center=None, seen_share=share, mean_color_reference=None, mean_color_render=None,
        luminance_reference=None, luminance_render=None, luminance_ratio=None, contrast_reference=None,
        contrast_render=None, reaches_border=False,
    )  # fmt: skip


def graph_with(boxes: dict[str, tuple[float, float, float, float]]) -> SceneGraph:
    nodes = [SceneNode(name=name, kind="part", description="", picture_box=box) for name, box in boxes.items()]
    return SceneGraph(environment="", nodes=tuple(nodes))


def test_the_largest_forty_objects_are_told_and_all_others_named() -> None:
    measured = {f"P{n}": one_object((0.0, 0.0, 0.01 * n, 1.0)) for n in range(1, 51)} | {"Gone": one_object(None)}
    told = told_objects(measured, graph_with({"P1": (0, 0, 1, 1)}))
    assert list(told["objects"]) == [f"P{n}" for n in range(50, 10, -1)]
    assert told["further_objects"] == [f"P{n}" for n in range(10, 0, -1)] and told["not_seen"] == ["Gone"]


BOX = (0.2, 0.4, 0.4, 0.8)


@pytest.mark.parametrize(("seen", "told"), [
    ((0.3, 0.4, 0.5, 0.8), {"offset": [0.1, 0.0]}),
    ((0.2, 0.3, 0.4, 0.7), {"offset": [0.0, -0.1]}),
    ((0.15, 0.3, 0.45, 0.9), {"size_ratio": [1.5, 1.5]}),
    ((0.25, 0.5, 0.35, 0.7), {"size_ratio": [0.5, 0.5]}),
    ((0.5, 0.4, 0.9, 0.8), {"offset": [0.3, 0.0], "size_ratio": [2.0, 1.0]}),
], ids=["right", "up", "large", "small", "both"])  # fmt: skip
def test_an_object_that_is_clearly_off_its_box_in_the_graph_is_told_how(seen, told) -> None:  # type: ignore[no-untyped-def]
    objects = told_objects({"Cup": one_object(seen)}, graph_with({"Cup": BOX}))["objects"]
    assert objects["Cup"]["against_picture_box"] == told


@pytest.mark.parametrize("seen", [
    BOX, (0.22, 0.42, 0.43, 0.82), (0.2, 0.4, 0.4, 0.5), (0.3, 0.4, 0.4, 0.8), (0.18, 0.38, 0.43, 0.85),
], ids=["there", "as near as eyes read", "covered below", "covered at the left", "a little large"])  # fmt: skip
def test_what_eyes_may_have_misread_or_another_thing_covers_is_not_held_against_an_object(seen) -> None:  # type: ignore[no-untyped-def]
    objects = told_objects({"Cup": one_object(seen)}, graph_with({"Cup": BOX}))["objects"]
    assert objects["Cup"] == {"seen_box": list(seen)}


def lit(color: float, luminance: float, contrast: float) -> ObjectMeasures:
    """Against a reference of middle grey."""
    return one_object(BOX).model_copy(update={
        "mean_color_reference": (0.5, 0.5, 0.5), "mean_color_render": (0.5, 0.5, color), "luminance_reference": 0.2,
        "luminance_render": luminance, "contrast_reference": 0.1, "contrast_render": contrast,
    })  # fmt: skip


def test_colours_and_light_of_an_object_are_told_where_they_differ() -> None:
    measured = {"Same": lit(0.519, 0.209, 0.109), "Blue": lit(0.6, 0.25, 0.2)}
    told = told_objects(measured, graph_with({"Same": BOX}))["objects"]
    assert told["Same"] == {"seen_box": list(BOX)}
    assert told["Blue"] == {
        "seen_box": list(BOX), "mean_color": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.6]], "luminance": [0.2, 0.25],
        "contrast": [0.1, 0.2],
    }  # fmt: skip


def test_sixteen_objects_that_are_mostly_right_are_told_in_little_room() -> None:
    right, wrong = lit(0.511234, 0.204321, 0.1), lit(0.612345, 0.254321, 0.154321)
    measured = {f"Shelf_Book_{n:02}": right if n < 14 else wrong for n in range(16)}
    assert len(json.dumps(told_objects(measured, graph_with(dict.fromkeys(measured, BOX))))) < 1500


def test_of_a_region_only_what_reaches_into_it_is_told() -> None:
    boxes = {"Left": (0.0, 0.0, 0.3, 1.0), "Right": (0.5, 0.0, 0.9, 1.0), "Gone": None}
    measured = {name: one_object(box) for name, box in boxes.items()}
    told = told_objects(measured, graph_with({"Left": (0, 0, 1, 1)}), (0.4, 0.0, 1.0, 1.0))
    assert list(told) == ["objects"] and list(told["objects"]) == ["Right"]


# ── metrics.json ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_flat_picture_scores_what_its_variance_says(read) -> None:  # type: ignore[no-untyped-def]
    levels = np.array([[50, 150]], dtype=np.uint8).repeat(2, axis=0)
    assert flat_picture_psnr(read(Image.fromarray(levels))) == pytest.approx(10 * math.log10(255**2 / 50**2), abs=1e-5)


def test_metrics_tell_each_stages_gain_and_the_margin_over_an_empty_answer(read) -> None:  # type: ignore[no-untyped-def]
    reference = read(ball())
    rough, good = png(ball(center=(0.6, 0.5))), png(ball(center=(0.52, 0.5)))
    metrics = metrics_of(reference, good, [("initialisation", rough), ("composition", good)])
    assert [stage.stage for stage in metrics.stages] == ["initialisation", "composition"]
    assert metrics.stages[0].gain_db == 0.0 and metrics.stages[1].gain_db > 3.0
    assert metrics.above_flat_db == pytest.approx(metrics.final.psnr_db - flat_picture_psnr(reference), abs=1e-5)
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics
