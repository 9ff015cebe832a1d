"""A camera sees the same of a world that was moved with it, at any size; without a mesh a reconstruction is laid on its
reference by its own camera.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from agent.evaluation.cameras import by_camera, projected, scaled, view_of
from agent.evaluation.data import Camera
from agent.evaluation.score import Unavailable
from agent.evaluation.similarity import applied, inverse

POINTS = np.random.default_rng(0).uniform(-1, 1, (50, 3))


def looking(location, at=(0, 0, 0), focal_px=300.0, center_px=(160, 120), size=(320, 240)):
    backward = np.subtract(location, at) / np.linalg.norm(np.subtract(location, at))
    right = np.cross((0, 0, 1), backward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3] = np.stack([right, np.cross(backward, right), backward, location], axis=1)
    return Camera(to_world=rows(matrix), focal_px=focal_px, center_px=center_px, width_px=size[0], height_px=size[1])


def rows(matrix):
    return tuple(tuple(map(float, row)) for row in matrix)


def similarity(scale=2.5, angles=(20, -40, 70), move=(3, -2, 5)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), move
    return rows(matrix)


def seen_by(view, points, camera):
    """Through what a Blender is told."""
    longer = max(camera.width_px, camera.height_px)
    center_px = (view.center[0] * camera.width_px, view.center[1] * camera.height_px)
    told = camera.model_copy(
        update={"to_world": view.to_world, "focal_px": view.focal * longer, "center_px": center_px}
    )
    return projected(told, points)[:, :2]


def test_a_point_before_the_camera_lies_where_the_lens_puts_it():
    camera = looking((0, -4, 0), center_px=(100, 50))
    assert projected(camera, np.array([(0, 0, 0), (1, 0, 0), (0, 0, 1), (0, -8, 0)]))[:3] == pytest.approx(
        np.array([(100, 50, 4), (175, 50, 4), (100, -25, 4)])
    )
    assert projected(camera, np.array([(0, -8, 0)]))[0, 2] == -4


def test_the_same_view_at_another_size_has_the_same_things_at_the_same_places():
    camera = looking((1, -4, 2), center_px=(100, 50))
    small = scaled(camera, 80)
    assert (small.width_px, small.height_px) == (80, 60)
    assert projected(small, POINTS)[:, :2] * 4 == pytest.approx(projected(camera, POINTS)[:, :2])


def test_a_moved_scene_is_seen_as_the_camera_sees_its_moved_points():
    camera, moved = looking((1, -9, 2), center_px=(100, 50)), similarity()
    expected = projected(camera, applied(moved, POINTS))[:, :2]
    assert seen_by(view_of(camera, moved), POINTS, camera) == pytest.approx(expected)
    assert applied(inverse(moved), applied(moved, POINTS)) == pytest.approx(POINTS)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.__setitem__((0, slice(0, 3)), -m[0, :3]),
        lambda m: m.__setitem__((0, slice(0, 3)), 2 * m[0, :3]),
        lambda m: m.__setitem__((3, 0), 0.1),
        lambda m: m.__setitem__((0, 0), np.nan),
        lambda m: m.__setitem__((slice(0, 3), slice(0, 3)), 0),
    ],
    ids=["mirrored", "stretched", "projective", "no number", "flattened"],
)
def test_what_is_no_similarity_is_refused(change):
    matrix = np.array(similarity())
    change(matrix)
    with pytest.raises(ValueError, match="no similarity"):
        view_of(looking((0, -4, 0)), rows(matrix))


# ── by the camera ─────────────────────────────────────────────────────────────────────────────────────────────────────
REFERENCE = looking((2, -4, 3))
NOVEL = [looking((4, 2, 3)), looking((-3, -3, 4), focal_px=200.0)]


def as_seen_from(camera, scale=3.0):
    """A perfect reconstruction, seen from its own camera: everything elsewhere, and of another size."""
    away = np.array(similarity(scale))
    matrix = away @ np.array(camera.to_world)
    matrix[:3, :3] /= scale
    return camera.model_copy(update={"to_world": rows(matrix)}), applied(rows(away), POINTS)


def test_a_perfect_reconstruction_is_seen_right_from_every_side():
    own, points = as_seen_from(REFERENCE)
    depth_m = projected(own, applied(similarity(3.0), np.zeros((1, 3))))[0, 2]
    moved = by_camera(own, depth_m, REFERENCE, NOVEL)
    for camera in (REFERENCE, *NOVEL):
        assert seen_by(view_of(camera, moved), points, camera) == pytest.approx(projected(camera, POINTS)[:, :2])


def test_neither_its_field_of_view_nor_its_size_shifts_or_enlarges_what_is_seen():
    """Twice as far away through a lens of twice the length."""
    back = np.array(REFERENCE.to_world)
    depth = np.linalg.norm(back[:3, 3])
    back[:3, 3] *= 2
    own = REFERENCE.model_copy(update={"to_world": rows(back), "focal_px": 600.0})
    assert np.array(by_camera(own, 2 * depth, REFERENCE, NOVEL)) == pytest.approx(np.eye(4), abs=1e-9)
    half = scaled(own, 160)
    assert np.array(by_camera(half, 2 * depth, REFERENCE, NOVEL)) == pytest.approx(np.eye(4), abs=1e-9)


def test_cameras_without_a_common_centre_say_so():
    with pytest.raises(Unavailable, match="look the same way"):
        by_camera(REFERENCE, 5.0, REFERENCE, [REFERENCE])
    turned = [looking((2, -4, 3), at=(4, -8, 6)), looking((4, 2, 3), at=(8, 4, 6))]
    with pytest.raises(Unavailable, match="behind the camera"):
        by_camera(REFERENCE, 5.0, turned[0], turned[1:])
    with pytest.raises(Unavailable, match="behind the camera"):
        by_camera(REFERENCE, -5.0, REFERENCE, NOVEL)
