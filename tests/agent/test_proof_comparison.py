"""Two scenes are equivalent where only order and digits differ, and every other difference is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.rebuild.equivalence import Dump, compare
from agent.rebuild.mesh_order import Arrays, mesh_deviation

F, I = np.float32, np.int32  # noqa: E741


def grid(size: int = 4) -> dict[str, np.ndarray]:
    """A bumpy sheet of quads with a UV map, two materials, a weight and a value per vertex."""
    side = np.arange(size + 1)
    vertices = np.array([(x, y, np.sin(3 * x + y)) for y in side for x in side], F)
    corner = [(y * (size + 1) + x) for y in range(size) for x in range(size)]
    faces = np.array([(i, i + 1, i + size + 2, i + size + 1) for i in corner], I)
    edges = sorted({tuple(sorted((int(f[k]), int(f[(k + 1) % 4])))) for f in faces for k in range(4)})
    return {
        "vertices": vertices,
        "edges": np.array(edges, I),
        "faces": faces,
        "material_index": (np.arange(len(faces)) % 2).astype(I),
        "uv:UVMap": vertices[faces.ravel(), :2] / size,
        "attribute:heat": np.linspace(0, 1, len(vertices)).astype(F),
        "seams": (np.arange(len(edges)) % 5 == 0).astype(F),
        "weights": np.array([(3, 0, 0.5), (7, 1, 0.25)], F),
    }


def arrays(mesh: dict[str, np.ndarray]) -> Arrays:
    rest = {name: array for name, array in mesh.items() if name != "faces"}
    rest["corner_vertices"] = mesh["faces"].ravel()
    rest["loop_starts"] = np.arange(0, mesh["faces"].size, 4).astype(I)
    return {name: array.tobytes() for name, array in rest.items()}


def shuffled(mesh: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """The same mesh with vertices, edges and faces in another order, edges flipped and faces turned."""
    random = np.random.default_rng(seed)
    to_old = random.permutation(len(mesh["vertices"]))
    to_new = np.argsort(to_old)
    edge_order, face_order = random.permutation(len(mesh["edges"])), random.permutation(len(mesh["faces"]))
    turns = random.integers(0, 4, len(mesh["faces"]))
    uvs = mesh["uv:UVMap"].reshape(-1, 4, 2)[face_order]
    weights = mesh["weights"].copy()
    weights[:, 0] = to_new[weights[:, 0].astype(int)]
    edges = to_new[mesh["edges"]][edge_order]
    return {
        "vertices": mesh["vertices"][to_old],
        "edges": np.where(random.random((len(edges), 1)) < 0.5, edges, edges[:, ::-1]).astype(I),
        "faces": np.array(
            [np.roll(face, t) for face, t in zip(to_new[mesh["faces"]][face_order], turns, strict=True)], I
        ),
        "material_index": mesh["material_index"][face_order],
        "uv:UVMap": np.concatenate([np.roll(uv, t, axis=0) for uv, t in zip(uvs, turns, strict=True)]).astype(F),
        "attribute:heat": mesh["attribute:heat"][to_old],
        "seams": mesh["seams"][edge_order],
        "weights": weights[::-1],
    }


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 5))
def test_the_order_of_elements_does_not_matter(seed: int, size: int) -> None:
    mesh = grid(size)
    if size < 3:
        mesh["weights"] = mesh["weights"][:0]
    assert mesh_deviation(arrays(mesh), arrays(shuffled(mesh, seed))) == 0.0


def change(name: str, place: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    mesh = shuffled(grid(), 5)
    mesh[name] = mesh[name].copy()
    mesh[name][place] += value
    return mesh


def flipped_face() -> dict[str, np.ndarray]:
    mesh = shuffled(grid(), 5)
    mesh["faces"][3] = mesh["faces"][3][::-1]
    mesh["uv:UVMap"][12:16] = mesh["uv:UVMap"][12:16][::-1]
    return mesh


@pytest.mark.parametrize(
    "other",
    [
        change("vertices", (4, 2), 1e-3),
        change("uv:UVMap", (9, 0), 0.01),
        change("material_index", (2,), 1),
        change("attribute:heat", (6,), 0.01),
        change("weights", (0, 2), 0.01),
        change("weights", (0, 1), 1),
        change("seams", (0,), 1),
        flipped_face(),
        {**grid(), "color:Paint": np.ones((25, 4), F)},
        {**grid(), "vertices": np.concatenate([grid()["vertices"], np.zeros((1, 3), F)])},
        {**grid(), "vertices": np.full((25, 3), np.nan, F)},
    ],
    ids=["vertex", "uv", "material", "value", "weight", "group", "seam", "direction", "layer", "count", "nan"],
)
def test_any_other_difference_is_found(other: dict[str, np.ndarray]) -> None:
    assert mesh_deviation(arrays(grid()), arrays(other)) is None


def test_a_small_deviation_is_told() -> None:
    found = mesh_deviation(arrays(grid()), arrays(change("vertices", (4, 0), 5e-6)))
    assert found == pytest.approx(5e-6, rel=0.2)


def test_vertices_that_lie_in_one_place_are_matched_by_their_faces() -> None:
    """Two triangles that touch without sharing vertices, stored in either order."""
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
    one = {"vertices": np.array(corners, F), "edges": np.array([(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)], I)}
    other = {name: array.copy() for name, array in one.items()}
    other["vertices"] = np.roll(one["vertices"], 3, axis=0)
    found = []
    for mesh in (one, other):
        mesh |= {"corner_vertices": np.arange(6, dtype=I), "loop_starts": np.array([0, 3], I)}
        found.append({name: array.tobytes() for name, array in mesh.items()})
    assert mesh_deviation(*found) == 0.0


def test_an_empty_mesh_equals_itself() -> None:
    empty = dict.fromkeys(("vertices", "edges", "loop_starts", "corner_vertices", "material_index"), b"")
    assert mesh_deviation(empty, dict(empty)) == 0.0


def test_cubes_of_another_size_or_place_are_different() -> None:
    mesh = grid()
    assert mesh_deviation(arrays(mesh), arrays({**mesh, "vertices": mesh["vertices"] * F(1.01)})) is None


def dump(**changes: object) -> Dump:
    values = {
        "numbers": {"object:Cup": {"location": (0.0, 1.0, 200.0)}},
        "texts": {"object:Cup": {"parent": "Table"}},
        "meshes": {"mesh:Cup": arrays(grid())},
    }
    return Dump(**(values | changes))  # type: ignore[arg-type]


def test_numbers_within_the_tolerance_count_as_the_same_and_the_largest_is_told() -> None:
    moved = dump(numbers={"object:Cup": {"location": (0.000004, 1.0, 200.001)}})
    comparison = compare(dump(), moved)
    assert comparison.different == ()
    assert comparison.deviation == pytest.approx(0.001)


@pytest.mark.parametrize(
    "other",
    [
        dump(numbers={"object:Cup": {"location": (0.0001, 1.0, 200.0)}}),
        dump(numbers={"object:Cup": {"location": (0.0, 1.0)}}),
        dump(numbers={"object:Cup": {"location": (0.0, 1.0, 200.0), "scale": (1.0,)}}),
        dump(numbers={}),
        dump(texts={"object:Cup": {"parent": "Chair"}}),
    ],
)
def test_what_differs_is_named(other: Dump) -> None:
    assert compare(dump(), other).different == ("object:Cup",)
    assert compare(other, dump()).different == ("object:Cup",)


def test_meshes_and_things_of_only_one_scene_are_named() -> None:
    assert compare(dump(), dump(meshes={"mesh:Cup": arrays(shuffled(grid(), 2))})).different == ()
    assert compare(dump(), dump(meshes={"mesh:Cup": arrays(flipped_face())})).different == ("mesh:Cup",)
    assert compare(dump(), dump(meshes={})).different == ("mesh:Cup",)
    curve = {"curve:Rope": {"splines[0].points.co": b"\0\0\0\1"}}
    changed = {"curve:Rope": {"splines[0].points.co": b"\0\0\0\2"}}
    assert compare(dump(meshes=curve), dump(meshes=changed)).different == ("curve:Rope",)
