"""Owns a vision transformer as DINO's code lays it out, which DreamSim keeps all its networks in.

Its sizes are read from its tensors; it works at the one resolution that its place embeddings are for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch.nn import functional

from agent.evaluation.learned.loading import check_sizes, take, unreadable

if TYPE_CHECKING:
    from torch import Tensor

HEAD_WIDTH = 64
"""Of every network published in this layout; the files do not say it."""
VIT_B_16 = {"width": 768, "depth": 12, "patch": 16}

Activation = Literal["gelu", "quick_gelu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


class Variant(NamedTuple):
    """What differs between the networks that are kept in this layout."""

    epsilon: float
    """Of the layer norms."""
    activation: Activation
    normed_first: bool
    """A layer norm stands before the first block, as in CLIP."""
    normed_last: bool
    """The final layer norm is part of what is wanted."""


class VisionTransformer:
    """One that is ready; raises `Unavailable` for tensors that are not one."""

    def __init__(self, tensors: Mapping[str, Tensor], variant: Variant, path: Path) -> None:
        self._tensors, self._variant, self._path = dict(tensors), variant, path
        patches = self._tensor("patch_embed.proj.weight", 4)
        self.width, self._patch_px = patches.shape[0], patches.shape[-1]
        self._depth = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")), default=-1)
        self._heads = max(1, self.width // HEAD_WIDTH)
        sizes = {"width": self.width, "depth": self._depth, "patch": self._patch_px}
        check_sizes(sizes, VIT_B_16, path)
        if self._depth == 0 or self.width % self._heads:
            raise unreadable(path, f"it is no vision transformer: width {self.width}, {self._depth} blocks")
        places = self._tensor("pos_embed", 3).shape[1] - 1
        self.side_px = round(places**0.5) * self._patch_px
        """Of the square picture that it takes."""
        self._try_out()

    def class_token(self, x: Tensor) -> Tensor:
        """1 × width, of a batch of one."""
        x = functional.conv2d(x, self._tensor("patch_embed.proj.weight", 4), self._tensor("patch_embed.proj.bias", 1),
                              stride=self._patch_px)  # fmt: skip
        x = torch.cat([self._tensor("cls_token", 3), x.flatten(2).transpose(1, 2)], dim=1)
        x = x + self._tensor("pos_embed", 3)
        if self._variant.normed_first:
            x = self._normed(x, "pos_drop")
        for number in range(self._depth):
            block = f"blocks.{number}"
            x = x + self._attention(self._normed(x, f"{block}.norm1"), f"{block}.attn")
            x = x + self._perceptron(self._normed(x, f"{block}.norm2"), f"{block}.mlp")
        return (self._normed(x, "norm") if self._variant.normed_last else x)[:, 0]

    def _attention(self, x: Tensor, name: str) -> Tensor:
        batch, places, width = x.shape
        parts = self._linear(x, f"{name}.qkv").view(batch, places, 3, self._heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self._linear(mixed.transpose(1, 2).reshape(batch, places, width), f"{name}.proj")

    def _perceptron(self, x: Tensor, name: str) -> Tensor:
        return self._linear(_ACTIVATIONS[self._variant.activation](self._linear(x, f"{name}.fc1")), f"{name}.fc2")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._tensor(f"{name}.weight", 2), self._tensor(f"{name}.bias", 1))

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._tensor(f"{name}.weight", 1), self._tensor(f"{name}.bias", 1)
        return functional.layer_norm(x, (self.width,), weight, bias, self._variant.epsilon)

    def _tensor(self, name: str, rank: int) -> Tensor:
        return take(self._tensors, name, rank, self._path)

    def _try_out(self) -> None:
        """Shapes that do not fit together are told now, and not for each pair."""
        with torch.inference_mode():
            try:
                self.class_token(torch.zeros(1, 3, self.side_px, self.side_px))
            except RuntimeError as error:
                raise unreadable(self._path, error) from None
