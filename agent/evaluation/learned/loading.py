"""Owns reading trained weights: what cannot be read is `Unavailable`, with the file, the reason and the way out.

Imports torch only when asked to, so that a machine without it can be told.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.evaluation.score import Unavailable

if TYPE_CHECKING:
    from torch import Tensor

GUIDE = "docs/evaluation-weights.md says how to get it."
MOST_THREADS = 4
FOR_TESTS = "OTHER-SIZES-FOR-TESTS"
"""A file beside weights that may be of any sizes: what reads networks is tried with small ones."""

_INSTALL = "`make evaluate` installs it; elsewhere: pip install"


def require(*modules: str) -> None:
    """Import them, or say which one is missing."""
    for name in modules:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: one of its shared libraries
            raise Unavailable(
                f"{name} cannot be imported ({_one_line(error)}). {_INSTALL} 'seig[evaluation,stand-ins]'."
            ) from None
        if name == "torch":
            module.set_num_threads(min(MOST_THREADS, os.cpu_count() or 1))


def packaged(package: str, file: str) -> Path:
    """A data file of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    folders = found.submodule_search_locations if found is not None else None
    if not folders:
        raise Unavailable(
            f"The package {package}, which holds {Path(file).name}, is not installed. {_INSTALL} --no-deps {package}."
        )
    return Path(next(iter(folders))) / file


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if not isinstance(found, dict):
        raise unreadable(path, "it holds no JSON object")
    return found


def read_tensors(path: Path, *inside: str) -> dict[str, Tensor]:
    """A file of tensors, as torch or safetensors writes it; `inside` names dictionaries within dictionaries."""
    if not path.is_file():
        raise missing(path)
    try:
        found = _read(path)
    except Exception as error:  # what a broken file makes an unpickler raise is of no one class
        raise unreadable(path, error) from None
    for name in inside:
        if not isinstance(found, dict) or name not in found:
            raise unreadable(path, f"it has no {name!r}")
        found = found[name]
    import torch

    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise unreadable(path, "it is no table of tensors")
    return {str(name): value.float() for name, value in found.items()}


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def take(tensors: Mapping[str, Tensor], name: str, rank: int, path: Path) -> Tensor:
    """One tensor of a file, of that many dimensions."""
    found = tensors.get(name)
    if found is None:
        raise unreadable(path, f"it lacks {name}; is it another network's?")
    if found.ndim != rank:
        raise unreadable(path, f"{name} has {found.ndim} dimensions instead of {rank}; is it another network's?")
    return found


def check_sizes(found: Mapping[str, int], published: Mapping[str, int], path: Path) -> None:
    """That this is the network that the metric is named after: no figure of another one goes by that name, unless a
    file beside it says that it is for tests. `path`: the weights' file or folder."""
    differing = [f"{name} {found[name]} instead of {size}" for name, size in published.items() if found[name] != size]
    folder = path if path.is_dir() else path.parent
    if differing and not (folder / FOR_TESTS).is_file():
        raise unreadable(path, f"it is another network: {', '.join(differing)}")


def missing(path: Path) -> Unavailable:
    return Unavailable(f"{path} is missing. {GUIDE}")


def unreadable(path: Path, reason: object) -> Unavailable:
    said = reason if isinstance(reason, str) else _one_line(reason)
    return Unavailable(f"{path} cannot be used: {said}. {GUIDE}")


def _one_line(error: object) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return (said if len(said) <= 200 else f"{said[:197]}...").rstrip(".")
