"""Owns LPIPS 0.1: a trunk from torchvision's checkpoint, with the heads that the package `lpips` ships for it.

Neither torchvision nor lpips is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from agent.evaluation.learned.comparing import compared, squared_differences, unit_channels
from agent.evaluation.learned.loading import packaged, read_tensors, take, unreadable
from agent.evaluation.learned.pictures import IMAGENET, batch, limited
from agent.evaluation.learned.trunks import ALEXNET, VGG16, Layer, trunk
from agent.evaluation.score import PairMeasure, Unavailable, Weights
from agent.picture import Rgb

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_PX, SHORTEST_PX = 512, 64


class Network(NamedTuple):
    layers: tuple[Layer, ...]
    checkpoint: str
    """Its file among torch hub's checkpoints."""


NETWORKS = {
    "alex": Network(ALEXNET, "alexnet-owt-7be5be79.pth"),
    "vgg": Network(VGG16, "vgg16-397923af.pth"),
}


def load(name: str, weights: Weights) -> PairMeasure:
    """The distance with the network of that name."""
    network = NETWORKS[name]
    path = _checkpoints(weights) / network.checkpoint
    tensors = read_tensors(path)
    outputs = trunk(network.layers, tensors, path)
    widths = [len(tensors[f"{layer.name}.bias"]) for layer in network.layers if layer.tapped]
    heads = _heads(name, widths, path)

    def features(rgb: Rgb) -> list[Tensor]:
        shown = limited(rgb, LONGEST_PX)
        if min(shown.shape[:2]) < SHORTEST_PX:
            raise Unavailable(f"LPIPS is not taken of pictures with a side shorter than {SHORTEST_PX} px.")
        # The package takes -1 to 1, shifts and scales: the same as ImageNet's mean and deviation of 0 to 1.
        return [unit_channels(output) for output in outputs(batch(shown, *IMAGENET))]

    def distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
        differences = zip(squared_differences(first, second), heads, strict=True)
        return torch.stack([functional.conv2d(difference, head).mean() for difference, head in differences]).sum()

    return compared(features, distance, remembered=1)


def _checkpoints(weights: Weights) -> Path:
    if weights.folder is None:
        return Path(torch.hub.get_dir()) / "checkpoints"
    return weights.folder / "torch" / "hub" / "checkpoints"


def _heads(name: str, widths: list[int], checkpoint: Path) -> list[Tensor]:
    """1 × channels × 1 × 1 for each tapped layer."""
    path = packaged("lpips", f"weights/v0.1/{name}.pth")
    tensors = read_tensors(path)
    heads = [take(tensors, f"lin{number}.model.1.weight", 4, path) for number in range(len(widths))]
    wanted = [head.shape[1] for head in heads]
    if wanted != widths:
        raise unreadable(checkpoint, f"its layers have {widths} channels where LPIPS needs {wanted}")
    return heads
