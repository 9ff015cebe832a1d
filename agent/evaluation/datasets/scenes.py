"""Owns our own layout: a folder for each scene with reference.png, cameras.json and, where known, gt_mesh.glb,
mask.png and novel_NN.png. `agent/evaluation/regression/` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from agent.errors import InputUnreadable
from agent.evaluation.data import Camera, Dataset, Item, MeshFile, View
from agent.evaluation.datasets.cameras import StoredCamera
from agent.evaluation.datasets.files import Foreign, distinct, entries, folders, id_from, is_file, read_json, told

CAMERAS = "cameras.json"


class StoredCameras(Foreign):
    """The whole of `cameras.json`, but what describes it to people."""

    reference: StoredCamera
    novel: dict[str, StoredCamera] = Field(default_factory=dict)


def looks_like(path: Path) -> bool:
    return any(is_file(folder / CAMERAS) for folder in (path, *folders(path)))


def read(path: Path) -> Dataset:
    """Raises InputUnreadable."""
    inside = [path] if is_file(path / CAMERAS) else folders(path)
    scenes = [folder for folder in inside if is_file(folder / CAMERAS)]
    if not scenes:
        remedy = f"Each scene is a folder with {CAMERAS} and reference.png, as `make regression-set` writes them."
        raise InputUnreadable(f"There is no scene in {path}.", remedy)
    notes = list(told(f"folders without {CAMERAS}", [folder.name for folder in inside if folder not in scenes]))
    ids = distinct([id_from(folder.resolve().name) for folder in scenes])
    items = [item for id, folder in zip(ids, scenes, strict=True) for item in _item(id, folder, notes)]
    if not items:
        raise InputUnreadable(f"No scene in {path} has its reference.png.", "Copy or render the set again.")
    return Dataset(name=path.resolve().name, items=tuple(items), notes=tuple(notes))


def _item(id: str, folder: Path, notes: list[str]) -> Iterator[Item]:
    """None where the picture itself is missing."""
    if not is_file(folder / "reference.png"):
        notes.append(f"{id} has no reference.png and is left out")
        return
    stored = read_json(folder / CAMERAS, StoredCameras)
    mask, mesh = folder / "mask.png", folder / "gt_mesh.glb"
    if not is_file(mesh):
        notes.append(f"{id} has no gt_mesh.glb: its geometry cannot be judged")
    reference = View(
        name="reference.png",
        picture=folder / "reference.png",
        mask=mask if is_file(mask) else None,
        camera=_camera(folder, "reference.png", stored.reference),
    )
    novel = tuple(_novel(id, folder, stored, notes))
    yield Item(id=id, reference=reference, novel=novel, mesh=MeshFile(path=mesh, up="Y") if is_file(mesh) else None)


def _novel(id: str, folder: Path, stored: StoredCameras, notes: list[str]) -> Iterator[View]:
    missing = []
    for name, camera in stored.novel.items():
        if is_file(folder / name):
            yield View(name=name, picture=folder / name, camera=_camera(folder, name, camera))
        else:
            missing.append(name)
    notes += told(f"{id}: novel views of {CAMERAS} that are not there", missing)
    without = [path.name for path in entries(folder) if path.match("novel_*.png") and path.name not in stored.novel]
    notes += told(f"{id}: novel views left out, since {CAMERAS} has no camera for them", without)


def _camera(folder: Path, name: str, stored: StoredCamera) -> Camera:
    return stored.camera(f"{folder / CAMERAS}, camera of {name}", folder / name)
