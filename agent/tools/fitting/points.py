"""Owns a camera from correspondences: points of the world, and where the picture shows them. Takes no look.

Pixels are those of the target picture, origin top left, y down; the world is right-handed, Z up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from agent.tools.fitting.facts import CameraFacts, ObjectFacts, SceneFacts
from agent.tools.fitting.poses import free, put
from agent.tools.fitting.trial import Unfit
from agent.tools.fitting.writing import assignments

Floats = NDArray[np.float64]

FOR_LENS = 4
"""Points from which on the focal length is solved too."""
LENS_PULL = 0.002
"""Part of the long side that a logarithm of 1 away from the lens that stands counts: what they hardly tell is held."""
LENS_REACH = 2.0
"""That logarithm at most."""
ORBITS_DEG = (0.0, -45.0, 45.0, -90.0, 90.0, 180.0)
"""About the points' middle: where the solution is begun beside the place where the camera stands."""
NEAREST = 1e-3
"""Metres before the camera: a point behind it is seen as if it were there."""


@dataclass(frozen=True)
class Solved:
    """A camera that sees the points nearest to where the picture shows them."""

    source: str
    """The edit that sets it."""
    told: dict[str, Any]
    before_px: float
    after_px: float
    """Root mean square distance over the points."""


def camera_of_points(
    scene: SceneFacts, facts: ObjectFacts, size_px: tuple[int, int], picture: Sequence[Sequence[float]],
    world: Sequence[Sequence[float]],
) -> Solved:  # fmt: skip
    """Place, rotation and, of four points or more, focal length. `picture`: fractions; `world`: metres.

    Raises Unfit where the camera is not perspective, or where the points lie on one line.
    """
    camera = scene.camera
    if camera is None or camera.type != "PERSP":
        raise Unfit("the scene has no active perspective camera, which is what points are for")
    seen, places = np.array(picture) * size_px, np.array(world, np.float64)
    spread = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
    if spread[1] < 1e-3 * spread[0]:
        raise Unfit("the points lie on one line, which tells no camera")
    with_lens, pose = len(seen) >= FOR_LENS, np.array(camera.matrix_world)
    scale = np.linalg.norm(pose[:3, :3], axis=0)

    def off(values: Floats) -> Floats:
        """Two rows for each point, and one for the lens, in pixels."""
        shown = _projected(camera, size_px, _turned(values), values[3:6], float(np.exp(values[6])), places)
        return np.append((shown - seen).ravel(), LENS_PULL * max(size_px) * values[6] if with_lens else 0.0)

    now = np.concatenate([Rotation.from_matrix(pose[:3, :3] / scale).as_rotvec(), pose[:3, 3], [0.0]])
    found = [_refined(off, start, with_lens) for start in _starts(now, places)]
    best = min(found, key=lambda one: round(_rms(off(one)), 1))  # of equals the one nearest to where the camera stands
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = _turned(best) * scale, best[3:6]
    lens = camera.lens_mm * float(np.exp(best[6]))
    told: dict[str, Any] = {
        "camera": camera.name,
        "location": [_shorts(pose[:3, 3]), _shorts(matrix[:3, 3])],
        "lens_mm": [camera.lens_mm, _shorts(np.array([lens]))[0]],
        "reprojection_px": _shorts(np.array([_rms(off(now)), _rms(off(best))])),
        "off_px": _shorts(np.linalg.norm(off(best)[:-1].reshape(-1, 2), axis=1)),
    }
    source = free(facts) + put(camera.name, matrix) + assignments({f"objects[{camera.name!r}].data.lens": lens})
    return Solved(source, told, _rms(off(now)), _rms(off(best)))


def _projected(
    camera: CameraFacts, size_px: tuple[int, int], turned: Floats, place: Floats, longer: float, places: Floats
) -> Floats:
    """Pixels in which points are seen by a lens that is `longer` times the camera's own."""
    before = (places - place) @ turned
    flat = before[:, :2] / np.maximum(-before[:, 2:], NEAREST) * longer
    across = camera.sensor_fit == "HORIZONTAL" or (camera.sensor_fit == "AUTO" and camera.aspect >= 1)
    side, shift = (0, camera.shift[0]) if across else (1, camera.shift[1])
    extent = np.tan(np.radians(camera.fov_deg[side]) / 2) / (0.5 + shift)  # of that side at distance 1
    fitted_px = size_px[side]
    moved = fitted_px * np.multiply(camera.shift, (-1, 1))
    return np.asarray(flat * (1, -1) * fitted_px / extent + np.array(size_px) / 2 + moved)


def _starts(now: Floats, places: Floats) -> Iterator[Floats]:
    """Where the camera stands, and from there about the points' middle, looking at it."""
    yield now
    middle = places.mean(axis=0)
    for degrees in ORBITS_DEG:
        place = middle + Rotation.from_euler("z", degrees, degrees=True).apply(now[3:6] - middle)
        back = place - middle
        right = np.cross((0, 0, 1), back)
        if np.linalg.norm(right) < 1e-6:
            continue
        axes = np.stack([right, np.cross(back, right), back], axis=1)
        yield np.concatenate([Rotation.from_matrix(axes / np.linalg.norm(axes, axis=0)).as_rotvec(), place, [0.0]])


def _refined(off: Callable[[Floats], Floats], start: Floats, with_lens: bool) -> Floats:
    """The pose first: a lens that is freed at once makes up for a wrong one."""
    posed = least_squares(lambda pose: off(np.append(pose, 0.0)), start[:6], x_scale="jac", max_nfev=300).x
    if not with_lens:
        return np.append(posed, 0.0)
    reach = np.append(np.full(6, np.inf), LENS_REACH)
    freed = least_squares(off, np.append(posed, 0.0), bounds=(-reach, reach), x_scale="jac", max_nfev=300)
    return np.asarray(freed.x)


def _turned(values: Floats) -> Floats:
    """Rotation matrix of the first three, a rotation vector."""
    return np.asarray(Rotation.from_rotvec(values[:3]).as_matrix())


def _rms(off: Floats) -> float:
    return float(np.sqrt(np.mean(np.sum(off[:-1].reshape(-1, 2) ** 2, axis=1))))


def _shorts(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
