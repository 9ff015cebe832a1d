"""A mesh of named objects, its file, the points of its surface, and the distance between two surfaces."""

import zipfile

import numpy as np
import pytest

from agent.evaluation.geometry import mesh as meshes
from agent.evaluation.geometry.chamfer import SAMPLES, nearness, nearness_of_points
from agent.evaluation.geometry.mesh import TriangleMesh, load_mesh, save_mesh, surface_of
from agent.evaluation.score import Unavailable
from tests.evaluation.shapes import box, chair, grid, mesh, similarity

TRIANGLE = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def square(up=0.0, size=1.0):
    """A square of 1 m, cut into many triangles."""
    steps = np.linspace(0, size, 11)
    across, along = (axis.reshape(-1) for axis in np.meshgrid(steps, steps))
    return mesh(square=(np.stack((across, along, np.full_like(across, up)), axis=1), grid(11, 11)))


# ── the value and its file ────────────────────────────────────────────────────────────────────────────────────────────
def test_objects_are_joined_one_after_another_and_found_by_name():
    joined = mesh(first=(TRIANGLE, [(0, 1, 2)]), second=(np.add(TRIANGLE, 5), [(0, 2, 1)]))
    assert joined.parts == (("first", 3, 1), ("second", 3, 1))
    assert joined.faces.tolist() == [[0, 1, 2], [3, 5, 4]]
    assert joined.vertices_of("second").tolist() == np.add(TRIANGLE, 5).tolist()
    with pytest.raises(KeyError):
        joined.vertices_of("third")


def test_a_mesh_comes_back_from_its_file_as_it_was(tmp_path):
    shape = chair()
    save_mesh(shape, tmp_path / "chair.npz")
    again = load_mesh(tmp_path / "chair.npz")
    assert again.parts == shape.parts
    assert np.array_equal(again.vertices, shape.vertices)
    assert np.array_equal(again.faces, shape.faces)


def test_a_mesh_without_objects_comes_back_too(tmp_path):
    save_mesh(TriangleMesh.joined(()), tmp_path / "none.npz")
    assert load_mesh(tmp_path / "none.npz").parts == ()


def written(path, **changes):
    arrays = {
        "names": np.array(["a"]),
        "vertices": np.array(TRIANGLE),
        "faces": np.array([(0, 1, 2)]),
        "vertex_counts": np.array([3]),
        "face_counts": np.array([1]),
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"faces": np.array([(0, 1, 3)])}, "names a vertex that is not there"),
        ({"faces": np.array([(0, 1, -1)])}, "names a vertex that is not there"),
        ({"faces": np.array([(0, 1)])}, "rows of three"),
        ({"vertices": np.zeros(3)}, "rows of three"),
        ({"vertex_counts": np.array([4])}, "do not add up"),
        ({"vertex_counts": np.array([-3])}, "negative number"),
        ({"face_counts": None}, "no mesh file of ours"),
        ({"names": np.array(["a", "b"])}, "no mesh file of ours"),
        ({"vertices": np.array([["x", "y", "z"]] * 3)}, "no mesh file of ours"),
        (
            {"names": np.array(["a", "b"]), "vertex_counts": np.array([4, -1]), "face_counts": np.array([1, 0])},
            "negative",
        ),
    ],
)
def test_a_mesh_file_that_says_what_cannot_be_is_refused(tmp_path, changes, reason):
    with pytest.raises(Unavailable, match=reason):
        load_mesh(written(tmp_path / "bad.npz", **changes))


def test_a_mesh_file_is_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(Unavailable, match="no mesh file of ours"):
        load_mesh(written(tmp_path / "trap.npz", names=np.array([Trap()], dtype=object)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_file_that_is_none_of_ours_is_unavailable(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(Unavailable, match="no mesh file of ours"):
        load_mesh(tmp_path / "bad.npz")
    with pytest.raises(Unavailable, match="no file"):
        load_mesh(tmp_path / "none.npz")


def test_a_mesh_file_that_would_unpack_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vertices.npy", bytes(2**20))
    monkeypatch.setattr(meshes, "MOST_FILE_BYTES", 2**19)
    assert (tmp_path / "bomb.npz").stat().st_size < 2**12
    with pytest.raises(Unavailable, match="unpacks to 1,048,576 bytes"):
        load_mesh(tmp_path / "bomb.npz")


# ── surfaces that there are not, or only in part ──────────────────────────────────────────────────────────────────────
def test_an_empty_mesh_has_no_surface():
    with pytest.raises(Unavailable, match="the mesh is empty"):
        surface_of(TriangleMesh.joined(()))


def test_points_alone_are_no_surface():
    with pytest.raises(Unavailable, match="3 points but no triangle"):
        surface_of(mesh(points=(TRIANGLE, ())))


def test_triangles_without_an_area_are_no_surface():
    with pytest.raises(Unavailable, match="1 of 1 triangles have no area"):
        surface_of(mesh(line=([(0, 0, 0), (1, 1, 1), (2, 2, 2)], [(0, 1, 2)])))


@pytest.mark.parametrize("nowhere", [np.nan, np.inf, -1e30])
def test_what_has_no_place_is_left_out_and_named(nowhere):
    vertices, faces = box((0, 0, 0), (1, 1, 1), cells=1)
    broken = mesh(box=(vertices, faces), torn=(np.add(TRIANGLE, (0, 0, nowhere)), [(0, 1, 2)]))
    surface = surface_of(broken)
    assert surface.diagonal_m == pytest.approx(np.sqrt(3))
    assert surface.notes == ("1 of 13 triangles have a corner that is not finite or beyond 1e+09 m",)
    assert np.isfinite(surface.sample(100, seed=0)).all()
    with pytest.raises(Unavailable, match="no surface: 1 of 1 triangles have a corner that is not finite"):
        surface_of(mesh(torn=(np.full((3, 3), nowhere), [(0, 1, 2)])))


def test_flat_triangles_among_others_are_left_out_and_named():
    surface = surface_of(mesh(one=(TRIANGLE, [(0, 1, 2), (0, 0, 1)])))
    assert surface.notes == ("1 of 2 triangles have no area",)
    assert len(surface.corners) == 1


def test_a_mesh_need_not_be_manifold():
    """Three sheets on one edge, and one of them twice."""
    vertices = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)]
    surface = surface_of(mesh(fan=(vertices, [(0, 1, 2), (0, 1, 3), (0, 1, 4), (0, 1, 4)])))
    assert surface.areas.tolist() == [0.5] * 4
    assert nearness(surface, surface, seed=0).fscore > 0.99


def test_a_mesh_beyond_the_limit_is_unavailable(monkeypatch):
    monkeypatch.setattr(meshes, "MOST_TRIANGLES", 199)
    with pytest.raises(Unavailable, match="has 200 triangles, the limit is 199"):
        surface_of(square())


def test_half_a_million_triangles_are_sampled():
    steps = np.linspace(0, 1, 501)
    across, along = (axis.reshape(-1) for axis in np.meshgrid(steps, steps))
    surface = surface_of(mesh(sheet=(np.stack((across, along, across * along), axis=1), grid(501, 501))))
    assert len(surface.areas) == 500_000
    points = surface.sample(SAMPLES, seed=0)
    assert points[:, 2] == pytest.approx(points[:, 0] * points[:, 1], abs=1e-5)


# ── sampling ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_same_seed_gives_the_same_points_and_another_seed_others():
    surface = surface_of(chair())
    assert np.array_equal(surface.sample(100, seed=3), surface.sample(100, seed=3))
    assert not np.array_equal(surface.sample(100, seed=3), surface.sample(100, seed=4))


def test_points_are_taken_in_proportion_to_area():
    three_to_one = mesh(
        large=([(0, 0, 0), (3, 0, 0), (0, 1, 0)], [(0, 1, 2)]), small=(np.add(TRIANGLE, 10), [(0, 1, 2)])
    )
    points = surface_of(three_to_one).sample(20_000, seed=0)
    large = points[:, 2] < 5
    assert large.mean() == pytest.approx(0.75, abs=0.01)
    assert points[large].mean(axis=0) == pytest.approx((1, 1 / 3, 0), abs=0.03)


# ── Chamfer and F-score ───────────────────────────────────────────────────────────────────────────────────────────────
def test_chamfer_of_a_few_points_is_what_one_works_out_by_hand():
    source, target = np.array([(0.0, 0, 0), (1, 0, 0)]), np.array([(0.0, 0, 0), (1, 0, 0), (1, 0, 3)])
    assert nearness_of_points(source, target, diagonal_m=1).chamfer == pytest.approx(0 + 3 / 3)
    assert nearness_of_points(source, target, diagonal_m=10).chamfer == pytest.approx(0.1)
    assert nearness_of_points(source, source, diagonal_m=1) == nearness_of_points(target, target, diagonal_m=1)
    assert nearness_of_points(source, source, diagonal_m=1).chamfer == 0


def test_fscore_is_the_harmonic_mean_of_what_is_right_and_what_is_there():
    source, target = np.array([(0.0, 0, 0)]), np.array([(0.0, 0, 0.019), (0, 0, 9)])
    assert nearness_of_points(source, target, diagonal_m=1).fscore == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert nearness_of_points(source, np.add(target, (0, 0, 0.002)), diagonal_m=1).fscore == 0


def test_chamfer_is_the_same_both_ways_and_agrees_with_all_distances():
    random = np.random.default_rng(0)
    first, second = random.random((300, 3)), random.random((200, 3)) + 0.2
    every = np.linalg.norm(first[:, None] - second[None], axis=2)
    there = nearness_of_points(first, second, diagonal_m=1)
    assert there.chamfer == pytest.approx(every.min(axis=1).mean() + every.min(axis=0).mean())
    back = nearness_of_points(second, first, diagonal_m=1)
    assert (back.chamfer, back.fscore) == pytest.approx((there.chamfer, there.fscore))


def test_two_samplings_of_one_surface_are_the_floor():
    surface = surface_of(chair())
    same = nearness(surface, surface, seed=0)
    assert 0.011 < same.chamfer < 0.015
    assert same.fscore > 0.995


@pytest.mark.parametrize("apart_m", [0.1, 0.5, 2.0])
def test_parallel_squares_are_their_distance_apart_both_ways(apart_m):
    figures = nearness(surface_of(square(apart_m)), surface_of(square()), seed=0)
    assert figures.chamfer == pytest.approx(2 * apart_m / np.sqrt(2), rel=0.01)
    assert figures.fscore == 0


def test_what_is_missing_and_what_is_too_much_both_cost():
    whole, half = surface_of(square()), surface_of(square(size=0.5))
    floor = nearness(whole, whole, seed=0).chamfer
    # Of the whole, a quarter is there; the rest is 0.25 m away, averaged by hand over its three quarters.
    beyond = np.random.default_rng(0).random((100_000, 2))
    away = np.hypot(*(np.maximum(beyond - 0.5, 0).T)).mean()
    missing, surplus = nearness(half, whole, seed=0), nearness(whole, half, seed=0)
    assert missing.chamfer == pytest.approx(away / np.sqrt(2) + 0.75 * floor, abs=0.5 * floor)
    assert surplus.chamfer == pytest.approx(2 * missing.chamfer, rel=0.05)  # over half the diagonal
    assert missing.fscore < 0.5 < nearness(whole, whole, seed=0).fscore


def test_figures_do_not_depend_on_the_unit_of_length():
    shape, other = chair(), chair().moved(similarity(20))
    metres = nearness(surface_of(other), surface_of(shape), seed=0)
    kilometres = similarity(scale=0.001)
    other_km, shape_km = surface_of(other.moved(kilometres)), surface_of(shape.moved(kilometres))
    assert nearness(other_km, shape_km, seed=0).chamfer == pytest.approx(metres.chamfer)
    assert nearness(other_km, shape_km, seed=0).fscore == pytest.approx(metres.fscore)
