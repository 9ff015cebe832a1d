"""Owns measuring the pictures made for one reference: every metric that can be had, and why the others cannot."""

from __future__ import annotations

import base64
import functools
import io
import math
import multiprocessing
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agent.errors import InputUnreadable
from agent.evaluation.canvas import Canvas, read_drawn, reduced
from agent.evaluation.data import View
from agent.evaluation.datasets import reference_of
from agent.evaluation.score import MetricFacts, Pair, PairMeasure, PictureMetric, Score, Unavailable, Weights
from agent.evaluation.trivial import trivial_answers
from agent.evaluation.weight_free import weight_free
from agent.picture import Reference
from protocol.models import Value

THUMBNAIL_PX = 224
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The environment of processes of which there is one for each core; read when their libraries are loaded."""


class ToMeasure(Value):
    """A reference and everything that is to be measured beside it."""

    view: View
    another: View | None
    """The reference of another scene."""
    renders: tuple[Path, ...]
    shown: int
    """So many of the first renders are wanted as small pictures too."""
    with_trivial: bool = True
    """The trivial answers are wanted too."""


class Scored(Value):
    """What came of one picture."""

    scores: tuple[Score, ...] = ()
    reason: str = ""
    """Why it cannot be measured."""
    notes: tuple[str, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()
    """Caption, and a small JPEG in base64."""


class Measured(Value):
    renders: tuple[Scored, ...] = ()
    trivial: tuple[tuple[str, Scored], ...] = ()
    reason: str = ""
    """Why nothing can be measured: the reference cannot be read."""


class Meter:
    """Metrics that are ready to measure at one size."""

    def __init__(self, metrics: Sequence[PictureMetric], weights: Weights, size_px: int) -> None:
        self._size_px = size_px
        self._ready: list[tuple[MetricFacts, PairMeasure]] = []
        self.unavailable: list[Score] = []
        for metric in metrics:
            try:
                self._ready.append((metric.facts, metric.load(weights)))
            except Unavailable as error:
                self.unavailable.append(Score(metric=metric.facts.name, value=None, reason=error.reason))

    @property
    def is_empty(self) -> bool:
        return not self._ready

    def measure(self, asked: ToMeasure, with_pictures: bool = True) -> Measured:
        try:
            reference = _read_view(asked.view, self._size_px)
        except InputUnreadable as error:
            return Measured(reason=str(error))
        canvas = Canvas(reference, self._size_px)
        another = _reader(asked.another, self._size_px)
        answers = trivial_answers(reference, another) if asked.with_trivial else ()
        return Measured(
            renders=tuple(
                self._render(canvas, path, with_pictures and number < asked.shown)
                for number, path in enumerate(asked.renders)
            ),
            trivial=tuple((name, Scored(scores=self._scores(canvas.pair(drawn)))) for name, drawn in answers),
        )

    def _render(self, canvas: Canvas, path: Path, is_shown: bool) -> Scored:
        try:
            drawn = read_drawn(path)
        except InputUnreadable as error:
            return Scored(reason=str(error))
        pair = canvas.pair(drawn)
        pictures = _small_pictures(pair) if is_shown else ()
        return Scored(scores=self._scores(pair), notes=canvas.notes_on(drawn), pictures=pictures)

    def _scores(self, pair: Pair) -> tuple[Score, ...]:
        """Of each metric, those that cannot be had here among them."""
        return (*(_score(facts, measured, pair) for facts, measured in self._ready), *self.unavailable)


def _score(facts: MetricFacts, measured: PairMeasure, pair: Pair) -> Score:
    try:
        value = float(measured(pair))
    except Unavailable as error:
        return Score(metric=facts.name, value=None, reason=error.reason)
    if not math.isfinite(value):
        return Score(metric=facts.name, value=None, reason=f"came out as {value}")
    return Score(metric=facts.name, value=round(value, 6))


@functools.lru_cache(maxsize=2)
def _read_view(view: View, size_px: int) -> Reference:
    """The next picture's reference is this one's other scene."""
    return reference_of(view, size_px)


def _reader(another: View | None, size_px: int) -> functools.partial[Reference] | None:
    """Of another scene's reference, where there is one that can be read."""
    if another is None:
        return None
    try:
        _read_view(another, size_px)
    except InputUnreadable:
        return None
    return functools.partial(_read_view, another, size_px)


def _small_pictures(pair: Pair) -> tuple[tuple[str, str], ...]:
    first, second = reduced(pair.reference, THUMBNAIL_PX), reduced(pair.render, THUMBNAIL_PX)
    return (
        ("reference", _jpeg(first)),
        ("result", _jpeg(second)),
        ("difference", _jpeg(np.abs(first.astype(np.int16) - second))),
    )


def _jpeg(pixels: NDArray[Any]) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(data, "JPEG", quality=82)
    return base64.b64encode(data.getvalue()).decode("ascii")


# ── in processes of their own ─────────────────────────────────────────────────────────────────────────────────────────
_meter: Meter


def prepare(size_px: int) -> None:
    """Of a process that measures what needs no weights."""
    global _meter
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _meter = Meter(weight_free(size_px), Weights(None), size_px)


def _end_with_parent() -> None:
    """A parent that is killed ends nobody: without this its processes would wait for work for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def measure_prepared(asked: ToMeasure) -> Measured:
    return _meter.measure(asked)


def merged(first: Measured, second: Measured) -> Measured:
    """The scores of both, of the same pictures."""
    return Measured(
        renders=tuple(map(_with_scores, first.renders, second.renders)),
        trivial=tuple(
            (name, _with_scores(one, other))
            for (name, one), (_, other) in zip(first.trivial, second.trivial, strict=True)
        ),
        reason=first.reason,
    )


def _with_scores(one: Scored, other: Scored) -> Scored:
    return one.model_copy(update={"scores": (*one.scores, *other.scores)})
