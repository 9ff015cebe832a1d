"""Owns which layout a data set has: named ("nerf:FOLDER"), or recognised by what lies there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import InputUnreadable, UsageError
from agent.evaluation.data import Dataset
from agent.evaluation.datasets import edit3d, manifest, nerf, pictures, scenes
from agent.evaluation.datasets.files import is_file, is_folder


@dataclass(frozen=True)
class Kind:
    """One layout on disk."""

    what: str
    """In words."""
    read: Callable[[Path], Dataset]
    """Raises InputUnreadable."""
    looks_like: Callable[[Path], bool] | None
    """Of a path that is there; None: only by its name."""
    takes_files: bool = False
    takes_folders: bool = True


KINDS = {
    "nerf": Kind("NeRF synthetic scenes, with transforms_*.json", nerf.read, nerf.looks_like),
    "nerf-paper": Kind("the paper's 7 NeRF scenes, 5 views of each", nerf.read_paper, None),
    "scenes": Kind("our own scenes, with cameras.json", scenes.read, scenes.looks_like),
    "edit3d": Kind("Edit3D-Bench, the data of VoxHammer", edit3d.read, edit3d.looks_like),
    "manifest": Kind("a list of pictures, CSV or JSON lines", manifest.read, manifest.looks_like, True, False),
    "pictures": Kind("a folder of pictures, or one picture", pictures.read, pictures.looks_like, True),
}
"""In the order in which they are tried."""


def read_dataset(text: str) -> Dataset:
    """The data set that "KIND:PATH", or a path alone, names; of the latter its notes say as what it was read.

    Raises UsageError for an unknown kind, InputUnreadable for what cannot be read.
    """
    name, separator, rest = text.partition(":")
    if separator and name in KINDS:
        kind, path = KINDS[name], _existing(rest)
        if not (kind.takes_files if is_file(path) else kind.takes_folders):
            wanted = "file" if kind.takes_files else "folder"
            raise InputUnreadable(f"{path} is no {wanted}, but {name} is {kind.what}.", f"Give a {wanted}.")
        return kind.read(path)
    if separator and not (is_file(Path(text)) or is_folder(Path(text))) and "/" not in name:
        raise UsageError(f"there is no kind of data set {name!r}.", f"There are {', '.join(KINDS)}.")
    return _recognised(_existing(text))


def _existing(text: str) -> Path:
    path = Path(text).expanduser()
    if not text or not (is_file(path) or is_folder(path)):
        remedy = "Give a folder or file, or KIND:PATH with one of " + ", ".join(KINDS) + "."
        raise InputUnreadable(f"There is no data set at {text!r}.", remedy)
    return path


def _recognised(path: Path) -> Dataset:
    for name, kind in KINDS.items():
        fits = kind.takes_files if is_file(path) else kind.takes_folders
        if fits and kind.looks_like is not None and kind.looks_like(path):
            dataset = kind.read(path)
            return dataset.model_copy(update={"notes": (f"read as {name}: {kind.what}", *dataset.notes)})
    known = "; ".join(f"{name}: {kind.what}" for name, kind in KINDS.items())
    raise InputUnreadable(f"{path} is no data set that is known.", f"Known are {known}. Name one as KIND:PATH.")
