"""Owns the metrics that need no trained weights: names and definitions. The formulas are those of `measures.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import color

from agent.evaluation.alignment import Side
from agent.evaluation.canvas import reduced
from agent.evaluation.measures import (
    PSNR_CAP_DB,
    RATIO_CAP,
    SSIM_NAME,
    Moments,
    edge_px,
    edges_of,
    edges_of_reference,
    iou,
    luminance_ratio,
    mean_color,
    moments_of_reference,
    outline_of,
    psnr_db,
    ssim_of,
)
from agent.evaluation.score import MetricFacts, Pair, PairMeasure, PictureMetric, Unavailable, Weights
from agent.picture import Mask, Rgb
from protocol.models import Vector

ON_WHITE = "alpha laid on white"
OVER_OBJECTS = "over the objects of a cut-out (alpha above one half), over the whole of any other picture"
FLIP_PX = 256
"""Its time grows with the pixels, and is most of the time of all."""
MOST_STOPS = round(math.log2(RATIO_CAP), 2)
WHITE: Vector = (1.0, 1.0, 1.0)

_lab: Callable[..., Any] = color.rgb2lab
_delta_e: Callable[..., Any] = color.deltaE_ciede2000


def weight_free(size_px: int) -> tuple[PictureMetric, ...]:
    """`size_px`: the evaluation's, of the longer side."""
    size, apart = f"longer side {size_px} px", round(math.hypot(size_px, size_px), 2)
    return (
        PictureMetric(
            MetricFacts(
                name="psnr_db", title="PSNR", unit="dB", better="higher", worst=0.0, size=size, background=ON_WHITE,
                variant=f"10 log10(255² / mean squared error over RGB), at most {PSNR_CAP_DB:g}",
            ),
            _psnr_db,
        ),
        PictureMetric(
            MetricFacts(
                name="ssim", title="SSIM", better="higher", worst=0.0, size=size, background=ON_WHITE,
                variant=SSIM_NAME.removeprefix("SSIM, "),
            ),
            _ssim,
        ),
        PictureMetric(
            MetricFacts(
                name="flip", title="FLIP", better="lower", worst=1.0, size=f"longer side at most {FLIP_PX} px",
                background=ON_WHITE, variant="LDR-FLIP of flip-evaluator, mean error, 67 pixels per degree",
            ),
            _flip,
        ),
        PictureMetric(
            MetricFacts(
                name="iou", title="IoU", better="higher", worst=0.0, size=size, background="alpha above one half",
                variant="of the silhouettes of a cut-out",
            ),
            _iou,
        ),
        PictureMetric(
            MetricFacts(
                name="boundary_px", title="boundary distance", unit="px", better="lower", worst=apart, size=size,
                background="alpha above one half",
                variant="mean distance between the silhouettes' outlines, both ways; the diagonal where only one has "
                "any",
            ),
            _boundary_px,
        ),
        PictureMetric(
            MetricFacts(
                name="edge_px", title="edge distance", unit="px", better="lower", worst=apart, size=size,
                background=ON_WHITE,
                variant="mean distance between Canny edges (sigma 1.2, thresholds 0.04 and 0.1), both ways; the "
                "diagonal where only one has any",
            ),
            _edge_px,
        ),
        PictureMetric(
            MetricFacts(
                name="luminance_stops", title="luminance error", unit="stops", better="lower", worst=MOST_STOPS,
                size=size, background=OVER_OBJECTS,
                variant=f"|log2 of render over reference|, mean linear luminance, at most {MOST_STOPS:g}",
            ),
            _luminance_stops,
        ),
        PictureMetric(
            MetricFacts(
                name="color_de00", title="colour difference", unit="ΔE", better="lower", worst=100.0, size=size,
                background=OVER_OBJECTS, variant="CIEDE2000 between the mean colours; nothing shown counts as white",
            ),
            _color_de00,
        ),
    )  # fmt: skip


def _psnr_db(_: Weights) -> PairMeasure:
    return lambda pair: psnr_db(pair.reference.rgb, pair.render.rgb)


def _ssim(_: Weights) -> PairMeasure:
    return lambda pair: ssim_of(moments_of_reference(pair.reference), Moments(pair.render.rgb))


def _flip(_: Weights) -> PairMeasure:
    try:
        from flip_evaluator import evaluate
    except ImportError:
        reason = 'flip-evaluator is not installed: "make evaluate" sees to it, or pip install flip-evaluator'
        raise Unavailable(reason) from None

    def measured(pair: Pair) -> float:
        first, second = _small_reference(pair.reference), _small(pair.render)
        return float(evaluate(first, second, "LDR", applyMagma=False)[1])

    return measured


@lru_cache(maxsize=4)
def _small_reference(side: Side) -> NDArray[np.float32]:
    return _small(side)


def _small(side: Side) -> NDArray[np.float32]:
    return (reduced(side, FLIP_PX) / 255.0).astype(np.float32)


def _iou(_: Weights) -> PairMeasure:
    def measured(pair: Pair) -> float:
        return iou(*_silhouettes(pair))

    return measured


def _boundary_px(_: Weights) -> PairMeasure:
    def measured(pair: Pair) -> float:
        return boundary_px(*_silhouettes(pair))

    return measured


def boundary_px(first: Mask, second: Mask) -> float:
    """Mean distance between the outlines of two silhouettes, both ways; the diagonal where only one has any."""
    return _apart_px(outline_of(first), outline_of(second))


def _silhouettes(pair: Pair) -> tuple[Mask, Mask]:
    if not pair.has_masks:
        raise Unavailable("the picture is no cut-out, so its render has no silhouette")
    return pair.reference.mask, pair.render.mask


def _edge_px(_: Weights) -> PairMeasure:
    return lambda pair: _apart_px(edges_of_reference(pair.reference), edges_of(pair.render.rgb))


def _apart_px(first: Mask, second: Mask) -> float:
    """Nothing at all is as far off as can be."""
    return edge_px(first, second) if first.any() == second.any() else math.hypot(*first.shape)


def _luminance_stops(_: Weights) -> PairMeasure:
    def measured(pair: Pair) -> float:
        ratio = luminance_ratio(*_objects(pair))
        return min(MOST_STOPS, abs(math.log2(ratio))) if ratio > 0.0 else MOST_STOPS

    return measured


def _color_de00(_: Weights) -> PairMeasure:
    def measured(pair: Pair) -> float:
        first, second = (_lab(np.array(mean_color(pixels) or WHITE)) for pixels in _objects(pair))
        return float(_delta_e(first, second))

    return measured


def _objects(pair: Pair) -> tuple[Rgb, Rgb]:
    """The pixels of the objects, of reference and render."""
    return pair.reference.rgb[pair.reference.mask], pair.render.rgb[pair.render.mask]
