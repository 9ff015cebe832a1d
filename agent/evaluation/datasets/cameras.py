"""Owns taking a camera from a data set: only a finite, right-handed one becomes a `Camera`."""

from __future__ import annotations

import numpy as np

from agent.errors import InputUnreadable
from agent.evaluation.data import Camera, Matrix
from agent.evaluation.datasets.files import Foreign

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

    def camera(self, where: str) -> Camera:
        """`where` names it in errors. Raises InputUnreadable."""
        return camera_from(where, self.camera_to_world, self.focal_px, (self.cx, self.cy), (self.width, self.height))


def camera_from(
    where: str, to_world: Matrix, focal_px: float, center_px: tuple[float, float], size_px: tuple[int, int]
) -> Camera:
    """Raises InputUnreadable."""
    _check_pose(where, to_world)
    width, height = size_px
    if not (0 < focal_px < 1e6 and 0 < width < 10**6 and 0 < height < 10**6):
        message = f"{where}: a focal length of {focal_px:g} px for {width} × {height} px cannot be."
        raise InputUnreadable(message, "All three are above 0.")
    return Camera(to_world=to_world, focal_px=focal_px, center_px=center_px, width_px=width, height_px=height)


def _check_pose(where: str, to_world: Matrix) -> None:
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
