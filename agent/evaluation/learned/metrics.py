"""Owns the list of learned metrics and of the stand-ins: what is said of each, and how it is made ready.

Nothing here needs torch before a metric is loaded.
"""

from __future__ import annotations

from agent.evaluation.learned.loading import require
from agent.evaluation.score import MetricFacts, PairMeasure, PictureMetric, Weights

_WHITE = "both on white"
_OWN_SIZE = "the render's; reduced to 512 px where its longer side is longer, none below 64 px"
_CROPPED = "shorter side {} px (bicubic), centre crop of 224 px"
_SQUEEZED = "224 × 224 px (bicubic), whatever the aspect"

# ── ready to compare ──────────────────────────────────────────────────────────────────────────────────────────────────


def _lpips_alex(weights: Weights) -> PairMeasure:
    return _lpips("alex", weights)


def _lpips_vgg(weights: Weights) -> PairMeasure:
    return _lpips("vgg", weights)


def _lpips(network: str, weights: Weights) -> PairMeasure:
    require("torch")
    from agent.evaluation.learned import lpips

    return lpips.load(network, weights)


def _dreamsim(weights: Weights) -> PairMeasure:
    require("torch", "safetensors")
    from agent.evaluation.learned import dreamsim

    return dreamsim.load(weights)


def _dino(weights: Weights) -> PairMeasure:
    require("torch", "transformers")
    from agent.evaluation.learned import hub

    return hub.load(hub.DINO, weights)


def _clip(weights: Weights) -> PairMeasure:
    require("torch", "transformers")
    from agent.evaluation.learned import hub

    return hub.load(hub.CLIP_VISION, weights)


def _enlite0(weights: Weights) -> PairMeasure:
    require("torch", "efficientnet_lite_pytorch")
    from agent.evaluation.learned import stand_ins

    return stand_ins.load_enlite0()


def _vgg16hed(weights: Weights) -> PairMeasure:
    require("torch", "h5py")
    from agent.evaluation.learned import stand_ins

    return stand_ins.load_vgg16hed()


# ── what is said of them ──────────────────────────────────────────────────────────────────────────────────────────────
LEARNED: tuple[PictureMetric, ...] = (
    PictureMetric(
        MetricFacts(
            name="lpips_alex",
            title="LPIPS (AlexNet)",
            better="lower",
            variant="LPIPS 0.1, AlexNet trunk, learned heads",
            size=_OWN_SIZE,
            background=_WHITE,
            worst=1.0,
        ),
        _lpips_alex,
    ),
    PictureMetric(
        MetricFacts(
            name="lpips_vgg",
            title="LPIPS (VGG)",
            better="lower",
            variant="LPIPS 0.1, VGG-16 trunk, learned heads",
            size=_OWN_SIZE,
            background=_WHITE,
            worst=1.0,
        ),
        _lpips_vgg,
    ),
    PictureMetric(
        MetricFacts(
            name="dreamsim",
            title="DreamSim",
            better="lower",
            variant="ensemble (DINO, CLIP and OpenCLIP ViT-B/16 with its adapter), 1 − cosine",
            size=_SQUEEZED,
            background=_WHITE,
            worst=1.0,
        ),
        _dreamsim,
    ),
    PictureMetric(
        MetricFacts(
            name="dino",
            title="DINO",
            better="higher",
            variant="DINOv2 ViT-L/14, cosine of CLS tokens",
            size=_CROPPED.format(256),
            background=_WHITE,
            worst=0.0,
        ),
        _dino,
    ),
    PictureMetric(
        MetricFacts(
            name="clip",
            title="CLIP",
            better="higher",
            variant="OpenAI ViT-B/32, cosine of image embeddings",
            size=_CROPPED.format(224),
            background=_WHITE,
            worst=0.0,
        ),
        _clip,
    ),
)

STAND_INS: tuple[PictureMetric, ...] = (
    PictureMetric(
        MetricFacts(
            name="enlite0_cos",
            title="EfficientNet-Lite0 cosine",
            better="higher",
            variant="ImageNet classifier, mean of its last features, cosine; stands in for a semantic metric",
            size=_SQUEEZED,
            background=_WHITE,
            worst=0.0,
        ),
        _enlite0,
    ),
    PictureMetric(
        MetricFacts(
            name="vgg16hed_dist",
            title="VGG-16 (HED) distance",
            better="lower",
            variant="VGG-16 of an edge detector, no learned heads; stands in for a perceptual metric",
            size=_SQUEEZED,
            background=_WHITE,
            worst=2.0,
        ),
        _vgg16hed,
    ),
)
