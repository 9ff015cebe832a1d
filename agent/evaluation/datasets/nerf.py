"""Owns the layout of the NeRF synthetic scenes: transforms_{train,val,test}.json and the pictures that they list.

The paper takes five views of seven of the eight scenes and does not say which; `PAPER_VIEWS` says which ones are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.errors import InputUnreadable
from agent.evaluation.data import Camera, Dataset, Item, Matrix, View
from agent.evaluation.datasets.cameras import camera_from
from agent.evaluation.datasets.files import Foreign, distinct, folders, id_from, is_file, read_json, told
from agent.picture_file import stored_size

SPLITS = ("test", "val", "train")
"""In the order in which one is looked for where one suffices: the test views go round the scene evenly."""
PAPER_SCENES = ("chair", "drums", "ficus", "hotdog", "lego", "mic", "ship")
"""All but materials."""
PAPER_VIEWS = 5
"""Of each scene: every fifth part of the way along the test split, from its first view on."""
_MOST_FRAMES = 100_000


class _Frame(Foreign):
    file_path: str
    transform_matrix: Matrix


class _Transforms(Foreign):
    camera_angle_x: Annotated[float, Field(gt=0, lt=math.pi)]
    """In radians, across the picture's width."""
    frames: Annotated[tuple[_Frame, ...], Field(max_length=_MOST_FRAMES)]


def _transforms(scene: Path, split: str) -> Path:
    return scene / f"transforms_{split}.json"


def _splits(scene: Path) -> list[str]:
    return [split for split in SPLITS if is_file(_transforms(scene, split))]


def looks_like(path: Path) -> bool:
    return any(_splits(folder) for folder in (path, *folders(path)))


def _scenes(path: Path) -> list[Path]:
    found = [path] if _splits(path) else [folder for folder in folders(path) if _splits(folder)]
    if not found:
        remedy = "Each scene is a folder with transforms_train.json, transforms_val.json or transforms_test.json."
        raise InputUnreadable(f"There is no NeRF scene in {path}.", remedy)
    return found


def read(path: Path) -> Dataset:
    """Every view of every split is an item. Raises InputUnreadable."""
    notes = list[str]()
    items = [
        item
        for scene in _scenes(path)
        for split in reversed(_splits(scene))
        for item in _items(scene, split, _views(scene, split, notes))
    ]
    return _dataset(path.resolve().name, path, items, notes)


def read_paper(path: Path) -> Dataset:
    """`PAPER_VIEWS` views of each of `PAPER_SCENES`. Raises InputUnreadable."""
    notes, items, missing = list[str](), list[Item](), list[str]()
    for name in PAPER_SCENES:
        if not (splits := _splits(path / name)):
            missing.append(name)
            continue
        if splits[0] != "test":
            notes.append(f"{name} has no transforms_test.json: its views are of {splits[0]}")
        views = _views(path / name, splits[0], notes)
        items += _items(path / name, splits[0], [views[index] for index in _spread(len(views))])
        if len(views) < PAPER_VIEWS:
            notes.append(f"{name} has only {len(views)} of the {PAPER_VIEWS} views")
    if len(missing) == len(PAPER_SCENES):
        message = f"None of the paper's scenes ({', '.join(PAPER_SCENES)}) is in {path}."
        raise InputUnreadable(message, "Give the folder that has a folder for each; a single scene is nerf:FOLDER.")
    notes += told("scenes of the paper that are not there", missing)
    notes.append("which five views the paper took is not known; these are ours, evenly spaced over the test views")
    found = len(PAPER_SCENES) - len(missing)
    return _dataset("nerf-paper" if not missing else f"nerf-paper, {found} of 7 scenes", path, items, notes)


def _dataset(name: str, path: Path, items: list[Item], notes: list[str]) -> Dataset:
    if not items:
        raise InputUnreadable(f"None of the pictures that {path} lists is there.", "Copy or download it again.")
    ids = distinct([item.id for item in items])
    renamed = tuple(item.model_copy(update={"id": id}) for item, id in zip(items, ids, strict=True))
    return Dataset(name=name, items=renamed, notes=tuple(notes))


def _views(scene: Path, split: str, notes: list[str]) -> list[View]:
    """Those whose pictures can be opened."""
    path = _transforms(scene, split)
    stored, views, missing, broken = read_json(path, _Transforms), list[View](), list[str](), list[str]()
    for number, frame in enumerate(stored.frames):
        picture = _picture(scene, frame.file_path)
        if picture is None:
            missing.append(frame.file_path)
            continue
        try:
            size = stored_size(picture)
        except InputUnreadable:
            broken.append(frame.file_path)
            continue
        camera = _camera(f"{path}, frame {number}", stored.camera_angle_x, frame.transform_matrix, size)
        views.append(View(name=picture.stem, picture=picture, camera=camera))
    notes += told(f"{scene.name}: pictures of {path.name} that are not there", missing)
    notes += told(f"{scene.name}: pictures of {path.name} that cannot be read", broken)
    return views


def _picture(scene: Path, stored: str) -> Path | None:
    """Names are stored without an ending."""
    candidates = (scene / f"{stored}.png", scene / stored, scene / f"{stored}.jpg")
    return next((path for path in candidates if is_file(path)), None)


def _camera(where: str, angle: float, to_world: Matrix, size: tuple[int, int]) -> Camera:
    width, height = size
    return camera_from(where, to_world, width / 2 / math.tan(angle / 2), (width / 2, height / 2), size)


def _items(scene: Path, split: str, views: Sequence[View]) -> Iterator[Item]:
    """Each with the views that lie a fifth, two fifths … of the way on as its novel ones."""
    group = scene.resolve().name
    for index, view in enumerate(views):
        others = tuple(views[(index + step) % len(views)] for step in _spread(len(views))[1:])
        yield Item(id=id_from(group, split, view.name), group=group, reference=view, novel=others)


def _spread(count: int) -> list[int]:
    """At most PAPER_VIEWS numbers below `count`, evenly spaced, beginning with 0."""
    return sorted({step * count // PAPER_VIEWS for step in range(PAPER_VIEWS)}) if count else []
