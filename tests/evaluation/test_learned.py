"""The learned metrics read a weights folder as documented, and compute what the published code computes."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from agent.evaluation.alignment import Side
from agent.evaluation.learned.loading import FOR_TESTS
from agent.evaluation.learned.metrics import LEARNED
from agent.evaluation.score import Pair, Unavailable, Weights
from sandbox.folders import ROOT

METRICS = {metric.facts.name: metric for metric in LEARNED}
FILES = {
    "lpips_alex": "torch/hub/checkpoints/alexnet-owt-7be5be79.pth",
    "lpips_vgg": "torch/hub/checkpoints/vgg16-397923af.pth",
    "dreamsim": "dreamsim/clip_vitb16_pretrain.pth.tar",
    "dino": "dinov2-large/model.safetensors",
    "clip": "clip-vit-base-patch32/model.safetensors",
}
"""One that each cannot do without."""
EVERY = pytest.mark.parametrize("name", METRICS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tiny_networks import write_weights

    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def measures(folder):
    return {name: metric.load(Weights(folder)) for name, metric in METRICS.items()}


@pytest.fixture
def own_folder(folder, tmp_path):
    """A copy, to be spoilt."""
    return Path(shutil.copytree(folder, tmp_path / "weights"))


def tiles(seed: int = 1, columns: int = 14, rows: int = 12) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((columns * 12, rows * 12), Image.Resampling.NEAREST)


def pair(reference: Image.Image, render: Image.Image) -> Pair:
    def side(image: Image.Image) -> Side:
        return Side(rgb=np.asarray(image), mask=np.ones((image.height, image.width), dtype=np.bool_))

    return Pair(reference=side(reference), render=side(render), has_masks=False)


def reason(name: str, folder: Path) -> str:
    with pytest.raises(Unavailable) as caught:
        METRICS[name].load(Weights(folder))
    return caught.value.reason


# ── what they say ─────────────────────────────────────────────────────────────────────────────────────────────────────
@EVERY
def test_a_picture_beside_itself_scores_the_best(measures, name):
    best = 0.0 if METRICS[name].facts.better == "lower" else 1.0
    assert measures[name](pair(tiles(), tiles())) == best


@EVERY
def test_the_more_a_picture_is_blurred_the_worse_it_scores(measures, name):
    scores = [measures[name](pair(tiles(), tiles().filter(ImageFilter.GaussianBlur(px)))) for px in (0, 1, 3, 8)]
    assert scores == sorted(scores, reverse=METRICS[name].facts.better == "higher") and len(set(scores)) == 4


@EVERY
def test_the_same_pair_scores_the_same_again_and_with_networks_loaded_anew(folder, measures, name):
    other = pair(tiles(), tiles(2))
    assert measures[name](other) == measures[name](other) == METRICS[name].load(Weights(folder))(other)


@EVERY
def test_pictures_of_any_aspect_are_compared(measures, name):
    for columns, rows in ((40, 6), (6, 40)):
        shape = {"columns": columns, "rows": rows}
        assert np.isfinite(measures[name](pair(tiles(1, **shape), tiles(2, **shape))))


@pytest.mark.parametrize("name", ("lpips_alex", "lpips_vgg"))
def test_lpips_says_nothing_of_pictures_too_small_for_its_network(measures, name):
    small = tiles().resize((63, 200))
    with pytest.raises(Unavailable, match="shorter than 64 px"):
        measures[name](pair(small, small))


def test_names_are_unique_and_each_says_its_variant_size_and_background():
    assert len(METRICS) == len(LEARNED) == 5
    for metric in LEARNED:
        facts = metric.facts
        assert facts.variant and facts.size and facts.background and facts.worst is not None


# ── beside other code ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name, network", [("lpips_alex", "alex"), ("lpips_vgg", "vgg")])
def test_lpips_is_what_its_package_computes(folder, measures, monkeypatch, name, network):
    import torch

    tensors = torch.load(folder / FILES[name], weights_only=True)
    monkeypatch.setitem(sys.modules, "torchvision", _torchvision(tensors))
    for module in [module for module in sys.modules if module.partition(".")[0] == "lpips"]:
        monkeypatch.delitem(sys.modules, module)
    import lpips

    theirs = lpips.LPIPS(net=network, verbose=False)
    for module in [module for module in sys.modules if module.partition(".")[0] == "lpips"]:
        monkeypatch.delitem(sys.modules, module)
    first, second = tiles(), tiles(2)
    with torch.inference_mode():
        wanted = theirs(*(lpips.im2tensor(np.asarray(image)) for image in (first, second)))
    assert measures[name](pair(first, second)) == pytest.approx(float(wanted), abs=2e-6)


def _torchvision(tensors):
    """The two networks as torchvision lists their layers; the real one does not import beside every torch."""
    from torch import nn

    def convolution(number, **options):
        weight = tensors[f"features.{number}.weight"]
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], **options)
        layer.weight.data, layer.bias.data = weight, tensors[f"features.{number}.bias"]
        return layer

    def alexnet(pretrained):
        pool = nn.MaxPool2d(kernel_size=3, stride=2)
        return types.SimpleNamespace(features=nn.Sequential(
            convolution(0, stride=4, padding=2), nn.ReLU(), pool, convolution(3, padding=2), nn.ReLU(), pool,
            convolution(6, padding=1), nn.ReLU(), convolution(8, padding=1), nn.ReLU(), convolution(10, padding=1),
            nn.ReLU(), pool,
        ))  # fmt: skip

    def vgg16(pretrained):
        layers = nn.Sequential()
        for blocks in (2, 2, 3, 3, 3):
            for _ in range(blocks):
                layers.append(convolution(len(layers), padding=1))
                layers.append(nn.ReLU())
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        return types.SimpleNamespace(features=layers)

    module = types.ModuleType("torchvision")
    module.models = types.SimpleNamespace(alexnet=alexnet, vgg16=vgg16)
    return module


def test_dreamsim_is_what_other_transformers_compute_with_the_same_weights(folder, measures):
    import torch

    def embedded(image: Image.Image) -> torch.Tensor:
        features = torch.cat([_theirs(folder, number, image) for number in range(3)])
        return features - features.mean()

    first, second = tiles(), tiles(2)
    with torch.inference_mode():
        wanted = 1 - torch.nn.functional.cosine_similarity(embedded(first), embedded(second), dim=0)
    assert measures["dreamsim"](pair(first, second)) == pytest.approx(float(wanted), abs=2e-6)


@pytest.mark.parametrize("size", [(320, 200), (200, 321), (512, 512), (37, 100)])
def test_dino_and_clip_are_shown_what_transformers_shows_them(size):
    import transformers

    from agent.evaluation.learned import hub
    from agent.evaluation.learned.pictures import batch, centered

    image = tiles().resize(size)
    dinos = {"size": {"shortest_edge": 256}, "crop_size": 224, "resample": 3}
    dinos |= {"image_mean": hub.DINO.colors[0], "image_std": hub.DINO.colors[1]}
    for network, processor in (
        (hub.DINO, transformers.BitImageProcessorPil(**dinos)),
        (hub.CLIP_VISION, transformers.CLIPImageProcessorPil()),
    ):
        wanted = processor(image, return_tensors="pt")["pixel_values"]
        shown = batch(centered(np.asarray(image), network.short_px, hub.CROP_PX), *network.colors)
        assert shown.shape == (1, 3, 224, 224) and abs(wanted - shown).max() < 1e-6


def _theirs(folder, number, image):
    """One network's features by transformers' own vision models, its adapter added to its weights."""
    import tiny_networks as tiny
    import torch
    import transformers

    file = ("checkpoints/dino_vitbase16_pretrain.pth", "clip_vitb16_pretrain.pth.tar",
            "open_clip_vitb16_pretrain.pth.tar")[number]  # fmt: skip
    tensors = torch.load(folder / "dreamsim" / file, weights_only=True)
    tensors = tensors.get("state_dict", tensors)
    adapter = torch.load(folder / "dreamsim" / "ensemble_lora" / "adapter_model.bin", weights_only=True)
    for block in range(tiny.BLOCKS):
        layer = f"base_model.model.extractor_list.{number}.model.blocks.{block}.attn.qkv"
        change = adapter[f"{layer}.lora_B.weight"] @ adapter[f"{layer}.lora_A.weight"]
        tensors[f"blocks.{block}.attn.qkv.weight"] += tiny.LORA_ALPHA / tiny.LORA_RANK * change
    sizes = {"hidden_size": tiny.WIDTH, "intermediate_size": 2 * tiny.WIDTH, "num_hidden_layers": tiny.BLOCKS,
             "num_attention_heads": 1, "image_size": tiny.SIDE_PX, "patch_size": tiny.PATCH_PX}  # fmt: skip
    mean, deviation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if number == 0 else (
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # fmt: skip
    pixels = np.asarray(image.resize((tiny.SIDE_PX, tiny.SIDE_PX), Image.Resampling.BICUBIC)) / 255.0
    shown = torch.tensor(((pixels - mean) / deviation).transpose(2, 0, 1)[None], dtype=torch.float32)
    if number == 0:
        model = transformers.ViTModel(transformers.ViTConfig(**sizes, layer_norm_eps=1e-6), add_pooling_layer=False)
        model.eval().load_state_dict(_as_vit(tensors))
        return model(shown, output_hidden_states=True).hidden_states[-1][0, 0]
    act = "quick_gelu" if number == 1 else "gelu"
    config = transformers.CLIPVisionConfig(**sizes, hidden_act=act, projection_dim=tiny.PROJECTED, layer_norm_eps=1e-5)
    model = transformers.CLIPVisionModelWithProjection(config)
    model.eval().load_state_dict(_as_clip(tensors))
    tokens = model.vision_model(shown).pooler_output  # DINO's patch embedding has a bias, CLIP's none
    return model.visual_projection(tokens)[0]


def _as_vit(tensors):
    """In the names of transformers' ViT, which splits queries, keys and values."""
    plain = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
             "patch_embed.proj.": "embeddings.patch_embeddings.projection.", "norm.": "layernorm."}  # fmt: skip
    inside = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.o_proj"}
    split = [f"attention.{part}_proj" for part in "qkv"]
    return _renamed(tensors, plain, "layers", inside, split)


def _as_clip(tensors):
    """In the names of transformers' CLIP, which gives patches no bias: here it goes into their places' embeddings."""
    places = tensors["pos_embed"][0].clone()
    places[1:] += tensors.pop("patch_embed.proj.bias")
    rest = {"vision_model.embeddings.class_embedding": tensors.pop("cls_token").flatten(),
            "vision_model.embeddings.position_embedding.weight": places,
            "visual_projection.weight": tensors.pop("proj").T}  # fmt: skip
    del tensors["pos_embed"]
    plain = {"patch_embed.proj.": "vision_model.embeddings.patch_embedding.", "norm.": "vision_model.post_layernorm.",
             "pos_drop.": "vision_model.pre_layrnorm."}  # fmt: skip
    inside = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj"}
    split = [f"self_attn.{part}_proj" for part in "qkv"]
    return rest | _renamed(tensors, plain, "vision_model.encoder.layers", inside, split)


def _renamed(tensors, plain, blocks, inside, split):
    renamed = {}
    for name, tensor in tensors.items():
        if not name.startswith("blocks."):
            before = next(before for before in plain if name.startswith(before))
            renamed[name.replace(before, plain[before], 1)] = tensor
            continue
        _, number, rest = name.split(".", 2)
        layer, _, kind = rest.rpartition(".")
        if layer == "attn.qkv":
            parts = zip(split, tensor.chunk(3), strict=True)
            renamed |= {f"{blocks}.{number}.{part}.{kind}": value for part, value in parts}
        else:
            renamed[f"{blocks}.{number}.{inside.get(layer, layer)}.{kind}"] = tensor
    return renamed


# ── what they cannot say ──────────────────────────────────────────────────────────────────────────────────────────────
@EVERY
def test_a_file_that_is_not_there_is_named_with_the_page_that_says_how_to_get_it(own_folder, name):
    (own_folder / FILES[name]).unlink()
    said = reason(name, own_folder)
    assert str(own_folder / FILES[name]) in said and "missing" in said and "docs/evaluation-weights.md" in said


@EVERY
def test_a_folder_that_holds_nothing_makes_each_unavailable(tmp_path, name):
    assert str(tmp_path) in reason(name, tmp_path)


@EVERY
def test_a_file_that_broke_off_is_named(own_folder, name):
    path = own_folder / FILES[name]
    path.write_bytes(path.read_bytes()[:-4000])
    said = reason(name, own_folder)
    assert str(path.parent) in said and "cannot be used" in said


@EVERY
@pytest.mark.parametrize("content", (b"", b"<html>not found</html>"))
def test_a_file_of_something_else_is_named(own_folder, name, content):
    path = own_folder / FILES[name]
    path.write_bytes(content)
    said = reason(name, own_folder)
    assert str(path.parent) in said and "cannot be used" in said


def test_a_pickle_that_would_run_code_is_refused(own_folder):
    import pickle

    class Harmful:
        def __reduce__(self):
            return (Path.touch, (own_folder / "ran",))

    (own_folder / FILES["lpips_alex"]).write_bytes(pickle.dumps({"features.0.weight": Harmful()}))
    assert "cannot be used" in reason("lpips_alex", own_folder) and not (own_folder / "ran").exists()


def test_another_networks_checkpoint_is_not_taken_for_lpips(own_folder):
    checkpoints = own_folder / "torch" / "hub" / "checkpoints"
    shutil.copy(own_folder / FILES["lpips_vgg"], own_folder / FILES["lpips_alex"])
    assert str(checkpoints / "alexnet-owt-7be5be79.pth") in reason("lpips_alex", own_folder)


@pytest.mark.parametrize("spoilt", ("blocks.1.mlp.fc1.weight", "proj", "pos_drop.bias", "pos_embed"))
def test_a_network_of_dreamsim_that_lacks_a_tensor_is_named_with_it(own_folder, spoilt):
    import torch

    path = own_folder / FILES["dreamsim"]
    found = torch.load(path, weights_only=True)
    del found["state_dict"][spoilt]
    torch.save(found, path)
    said = reason("dreamsim", own_folder)
    assert str(path) in said and spoilt in said


def test_dreamsims_adapter_is_no_other_kind_of_adapter(own_folder):
    path = own_folder / "dreamsim" / "ensemble_lora" / "adapter_config.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    for change, said in (({"use_dora": True}, "use_dora"), ({"r": 0}, "lora_alpha and r")):
        path.write_text(json.dumps(about | change), encoding="utf-8")
        assert str(path) in (words := reason("dreamsim", own_folder)) and said in words


def test_dreamsims_adapter_changes_the_distance_and_may_be_a_safetensors_file(own_folder, measures):
    import torch
    from safetensors.torch import save_file

    old = own_folder / "dreamsim" / "ensemble_lora" / "adapter_model.bin"
    tensors = torch.load(old, weights_only=True)
    old.unlink()
    distances = []
    for factor in (1.0, 0.0):
        save_file({name: factor * tensor for name, tensor in tensors.items()}, old.with_suffix(".safetensors"))
        distances.append(METRICS["dreamsim"].load(Weights(own_folder))(pair(tiles(), tiles(2))))
    assert distances[0] == measures["dreamsim"](pair(tiles(), tiles(2))) != distances[1]


@pytest.mark.parametrize("name", ("dino", "clip"))
def test_a_model_of_another_kind_is_not_taken_for_the_one_that_is_meant(own_folder, name):
    there, other = (own_folder / Path(FILES[which]).parent for which in (name, "clip" if name == "dino" else "dino"))
    shutil.rmtree(there)
    shutil.copytree(other, there)
    said = reason(name, own_folder)
    assert str(there / "config.json") in said and "model of type" in said


@pytest.mark.parametrize("name", ("dino", "clip"))
def test_a_model_whose_weights_lack_a_layer_is_not_filled_up_at_random(own_folder, name):
    from safetensors.torch import load_file, save_file

    path = own_folder / FILES[name]
    tensors = load_file(path)
    lost = next(key for key in sorted(tensors) if "norm" in key)
    save_file({key: value for key, value in tensors.items() if key != lost}, path, metadata={"format": "pt"})
    said = reason(name, own_folder)
    assert str(path.parent) in said and lost in said


def test_a_smaller_sibling_is_not_taken_for_the_network_that_the_metric_names(tmp_path):
    import transformers

    config = transformers.Dinov2Config(hidden_size=384, num_hidden_layers=2, num_attention_heads=6, image_size=28)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dinov2-large")
    said = reason("dino", tmp_path)
    assert "hidden_size 384 instead of 1024" in said and "num_hidden_layers 2 instead of 24" in said


@pytest.mark.parametrize("name, size", [("dino", "hidden_size 32 instead of 1024"), ("dreamsim", "width 32 instead of"),
                                        ("clip", "num_hidden_layers 2 instead of 12")])  # fmt: skip
def test_a_network_however_small_is_not_taken_for_the_published_one_but_by_tests_that_say_so(own_folder, name, size):
    for marker in own_folder.rglob(FOR_TESTS):
        marker.unlink()
    assert size in reason(name, own_folder)


# ── without torch, network or weights ─────────────────────────────────────────────────────────────────────────────────
REPORT = """
import time
from agent.evaluation.learned.metrics import LEARNED, STAND_INS
from agent.evaluation.score import Unavailable, Weights
for metric in LEARNED + STAND_INS:
    began = time.monotonic()
    try:
        metric.load(Weights(None))
    except Unavailable as unavailable:
        print(metric.facts.name, round(time.monotonic() - began, 1), unavailable.reason, sep="|")
"""


def reports(cwd: Path, code: str = REPORT, **environment: str) -> dict[str, tuple[float, str]]:
    """What another Python says of each metric that it cannot load: after how many seconds, and why."""
    around = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env=around, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|", 2) for line in done.stdout.splitlines()]
    return {name: (float(seconds), why) for name, seconds, why in lines}


def test_without_torch_all_say_so_and_how_to_get_it(tmp_path):
    hidden = tmp_path / "hidden"
    (hidden / "torch").mkdir(parents=True)
    (hidden / "torch" / "__init__.py").write_text("raise ImportError('no torch here')", encoding="utf-8")
    said = reports(tmp_path, PYTHONPATH=f"{hidden}:{ROOT}")
    assert said.keys() == {*METRICS, "enlite0_cos", "vgg16hed_dist"}
    assert all(
        "torch cannot be imported (no torch here). `make evaluate` installs it" in why for _, why in said.values()
    )


def test_without_network_and_weights_the_learned_ones_say_so_within_seconds(tmp_path):
    """A hub that takes the call and never answers is the slowest that a network can be."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = reports(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert said.keys() == METRICS.keys()
    for name, words in (("dino", "facebook/dinov2-large"), ("clip", "openai/clip-vit-base-patch32")):
        assert words in said[name][1] and "the hub does not answer (" in said[name][1]
    for name in ("lpips_alex", "lpips_vgg", "dreamsim"):
        assert Path(FILES[name]).parts[-1] in said[name][1] or "adapter_config.json" in said[name][1]
    assert all(seconds < 60 for seconds, _ in said.values())


def test_a_hub_that_refuses_is_told_from_one_that_is_forbidden(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "refused" in reports(tmp_path, HF_ENDPOINT=address)["dino"][1]
    assert "HF_HUB_OFFLINE forbids" in reports(tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="1")["dino"][1]


@pytest.mark.parametrize("kept", (0, 1000))
def test_weights_that_broke_off_in_the_hubs_cache_are_named_and_end_nothing(folder, tmp_path, kept):
    cached = tmp_path / "cache" / "models--facebook--dinov2-large"
    shutil.copytree(folder / "dinov2-large", cached / "snapshots" / "1")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("1", encoding="utf-8")
    weights = cached / "snapshots" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    said = reports(tmp_path, HF_HUB_CACHE=str(cached.parent), HF_HUB_OFFLINE="1")
    assert f"{cached} cannot be used" in said["dino"][1] and said.keys() == METRICS.keys()
