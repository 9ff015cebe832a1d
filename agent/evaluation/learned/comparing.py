"""Owns how two pictures' features become one figure; a reference's are remembered while it is compared again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from agent.evaluation.alignment import Side
from agent.evaluation.score import Pair, PairMeasure, Unavailable
from agent.picture import Rgb

if TYPE_CHECKING:
    from torch import Tensor

DIGITS = 6


def compared(features: Callable[[Rgb], Any], figure: Callable[[Any, Any], Tensor], remembered: int) -> PairMeasure:
    """What `figure` says of two pictures' features, of which those of the last few references are kept."""

    def of_side(side: Side) -> Any:
        with torch.inference_mode():
            return features(side.rgb)

    of_reference = lru_cache(maxsize=remembered)(of_side)

    def measure(pair: Pair) -> float:
        reference = of_reference(pair.reference)
        with torch.inference_mode():
            value = float(figure(reference, of_side(pair.render)))
        if value != value:
            raise Unavailable("The network's figure for this pair is no number.")
        return round(value, DIGITS) + 0.0  # no -0.0

    return measure


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Of two vectors of features; exactly 1 for equal ones."""
    if torch.equal(first, second):
        return torch.ones(())
    return torch.nn.functional.cosine_similarity(first.double().flatten(), second.double().flatten(), dim=0)


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    return 1.0 - cosine(first, second)


def unit_channels(layer: Tensor) -> Tensor:
    """Each place's vector over the channels at unit length."""
    return layer / (layer.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def squared_differences(first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
    """Layer by layer, each 1 × channels × height × width."""
    return [(a - b).square() for a, b in zip(first, second, strict=True)]
