"""Owns taking a camera from a data set: only a finite, right-handed one becomes a `Camera`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.errors import InputUnreadable
from agent.evaluation.data import Camera, Matrix
from agent.evaluation.datasets.files import Foreign
from agent.picture_file import stored_size

TOLERANCE = 1e-3
"""How far a rotation may be from one: files have as few as four digits."""
_REMEDY = "A camera's matrix takes it into the world: X right, Y up, it looks along -Z; nothing is scaled or mirrored."


class StoredCamera(Foreign):
    """As `cameras.json` of our scenes has it."""

    camera_to_world: Matrix
    focal_px: float
    cx: float
    cy: float
    width: int
    height: int

    def camera(self, where: str, picture: Path) -> Camera:
        """Of that picture, which has to be of its size; `where` names it in errors. Raises InputUnreadable."""
        size = (self.width, self.height)
        camera = camera_from(where, self.camera_to_world, self.focal_px, (self.cx, self.cy), size)
        if (found := stored_size(picture)) != size:
            said = f"is for {size[0]} × {size[1]} px, the picture has {found[0]} × {found[1]}"
            raise InputUnreadable(f"{where}: it {said}.", "Give the camera of the picture as it is.")
        return camera


def camera_from(
    where: str, to_world: Matrix, focal_px: float, center_px: tuple[float, float], size_px: tuple[int, int]
) -> Camera:
    """Raises InputUnreadable."""
    pose = _pose(where, to_world)
    width, height = size_px
    if not (0 < focal_px < 1e6 and 0 < width < 10**6 and 0 < height < 10**6):
        message = f"{where}: a focal length of {focal_px:g} px for {width} × {height} px cannot be."
        raise InputUnreadable(message, "All three are above 0.")
    return Camera(to_world=pose, focal_px=focal_px, center_px=center_px, width_px=width, height_px=height)


def _pose(where: str, to_world: Matrix) -> Matrix:
    """With axes that are exactly perpendicular and of unit length."""
    pose = np.array(to_world, dtype=np.float64)
    if not np.isfinite(pose).all() or np.abs(pose).max() > 1e9:
        raise InputUnreadable(f"{where}: its matrix has numbers that are no places in a world.", _REMEDY)
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > TOLERANCE:
        raise InputUnreadable(
            f"{where}: its matrix does not end with 0, 0, 0, 1.", "Give a 4 × 4 camera-to-world matrix."
        )
    turn = pose[:3, :3]
    if np.abs(turn.T @ turn - np.eye(3)).max() > TOLERANCE:
        raise InputUnreadable(f"{where}: its matrix is no rotation: its columns are no three unit axes.", _REMEDY)
    if np.linalg.det(turn) < 0:
        raise InputUnreadable(f"{where}: its matrix is a reflection, not a rotation.", _REMEDY)
    left, _, right = np.linalg.svd(turn)
    pose[:3, :3], pose[3] = left @ right, (0.0, 0.0, 0.0, 1.0)
    first, second, third, fourth = (tuple(map(float, row)) for row in pose)
    return (first, second, third, fourth)  # type: ignore[return-value]
