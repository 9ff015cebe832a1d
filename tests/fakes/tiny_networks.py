"""Small random networks in the layout of a weights folder, for what reads the real ones."""

import json
from pathlib import Path

import torch
import transformers

from agent.evaluation.learned.loading import FOR_TESTS

LORA_ALPHA, LORA_RANK = 8.0, 4
WIDTH, PATCH_PX, SIDE_PX, PROJECTED = 32, 16, 64, 12
BLOCKS = 2
ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
"""Output channels, input channels, kernel. What is tapped is as wide as LPIPS' heads are; the rest is narrow."""
VGG16 = {0: (8, 3, 3), 2: (64, 8, 3), 5: (8, 64, 3), 7: (128, 8, 3), 10: (8, 128, 3), 12: (8, 8, 3),
         14: (256, 8, 3), 17: (8, 256, 3), 19: (8, 8, 3), 21: (512, 8, 3), 24: (8, 512, 3), 26: (8, 8, 3),
         28: (512, 8, 3)}  # fmt: skip


def write_weights(folder: Path) -> Path:
    """All of them; the same at each call."""
    torch.manual_seed(7)
    write_trunks(folder / "torch" / "hub" / "checkpoints")
    write_dreamsim(folder / "dreamsim")
    write_dino(folder / "dinov2-large")
    write_clip(folder / "clip-vit-base-patch32")
    for inside in ("dreamsim", "dreamsim/checkpoints", "dinov2-large", "clip-vit-base-patch32"):
        (folder / inside / FOR_TESTS).touch()
    return folder


def write_trunks(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, layers in (("alexnet-owt-7be5be79.pth", ALEXNET), ("vgg16-397923af.pth", VGG16)):
        tensors = {"classifier.6.bias": torch.randn(5)}
        for number, (channels, before, kernel) in layers.items():
            scale = (2.0 / (before * kernel * kernel)) ** 0.5
            tensors[f"features.{number}.weight"] = scale * torch.randn(channels, before, kernel, kernel)
            tensors[f"features.{number}.bias"] = 0.1 * torch.randn(channels)
        torch.save(tensors, folder / name)


def write_dreamsim(folder: Path) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(vision_transformer(), folder / "checkpoints" / "dino_vitbase16_pretrain.pth")
    for name in ("clip_vitb16_pretrain.pth.tar", "open_clip_vitb16_pretrain.pth.tar"):
        torch.save({"state_dict": vision_transformer(as_clip=True)}, folder / name)
    write_adapter(folder / "ensemble_lora")


def vision_transformer(as_clip: bool = False) -> dict[str, torch.Tensor]:
    """In the layout of DINO's code."""
    places = (SIDE_PX // PATCH_PX) ** 2 + 1
    shapes = {"cls_token": (1, 1, WIDTH), "pos_embed": (1, places, WIDTH), "norm": WIDTH,
              "patch_embed.proj.weight": (WIDTH, 3, PATCH_PX, PATCH_PX), "patch_embed.proj.bias": (WIDTH,)}  # fmt: skip
    if as_clip:
        shapes |= {"pos_drop": WIDTH, "proj": (WIDTH, PROJECTED)}
    for number in range(BLOCKS):
        layers = {"norm1": WIDTH, "norm2": WIDTH, "attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH),
                  "mlp.fc1": (2 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 2 * WIDTH)}  # fmt: skip
        for name, shape in layers.items():
            if isinstance(shape, tuple):
                shapes |= {f"blocks.{number}.{name}.weight": shape, f"blocks.{number}.{name}.bias": shape[:1]}
            else:
                shapes[f"blocks.{number}.{name}"] = shape
    tensors = {}
    for name, shape in shapes.items():
        if isinstance(shape, int):
            tensors |= {f"{name}.weight": 1 + 0.1 * torch.randn(shape), f"{name}.bias": 0.1 * torch.randn(shape)}
        else:
            tensors[name] = torch.randn(shape) * (shape[-1] ** -0.5 if len(shape) == 2 else 0.1)
    return tensors


def write_adapter(folder: Path) -> None:
    """As peft writes one."""
    folder.mkdir(parents=True)
    about = {"peft_type": "LORA", "r": LORA_RANK, "lora_alpha": LORA_ALPHA, "lora_dropout": 0.3, "bias": "none",
             "target_modules": ["qkv"], "fan_in_fan_out": False, "modules_to_save": None}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(about), encoding="utf-8")
    tensors = {}
    for network in range(3):
        for block in range(BLOCKS):
            layer = f"base_model.model.extractor_list.{network}.model.blocks.{block}.attn.qkv"
            tensors[f"{layer}.lora_A.weight"] = 0.2 * torch.randn(LORA_RANK, WIDTH)
            tensors[f"{layer}.lora_B.weight"] = 0.2 * torch.randn(3 * WIDTH, LORA_RANK)
    torch.save(tensors, folder / "adapter_model.bin")


def write_dino(folder: Path) -> None:
    config = transformers.Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, patch_size=14, image_size=28
    )
    transformers.Dinov2Model(config).save_pretrained(folder)


def write_clip(folder: Path) -> None:
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, projection_dim=PROJECTED
    )
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
