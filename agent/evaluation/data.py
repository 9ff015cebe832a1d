"""Owns what is known of the pictures that are evaluated on: a data set, its items, their views, cameras and meshes.

How each layout on disk is read is left to `datasets/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from protocol.models import Value

Matrix = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]


class Camera(Value):
    """A pinhole camera, as Blender has it: it looks along its -Z, +Y is up; the world's Z is up, in metres."""

    to_world: Matrix
    focal_px: float
    center_px: tuple[float, float]
    """Principal point from the left and the top, in pixels of the picture's own size."""
    width_px: int
    height_px: int


class View(Value):
    name: str
    picture: Path
    mask: Path | None = None
    """White where the objects are; None: the picture's own alpha, if it has any."""
    camera: Camera | None = None


class MeshFile(Value):
    """A reference mesh; in the world of the item's cameras, once turned to Z up."""

    path: Path
    up: Literal["Y", "Z"]


class Item(Value):
    """One picture to reconstruct, and what is known of what it shows."""

    id: str
    group: str = ""
    """What several items show from several sides: a scene's name."""
    reference: View
    novel: tuple[View, ...] = ()
    """Never given to the reconstructor."""
    mesh: MeshFile | None = None


class Dataset(Value):
    name: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """What was odd about it, and what was left out."""
