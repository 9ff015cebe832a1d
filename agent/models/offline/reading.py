"""Owns the reading of a picture: frame, background, and the named parts that the scene is made of. A pure function of
it.

A reading is what every role shares; it is made anew wherever it is needed (and remembered), never stored. Knows no
Blender.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache
from math import radians

import numpy as np
from PIL import Image
from scipy import ndimage

from agent.models.offline.background import Background, read_background
from agent.models.offline.colors import Floats, Labels, Mask, color_word, to_lab, to_linear, to_srgb
from agent.models.offline.frame import Frame
from agent.models.offline.regions import partition
from agent.models.offline.shapes import Shape, read_shape

LONG_SIDE_PX = 512
LEAST_SIDE_PX = 12
"""A smaller picture is enlarged for reading."""
FRINGE_PX = 2
"""Width of the rim where an object's colour is mixed with the background's."""
PITCH = radians(25.0)
"""Of the camera where there is a ground: its horizon then lies above the frame, so that any wall line fits."""


@dataclass(frozen=True, eq=False)
class Part:
    """One coloured region: a leaf of the scene graph."""

    name: str
    mask: Mask
    """Where it is seen."""
    body: Mask
    """What it covers: its mask, and what lies upon it."""
    shape: Shape
    color: tuple[float, float, float]
    """Mean, in linear light."""
    silhouette: int
    """Number of the connected silhouette that it belongs to, from 1."""
    upon: int | None
    """Index of the part whose middle it lies upon."""


@dataclass(frozen=True, eq=False)
class Reading:
    rgb: Floats
    """sRGB 0 … 1 on white, at the size of the frame."""
    linear: Floats
    cutout: bool
    frame: Frame
    background: Background
    silhouettes: Labels
    """Connected silhouettes, 0 elsewhere."""
    labels: Labels
    """Part index + 1, 0 elsewhere."""
    parts: tuple[Part, ...]
    planes: dict[int, float] = field(default_factory=dict)
    """By silhouette: the y of the upright plane that it stands in."""

    def plane(self, part: Part) -> float:
        return self.planes[part.silhouette]

    def group(self, number: int) -> str | None:
        """Name of the group that a silhouette's parts form; None for a single part."""
        members = [part for part in self.parts if part.silhouette == number]
        return f"{members[0].name}_group" if len(members) > 1 else None


@lru_cache(maxsize=8)
def read_picture(png: bytes, cutout: bool, most_parts: int) -> Reading:
    rgb, mask = _decoded(png, cutout)
    height, width = rgb.shape[:2]
    lab = ndimage.gaussian_filter(to_lab(rgb), (0.8, 0.8, 0)) if min(height, width) > 4 else to_lab(rgb)
    background = Background(mask, np.ones(3), None) if cutout else read_background(rgb, lab)
    if not background.objects.any():
        background = _with_something(background, cutout)
    objects = background.objects
    labels = partition(_without_fringe(lab, objects), objects, most_parts, max(12.0, 0.0025 * float(objects.sum())))
    silhouettes, _ = ndimage.label(objects, np.ones((3, 3)))
    frame = _frame(width, height, background, objects)
    linear = to_linear(rgb)
    parts = _parts(labels, silhouettes, linear, objects)
    planes = {part.silhouette: _plane(frame, silhouettes == part.silhouette, background) for part in parts}
    return Reading(rgb, linear, cutout, frame, background, silhouettes, labels, parts, planes)


def _without_fringe(lab: Floats, objects: Mask) -> Floats:
    """The rim of each object takes the colour within: mixed with the background, it is no region of its own."""
    inner = ndimage.binary_erosion(objects, iterations=FRINGE_PX)
    if not inner.any():
        return lab
    distance, nearest = ndimage.distance_transform_edt(~inner, return_indices=True)
    rim = objects & (distance > 0) & (distance <= 2 * FRINGE_PX)
    return np.asarray(np.where(rim[..., None], lab[tuple(nearest)], lab))


def _with_something(background: Background, cutout: bool) -> Background:
    """A picture without objects is all object when cut out, else all ground: a scene has at least one part."""
    if cutout:
        return Background(np.ones_like(background.objects), background.plain, None)
    return Background(background.objects, None, background.line)


def _decoded(png: bytes, cutout: bool) -> tuple[Floats, Mask]:
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    long, short = max(image.size), min(image.size)
    scale = min(1.0, LONG_SIDE_PX / long) if short * min(1.0, LONG_SIDE_PX / long) >= LEAST_SIDE_PX else 1.0
    if short < LEAST_SIDE_PX:
        scale = min(LEAST_SIDE_PX / short, max(1.0, LONG_SIDE_PX / long))
    if scale != 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    pixels = np.asarray(image, np.float64) / 255
    alpha = pixels[..., 3]
    mask = alpha > 0.5 if cutout else np.ones(alpha.shape, bool)
    return pixels[..., :3] * alpha[..., None] + 1 - alpha[..., None], mask


def _frame(width: int, height: int, background: Background, objects: Mask) -> Frame:
    """With a ground: looked down upon. Without: level, the ground z = 0 touching what lies lowest."""
    if background.plain is None:
        return Frame(width, height, PITCH)
    level = Frame(width, height)
    lowest = float(np.flatnonzero(objects.any(axis=1)).max() + 1) if objects.any() else height
    return Frame(width, height, aim=(lowest - height / 2) * level.pixel_size(0.0))


def _plane(frame: Frame, silhouette: Mask, background: Background) -> float:
    """Where a thing stands: behind the ground under its lowest pixels, by a quarter of its width."""
    if background.plain is not None:
        return 0.0
    rows, columns = np.nonzero(silhouette)
    bottom = int(rows.max())
    x = float(columns[rows >= bottom - 1].mean()) + 0.5
    y = frame.on_ground(x, bottom + 1.0)[1]
    return y + 0.25 * float(np.ptp(columns) + 1) * frame.pixel_size(y)


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _parts(labels: Labels, silhouettes: Labels, linear: Floats, objects: Mask) -> tuple[Part, ...]:
    bodies = [_filled(labels == number, objects) for number in range(1, int(labels.max()) + 1)]
    parts, taken = list[Part](), dict[str, int]()
    for number, body in enumerate(bodies, start=1):
        mask = labels == number
        color = linear[mask].mean(axis=0)
        shape = read_shape(body)
        word = color_word(_triple(to_srgb(color)))
        upon = _upon(mask, bodies, number - 1)
        name = _unique(f"{word}_{shape.word}", taken)
        silhouette = int(np.bincount(silhouettes[mask]).argmax())
        parts.append(Part(name, mask, body, shape, _triple(color), silhouette, upon))
    return tuple(parts)


def _filled(mask: Mask, objects: Mask) -> Mask:
    """With the holes through which no background is seen."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if not count:
        return mask
    open_pixels = np.bincount(holes.ravel(), weights=(~objects).ravel(), minlength=count + 1)
    share = open_pixels / np.maximum(np.bincount(holes.ravel(), minlength=count + 1), 1)
    closed = share < 0.1
    closed[0] = False
    return np.asarray(mask | closed[holes])


def _upon(mask: Mask, bodies: list[Mask], own: int) -> int | None:
    """The smallest other body that holds all of a part."""
    area = np.count_nonzero(mask)
    holding = [
        (np.count_nonzero(body), index)
        for index, body in enumerate(bodies)
        if index != own and np.count_nonzero(body) > 1.2 * area and np.count_nonzero(body & mask) > 0.97 * area
    ]
    return min(holding)[1] if holding else None


def _unique(name: str, taken: dict[str, int]) -> str:
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name}_{taken[name]}"


def _triple(values: Floats) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
