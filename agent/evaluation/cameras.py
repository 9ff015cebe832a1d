"""Owns what is computed of cameras: their size, what they see of points, and how they stand in another world.

Similarities are those from the reconstruction's world to the reference's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.evaluation.data import Camera, Matrix
from agent.evaluation.score import Unavailable
from agent.evaluation.similarity import Floats, inverse, rows, scale_of
from protocol.models import PinholeView


def scaled(camera: Camera, long_px: int) -> Camera:
    """The same view as a picture whose longer side is `long_px`."""
    width_px, height_px = (
        max(1, round(side * long_px / max(camera.width_px, camera.height_px)))
        for side in (camera.width_px, camera.height_px)
    )
    across, down = width_px / camera.width_px, height_px / camera.height_px
    return Camera(
        to_world=camera.to_world,
        focal_px=camera.focal_px * long_px / max(camera.width_px, camera.height_px),
        center_px=(camera.center_px[0] * across, camera.center_px[1] * down),
        width_px=width_px,
        height_px=height_px,
    )


def projected(camera: Camera, points: Floats) -> Floats:
    """N×3 points of the world (metres) → N×3: pixels from the left and the top, and depth in metres, which is negative
    behind the camera."""
    to_world = np.asarray(camera.to_world, np.float64)
    seen = np.c_[points, np.ones(len(points))] @ np.linalg.inv(to_world).T[:, :3]
    depth = -seen[:, 2]
    safe = np.where(depth == 0.0, np.nan, depth)
    x = camera.center_px[0] + camera.focal_px * seen[:, 0] / safe
    y = camera.center_px[1] - camera.focal_px * seen[:, 1] / safe
    return np.stack([x, y, depth], axis=1)


def view_of(camera: Camera, moved: Matrix | None) -> PinholeView:
    """What shows a scene as `camera` sees it once it is `moved`, together with its lights and its world.

    The camera is moved the other way instead: a perspective picture does not tell how large the world is, so nothing in
    the scene has to be scaled. ValueError where `moved` is no similarity, or the camera's matrix is of no camera.
    """
    to_world = np.asarray(camera.to_world, np.float64)
    if moved is not None:
        to_world = np.asarray(inverse(moved), np.float64) @ to_world
    to_world[:3, :3] /= scale_of(to_world)
    longer = max(camera.width_px, camera.height_px)
    return PinholeView(
        to_world=rows(to_world),
        focal=camera.focal_px / longer,
        center=(camera.center_px[0] / camera.width_px, camera.center_px[1] / camera.height_px),
    )


# ── a common frame without a mesh ─────────────────────────────────────────────────────────────────────────────────────
def by_camera(own: Camera, depth_m: float, reference: Camera, novel: Sequence[Camera]) -> Matrix:
    """The similarity from a reconstruction's world to its reference's by our rule for where there is no mesh.

    The run's `own` camera is taken to be the reference camera: same direction, and the scene's centre at the same place
    of the picture and of the same size. The centre is, in the reference's world, the point nearest to the optical axes
    of all its cameras; in the reconstruction what lies at that place of the picture, at `depth_m` (the depth of the
    middle of its objects). So a reconstruction is not punished for another field of view, which nothing in one picture
    tells from another distance. Raises Unavailable where the cameras share no centre before them.
    """
    center = _nearest_to_axes([reference, *novel])
    x, y, depth = projected(reference, center[None])[0]
    if depth <= 0.0 or depth_m <= 0.0:
        raise Unavailable("the scene's centre lies behind the camera, so views without a mesh have no common frame")
    here, there = np.asarray(own.to_world, np.float64), np.asarray(reference.to_world, np.float64)
    place = (x / reference.width_px * own.width_px, y / reference.height_px * own.height_px)
    own_center = here[:3, 3] + here[:3, :3] @ _ray(own, *place) * depth_m
    scale = (depth / _focal(reference)) / (depth_m / _focal(own))
    moved = np.eye(4)
    moved[:3, :3] = scale * there[:3, :3] @ here[:3, :3].T
    moved[:3, 3] = center - moved[:3, :3] @ own_center
    return rows(moved)


def _nearest_to_axes(cameras: Sequence[Camera]) -> Floats:
    """The point whose squared distances to the cameras' optical axes have the smallest sum."""
    total, pulled = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        matrix = np.asarray(camera.to_world, np.float64)
        axis = matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
        across = np.eye(3) - np.outer(axis, axis)
        total, pulled = total + across, pulled + across @ matrix[:3, 3]
    if np.linalg.cond(total) > 1e6:
        raise Unavailable("all cameras look the same way, so the depth of the scene's centre is not known")
    return np.asarray(np.linalg.solve(total, pulled), np.float64)


def _ray(camera: Camera, x: float, y: float) -> Floats:
    """In the camera's frame, to a pixel, one metre deep."""
    across, down = x - camera.center_px[0], y - camera.center_px[1]
    return np.array([across / camera.focal_px, -down / camera.focal_px, -1.0])


def _focal(camera: Camera) -> float:
    """As a part of the picture's longer side."""
    return camera.focal_px / max(camera.width_px, camera.height_px)
