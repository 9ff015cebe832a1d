"""Owns what may be moved of a camera or an object, as few numbers that do unlike things to the picture.

Right-handed, Z up; a camera looks along its own -Z. Angles in degrees; sizes as natural logarithms of ratios. All
numbers are 0 where the scene stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.tools.fitting.facts import CameraFacts, ObjectFacts, SceneFacts
from agent.tools.fitting.search import Number
from agent.tools.fitting.trial import Unfit
from agent.tools.fitting.writing import assignments, literal

Floats = NDArray[np.float64]

BACKDROP = 5.0
"""Times the size of the median object: what is larger is no subject."""


@dataclass(frozen=True)
class Knobs:
    """Numbers to look for, and what they mean."""

    numbers: tuple[Number, ...]
    source: Callable[[Sequence[float]], str]
    """The edit that sets values."""
    told: Callable[[Sequence[float]], dict[str, Any]]
    """Values by names that a model knows."""


# ── a camera ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def camera_knobs(scene: SceneFacts, facts: ObjectFacts, reach: float = 1.0) -> Knobs:
    """Six degrees of freedom and the focal length (of an orthographic camera the scale) about the scene's subject.

    Orbits keep the subject where it is in the picture, `perspective` (distance and lens together) its size. `reach`
    multiplies how far all may go. Raises Unfit for a panoramic camera.
    """
    camera = scene.camera
    if camera is None or camera.type not in ("PERSP", "ORTHO"):
        raise Unfit("the scene has no active camera that is perspective or orthographic")
    pose, pivot, flat = np.array(camera.matrix_world), subject(scene), camera.type == "ORTHO"
    names = {"pan": 4.0, "tilt": 4.0, "roll": 4.0, "azimuth": 8.0, "elevation": 6.0, "size": 0.12, "perspective": 0.2}
    usual = {"roll": 2.0, "azimuth": 8.0, "elevation": 6.0, "perspective": 0.12}
    numbers = tuple(
        Number(name, -reach * most, reach * most, 0.0, usual.get(name, np.inf))
        for name, most in names.items()
        if not flat or name != "perspective"
    )

    def moved(values: Sequence[float]) -> tuple[Floats, float, float]:
        by_name = dict(zip(names, values, strict=False))
        return _moved(pose, pivot, camera, by_name)

    def source(values: Sequence[float]) -> str:
        matrix, lens, scale = moved(values)
        thing = f"objects[{camera.name!r}]"
        focal = {f"{thing}.data.ortho_scale": scale} if flat else {f"{thing}.data.lens": lens}
        return free(facts) + put(camera.name, matrix) + assignments(focal)

    def told(values: Sequence[float]) -> dict[str, Any]:
        matrix, lens, scale = moved(values)
        focal = {"ortho_scale": [camera.ortho_scale, _short(scale)]} if flat else {
            "lens_mm": [camera.lens_mm, _short(lens)]}  # fmt: skip
        by_name = {one.name: _short(value) for one, value in zip(numbers, values, strict=True)}
        return {"camera": camera.name, "location": [_shorts(pose[:3, 3]), _shorts(matrix[:3, 3])], **focal,
                "moved_by": by_name}  # fmt: skip

    return Knobs(numbers, source, told)


def _moved(pose: Floats, pivot: Floats, camera: CameraFacts, by: dict[str, float]) -> tuple[Floats, float, float]:
    """World matrix, lens (mm) and orthographic scale (m)."""
    scale = np.linalg.norm(pose[:3, :3], axis=0)
    turned, place = pose[:3, :3] / scale, pose[:3, 3]
    orbit = _about((0, 0, 1), by["azimuth"]) @ _about(tuple(turned[:, 0]), by["elevation"])
    perspective = by.get("perspective", 0.0)
    nearer = 1.0 if camera.type == "ORTHO" else float(np.exp(perspective - by["size"]))
    place = pivot + nearer * (orbit @ (place - pivot))
    turned = orbit @ turned
    if camera.type == "ORTHO":  # the picture shifts as if the camera turned about the subject's distance
        across = camera.ortho_scale * np.radians([-by["pan"], by["tilt"]])
        place = place + turned[:, 0] * across[0] + turned[:, 1] * across[1]
        turned = turned @ _about((0, 0, 1), by["roll"])
    else:
        spins = (((0, 1, 0), by["pan"]), ((1, 0, 0), by["tilt"]), ((0, 0, 1), by["roll"]))
        for axis, degrees in spins:
            turned = turned @ _about(axis, degrees)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned * scale, place
    return matrix, camera.lens_mm * float(np.exp(perspective)), camera.ortho_scale * float(np.exp(-by["size"]))


def subject(scene: SceneFacts) -> Floats:
    """The middle of what the camera sees, without grounds and backdrops; else five metres before it."""
    assert scene.camera is not None
    pose = np.array(scene.camera.matrix_world)
    ahead = -pose[:3, 2] / np.linalg.norm(pose[:3, 2])
    boxes = np.array([one.world_box for one in scene.objects if one.world_box and one.in_frame > 0])
    if len(boxes):
        sizes = np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
        kept = boxes[sizes <= BACKDROP * np.sort(sizes)[(len(sizes) - 1) // 2]]
        middle = (kept[:, 0].min(axis=0) + kept[:, 1].max(axis=0)) / 2
        if (middle - pose[:3, 3]) @ ahead > 0:
            return np.asarray(middle)
    return np.asarray(pose[:3, 3] + 5.0 * ahead)


# ── an object ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def placement_knobs(scene: SceneFacts, facts: ObjectFacts) -> Knobs:
    """An object's place, turn about the vertical and size; its children follow. Raises Unfit where it cannot move."""
    if facts.constraints:
        raise Unfit(f"{facts.name!r} is held by a constraint: remove that first, or fit its values")
    below = scene.below(facts.name)
    boxes = np.array([one.world_box for one in scene.objects if one.name in below and one.world_box])
    if not len(boxes):
        raise Unfit(f"{facts.name!r} and what is below it have no extent to be seen")
    pose = np.array(facts.matrix_world)
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    size = float(np.linalg.norm(high - low))
    middle = np.array([*(low + high)[:2] / 2, low[2]])  # turned and sized about its foot, so that it goes on standing
    names = {"x": 0.2 * size, "y": 0.2 * size, "z": 0.2 * size, "turn": 25.0, "size": 0.25}
    numbers = tuple(Number(name, -most, most, 0.0, usual=most) for name, most in names.items())

    def moved(values: Sequence[float]) -> Floats:
        x, y, z, turn, larger = values
        matrix = pose.copy()
        spin = _about((0, 0, 1), turn) * float(np.exp(larger))
        matrix[:3, :3] = spin @ pose[:3, :3]
        matrix[:3, 3] = middle + spin @ (pose[:3, 3] - middle) + (x, y, z)
        return matrix

    def source(values: Sequence[float]) -> str:
        return put(facts.name, moved(values))

    def told(values: Sequence[float]) -> dict[str, Any]:
        by = dict(zip(names, values, strict=True))
        return {
            "object": facts.name,
            "location": [_shorts(pose[:3, 3]), _shorts(moved(values)[:3, 3])],
            "turned_deg": _short(by["turn"]),
            "scaled_by": _short(np.exp(by["size"])),
        }

    return Knobs(numbers, source, told)


def free(facts: ObjectFacts) -> str:
    """An edit that takes off what would hold an object in its place."""
    return f"import bpy\n\nbpy.data.objects[{facts.name!r}].constraints.clear()\n" if facts.constraints else ""


def put(name: str, matrix: Floats) -> str:
    """An edit that gives an object a pose in the world. As a Matrix: bare tuples would be taken for its columns."""
    rows = literal(matrix.tolist())
    return f"import bpy\nfrom mathutils import Matrix\n\nbpy.data.objects[{name!r}].matrix_world = Matrix({rows})\n"


def _about(axis: Sequence[float], degrees: float) -> Floats:
    """Rotation matrix (Rodrigues)."""
    x, y, z = np.array(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _shorts(values: Floats) -> list[float]:
    return [_short(value) for value in values]
