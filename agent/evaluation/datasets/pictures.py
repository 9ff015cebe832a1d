"""Owns the plainest layout: a folder of pictures, or one picture; nothing more is known of them."""

from __future__ import annotations

from pathlib import Path

from agent.errors import InputUnreadable
from agent.evaluation.data import Dataset, Item, View
from agent.evaluation.datasets.files import distinct, entries, id_from, is_file, told

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".ico")
)


def is_picture(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in SUFFIXES


def looks_like(path: Path) -> bool:
    return is_picture(path) if is_file(path) else any(is_picture(entry) for entry in entries(path))


def read(path: Path) -> Dataset:
    """Raises InputUnreadable."""
    found = [path] if is_file(path) else [entry for entry in entries(path) if is_file(entry)]
    pictures = [entry for entry in found if is_picture(entry)]
    if not pictures:
        remedy = f"Pictures are told by their names: {', '.join(sorted(SUFFIXES))}. Folders in it are not looked into."
        raise InputUnreadable(f"There is no picture in {path}.", remedy)
    ids = distinct([id_from(picture.stem) for picture in pictures])
    items = (
        Item(id=id, reference=View(name=picture.name, picture=picture))
        for id, picture in zip(ids, pictures, strict=True)
    )
    others = [entry.name for entry in found if not is_picture(entry)]
    return Dataset(name=path.stem, items=tuple(items), notes=tuple(told("no pictures, by their names", others)))
