"""Owns the layout of Edit3D-Bench, the data of VoxHammer: objects with a mesh and, for each edit, a render of them.

What is reconstructed is the object before any edit: DATASET/OBJECT/prompt_K/2d_render.png, with
DATASET/OBJECT/source_model/model.glb as its mesh. Its 2d_mask.png marks what an edit may change, not where the object
is, and is not read; the cameras are not given. Also read: one object as VoxHammer ships its example, model.glb and
images/2d_render.png.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import RootModel

from agent.errors import InputUnreadable
from agent.evaluation.data import Dataset, Item, MeshFile, View
from agent.evaluation.datasets.files import Foreign, distinct, folders, id_from, is_file, read_json, told
from agent.picture_file import read_content

METADATA = "metadata.json"
RENDER = "2d_render.png"


class _Entry(Foreign):
    dataset: str
    source_model: str


class _Metadata(RootModel[tuple[_Entry, ...]], frozen=True):
    pass


def looks_like(path: Path) -> bool:
    return _is_example(path) or any(True for _ in _objects_in(_root(path)))


def read(path: Path) -> Dataset:
    """Raises InputUnreadable."""
    if _is_example(path):
        return Dataset(name=path.resolve().name, items=(_example(path),))
    root, notes = _root(path), list[str]()
    objects = _listed(root, notes) if is_file(root / METADATA) else list(_objects_in(root))
    items = [item for folder in objects for item in _items(folder, notes)]
    if not items:
        remedy = f"It has GSO/OBJECT/source_model/model.glb and GSO/OBJECT/prompt_1/{RENDER}."
        raise InputUnreadable(f"There is no object of Edit3D-Bench with its picture in {path}.", remedy)
    ids = distinct([item.id for item in items])
    renamed = tuple(item.model_copy(update={"id": id}) for item, id in zip(items, ids, strict=True))
    return Dataset(name=path.resolve().name, items=renamed, notes=tuple(notes))


def _is_example(path: Path) -> bool:
    return is_file(path / "model.glb") and is_file(path / "images" / RENDER)


def _example(path: Path) -> Item:
    view = View(name=RENDER, picture=path / "images" / RENDER)
    mesh = MeshFile(path=path / "model.glb", up="Y")
    return Item(id=id_from(path.resolve().name), reference=view, mesh=mesh)


def _root(path: Path) -> Path:
    """The folder of the data itself, given that or the one that it was cloned to."""
    return path / "data" if is_file(path / "data" / METADATA) else path


def _objects_in(root: Path) -> Iterator[Path]:
    for collection in folders(root):
        yield from (folder for folder in folders(collection) if is_file(_mesh_of(folder)))


def _mesh_of(folder: Path) -> Path:
    return folder / "source_model" / "model.glb"


def _listed(root: Path, notes: list[str]) -> list[Path]:
    """The objects of metadata.json, each once."""
    stored = read_json(root / METADATA, _Metadata).root
    listed = list(dict.fromkeys(root / entry.dataset / entry.source_model for entry in stored))
    missing = [folder for folder in listed if not is_file(_mesh_of(folder))]
    notes += told(f"objects of {METADATA} without their model.glb", [folder.relative_to(root) for folder in missing])
    return [folder for folder in listed if folder not in missing]


def _items(folder: Path, notes: list[str]) -> Iterator[Item]:
    """One for each different picture of an object: several edits mostly begin with the same one."""
    name, seen = id_from(folder.parent.name, folder.name), set[str]()
    pictures = [prompt / RENDER for prompt in folders(folder) if prompt.name.startswith("prompt_")]
    for picture in filter(is_file, pictures):
        digest = hashlib.sha256(read_content(picture)).hexdigest()
        if digest not in seen:
            seen.add(digest)
            view = View(name=RENDER, picture=picture)
            mesh = MeshFile(path=_mesh_of(folder), up="Y")
            yield Item(id=id_from(name, picture.parent.name), group=name, reference=view, mesh=mesh)
    if not seen:
        notes.append(f"{name} has no {RENDER} and is left out")
