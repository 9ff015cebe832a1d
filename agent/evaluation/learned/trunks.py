"""Owns the trunks of perceptual distances: AlexNet and VGG-16, with torchvision's names of their layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch.nn import functional

from agent.evaluation.learned.loading import take, unreadable

if TYPE_CHECKING:
    from torch import Tensor

Trunk = Callable[["Tensor"], list["Tensor"]]
"""A batch in; the tapped layers' outputs, each 1 × channels × height × width."""


class Layer(NamedTuple):
    """A convolution and its ReLU."""

    name: str
    kernel_px: int = 3
    stride: int = 1
    padding: int = 1
    pooled_px: int = 0
    """Side of the max-pooling before it, stride 2; 0: none."""
    tapped: bool = False
    """Its output is one of the features."""


ALEXNET = (
    Layer("features.0", kernel_px=11, stride=4, padding=2, tapped=True),
    Layer("features.3", kernel_px=5, padding=2, pooled_px=3, tapped=True),
    Layer("features.6", pooled_px=3, tapped=True),
    Layer("features.8", tapped=True),
    Layer("features.10", tapped=True),
)
VGG16 = (
    Layer("features.0"), Layer("features.2", tapped=True),
    Layer("features.5", pooled_px=2), Layer("features.7", tapped=True),
    Layer("features.10", pooled_px=2), Layer("features.12"), Layer("features.14", tapped=True),
    Layer("features.17", pooled_px=2), Layer("features.19"), Layer("features.21", tapped=True),
    Layer("features.24", pooled_px=2), Layer("features.26"), Layer("features.28", tapped=True),
)  # fmt: skip


def trunk(layers: Sequence[Layer], tensors: Mapping[str, Tensor], path: Path) -> Trunk:
    """With the weights and biases of a file; as wide as the file says."""
    convolutions = [(layer, *_convolution(layer, tensors, path)) for layer in layers]
    widths = [3, *(weight.shape[0] for _, weight, _ in convolutions)]
    for (layer, weight, _), (before, _) in zip(convolutions, pairwise(widths), strict=True):
        if weight.shape[1] != before:
            raise unreadable(path, f"{layer.name} takes {weight.shape[1]} channels, but is given {before}")

    def outputs(x: Tensor) -> list[Tensor]:
        taps = []
        for layer, weight, bias in convolutions:
            if layer.pooled_px:
                x = functional.max_pool2d(x, layer.pooled_px, stride=2)
            x = functional.relu(functional.conv2d(x, weight, bias, layer.stride, layer.padding))
            if layer.tapped:
                taps.append(x)
        return taps

    return outputs


def _convolution(layer: Layer, tensors: Mapping[str, Tensor], path: Path) -> tuple[Tensor, Tensor]:
    weight = take(tensors, f"{layer.name}.weight", 4, path)
    bias = take(tensors, f"{layer.name}.bias", 1, path)
    if tuple(weight.shape[2:]) != (layer.kernel_px, layer.kernel_px) or len(bias) != len(weight):
        raise unreadable(path, f"{layer.name} is of shape {tuple(weight.shape)}; is it another network's?")
    return weight, bias
