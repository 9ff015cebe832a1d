"""Owns DreamSim's ensemble: three vision transformers with its low-rank adapter, and the distance of what they say.

Reads the files that the package `dreamsim` 0.2.1 puts into its cache folder; the package itself is not imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from agent.evaluation.learned.comparing import compared, cosine_distance
from agent.evaluation.learned.loading import read_json, read_tensors, take, unreadable
from agent.evaluation.learned.pictures import CLIP, IMAGENET, Triple, batch, squeezed
from agent.evaluation.learned.vision_transformer import Variant, VisionTransformer
from agent.evaluation.score import PairMeasure, Weights
from agent.picture import Rgb

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE_FOLDER = Path("models")
"""Where the package keeps its files unless told otherwise: under the folder it is started in."""


class Member(NamedTuple):
    """One network of the ensemble."""

    file: str
    inside: tuple[str, ...]
    """Where in the file its tensors are."""
    variant: Variant
    colors: tuple[Triple, Triple]
    projected: bool
    """Its class token is multiplied by the file's `proj`."""


ENSEMBLE = (
    # The class token after the last block, before the final layer norm.
    Member("checkpoints/dino_vitbase16_pretrain.pth", (), Variant(1e-6, "gelu", False, False), IMAGENET, False),
    Member("clip_vitb16_pretrain.pth.tar", ("state_dict",), Variant(1e-5, "quick_gelu", True, True), CLIP, True),
    Member("open_clip_vitb16_pretrain.pth.tar", ("state_dict",), Variant(1e-5, "gelu", True, True), CLIP, True),
)
_OTHER_ADAPTERS = ("use_dora", "use_rslora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern")
"""Settings of peft's with which a change would be another one than is computed here."""
_LORA = re.compile(r"extractor_list\.(\d+)\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


def load(weights: Weights) -> PairMeasure:
    folder = PACKAGE_FOLDER if weights.folder is None else weights.folder / "dreamsim"
    changes = _adapter(folder / "ensemble_lora")
    networks = [_network(member, folder, changes[number]) for number, member in enumerate(ENSEMBLE)]

    def features(rgb: Rgb) -> Tensor:
        return _centered(torch.cat([network.features(rgb) for network in networks], dim=-1))

    return compared(features, cosine_distance, remembered=8)


class _Network(NamedTuple):
    transformer: VisionTransformer
    colors: tuple[Triple, Triple]
    projection: Tensor | None

    def features(self, rgb: Rgb) -> Tensor:
        token = self.transformer.class_token(batch(squeezed(rgb, self.transformer.side_px), *self.colors))
        return token if self.projection is None else token @ self.projection


def _network(member: Member, folder: Path, changes: Mapping[str, Tensor]) -> _Network:
    path = folder / member.file
    tensors = read_tensors(path, *member.inside)
    for name, change in changes.items():
        weight = take(tensors, f"{name}.weight", 2, path)
        if weight.shape != change.shape:
            raise unreadable(path, f"{name} does not fit the adapter: {tuple(weight.shape)}, {tuple(change.shape)}")
        tensors[f"{name}.weight"] = weight + change
    projection = take(tensors, "proj", 2, path) if member.projected else None
    transformer = VisionTransformer(tensors, member.variant, path)
    if projection is not None and len(projection) != transformer.width:
        raise unreadable(path, f"proj takes {len(projection)} features, but the network has {transformer.width}")
    return _Network(transformer, member.colors, projection)


def _centered(features: Tensor) -> Tensor:
    """Each vector less its own mean, as the package does unless told otherwise."""
    return features - features.mean(dim=-1, keepdim=True)


def _adapter(folder: Path) -> dict[int, dict[str, Tensor]]:
    """A folder as peft writes it. By network: what is added to which layer's weight."""
    scale = _scale(folder / "adapter_config.json")
    files = [folder / name for name in ("adapter_model.safetensors", "adapter_model.bin")]
    path = next((file for file in files if file.is_file()), files[0])
    factors: dict[tuple[int, str], dict[str, Tensor]] = {}
    for key, tensor in read_tensors(path).items():
        found = _LORA.search(key)
        if found is None or int(found[1]) >= len(ENSEMBLE):
            raise unreadable(path, f"{key} is no part of DreamSim's ensemble")
        factors.setdefault((int(found[1]), found[2]), {})[found[3]] = tensor
    changes: dict[int, dict[str, Tensor]] = {number: {} for number in range(len(ENSEMBLE))}
    for (number, layer), pair in factors.items():
        down, up = (take(pair, factor, 2, path) for factor in "AB")
        if up.shape[1] != down.shape[0]:
            raise unreadable(path, f"{layer}: {tuple(up.shape)} times {tuple(down.shape)}")
        changes[number][layer] = scale * (up @ down)
    if empty := [ENSEMBLE[number].file for number, found in changes.items() if not found]:
        raise unreadable(path, f"it changes nothing of {', '.join(empty)}")
    return changes


def _scale(path: Path) -> float:
    about = read_json(path)
    if asked := [name for name in _OTHER_ADAPTERS if about.get(name)]:
        raise unreadable(path, f"it is no adapter of DreamSim's: {', '.join(asked)}")
    try:
        return float(about["lora_alpha"]) / float(about["r"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise unreadable(path, "it has no usable lora_alpha and r") from None
