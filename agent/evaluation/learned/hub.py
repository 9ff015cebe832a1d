"""Owns DINO and CLIP: vision models that transformers reads, from a folder, its cache, or the hub if that answers."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from agent.evaluation.learned.comparing import compared, cosine
from agent.evaluation.learned.loading import GUIDE, check_sizes, missing, read_json, unreadable
from agent.evaluation.learned.pictures import CLIP, IMAGENET, Triple, batch, centered
from agent.evaluation.score import PairMeasure, Unavailable, Weights
from agent.picture import Rgb

if TYPE_CHECKING:
    from torch import Tensor

ANSWER_S = 8.0
"""How long the hub may take to answer before it counts as out of reach."""
CROP_PX = 224


class Network(NamedTuple):
    """One vision model, and what it is shown."""

    repository: str
    """On the hub."""
    folder: str
    """In a weights folder."""
    type_name: str
    """Its class in transformers."""
    kinds: tuple[str, ...]
    """`model_type` in its config.json."""
    published: dict[str, int]
    """Sizes by which it is told from its siblings."""
    short_px: int
    """The shorter side, before the crop."""
    colors: tuple[Triple, Triple]
    features: Callable[[Any], Any]
    """Of what the model puts out."""


DINO = Network(
    repository="facebook/dinov2-large",
    folder="dinov2-large",
    type_name="Dinov2Model",
    kinds=("dinov2",),
    published={"hidden_size": 1024, "num_hidden_layers": 24, "patch_size": 14},
    short_px=256,
    colors=IMAGENET,
    features=lambda out: out.last_hidden_state[:, 0],
)
CLIP_VISION = Network(
    repository="openai/clip-vit-base-patch32",
    folder="clip-vit-base-patch32",
    type_name="CLIPVisionModelWithProjection",
    kinds=("clip", "clip_vision_model"),
    published={"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 32},
    short_px=224,
    colors=CLIP,
    features=lambda out: out.image_embeds,
)


def load(network: Network, weights: Weights) -> PairMeasure:
    """The cosine of two pictures' features."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = weights.folder and weights.folder / network.folder
    model = _from_hub(network) if folder is None else _from_folder(network, folder)

    def features(rgb: Rgb) -> Tensor:
        shown = batch(centered(rgb, network.short_px, CROP_PX), *network.colors)
        return network.features(model(pixel_values=shown))

    return compared(features, cosine, remembered=8)


def _from_folder(network: Network, folder: Path) -> Any:
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in network.kinds:
        raise unreadable(folder / "config.json", f"it is a model of type {kind}, not {' or '.join(network.kinds)}")
    if not any(map(Path.is_file, (folder / "model.safetensors", folder / "pytorch_model.bin"))):
        raise missing(folder / "model.safetensors")
    try:
        return _read(network, str(folder), folder, local_files_only=True)
    except OSError as error:
        raise unreadable(folder, error) from None


def _from_hub(network: Network) -> Any:
    cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=network.repository, repo_type="model")
    try:
        return _read(network, network.repository, cache, local_files_only=True)
    except OSError:
        pass  # not in the cache
    name = f"{network.repository} is not in transformers' cache"
    if constants.HF_HUB_OFFLINE:
        raise Unavailable(f"{name}, and HF_HUB_OFFLINE forbids to fetch it. {GUIDE}")
    if problem := _silence(constants.ENDPOINT):
        raise Unavailable(f"{name}, and the hub does not answer ({problem}). {GUIDE}")
    try:
        return _read(network, network.repository, cache, local_files_only=False)
    except OSError as error:
        raise Unavailable(f"{name}, and could not be fetched: {' '.join(str(error).split())[:200]}. {GUIDE}") from None


def _read(network: Network, source: str, files: Path, local_files_only: bool) -> Any:
    """Raises OSError where `source` is not there, Unavailable where its `files` are of no use."""
    try:
        return _model(network, source, local_files_only)
    except (OSError, Unavailable):
        raise
    except Exception as error:  # of transformers, safetensors or torch: no one class
        raise unreadable(files, error) from None


def _model(network: Network, source: str, local_files_only: bool) -> Any:
    """Complete, of the published sizes, and for looking only."""
    read = getattr(transformers, network.type_name).from_pretrained
    model, info = read(source, local_files_only=local_files_only, output_loading_info=True, dtype=torch.float32)
    if info["missing_keys"]:
        raise unreadable(Path(source), f"its weights lack {min(info['missing_keys'])}; are they another network's?")
    sizes = {name: getattr(model.config, name) for name in network.published}
    check_sizes(sizes, network.published, Path(source))
    return model.eval().requires_grad_(False)


def _silence(address: str) -> str:
    """Why nothing answers there; empty where something does. Names may take their time to be looked up, so this is
    asked aside."""
    said = [f"no answer within {ANSWER_S:g} s"]

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S):
                said[0] = ""
        except urllib.error.HTTPError:
            said[0] = ""  # an answer, if no kind one
        except (OSError, ValueError) as error:
            said[0] = str(getattr(error, "reason", error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_S)
    return said[0]
