"""Owns the comparison of two meshes whose elements may stand in another order.

Vertices are the same where they lie in the same place; edges and faces where they join the same places in the same
direction. What is stored per vertex, edge, face or corner must then agree too. Arrays have the names that the server
gives them (`blender_server/elements.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Arrays = dict[str, bytes]
Ints = NDArray[np.int64]

TOLERANCE = 1e-5
"""Of any number: relative for numbers above 1, and for places relative to meshes larger than 1."""
INTEGERS = {"edges", "loop_starts", "corner_vertices", "material_index"}
TOPOLOGY = {"vertices", "edges", "loop_starts", "corner_vertices", "weights"}


@dataclass(frozen=True)
class Mesh:
    vertices: NDArray[np.float64]
    edges: Ints
    starts: Ints
    """Index of each face's first corner, and the number of corners at the end."""
    corners: Ints
    """Vertex of each corner."""
    data: dict[str, NDArray[np.float64]]
    """Everything else."""

    @classmethod
    def of(cls, arrays: Arrays) -> Mesh:
        corners = _ints(arrays.get("corner_vertices", b""))
        return cls(
            vertices=np.frombuffer(arrays.get("vertices", b""), np.float32).reshape(-1, 3).astype(np.float64),
            edges=_ints(arrays.get("edges", b"")).reshape(-1, 2),
            starts=np.append(_ints(arrays.get("loop_starts", b"")), len(corners)),
            corners=corners,
            data={name: numbers(name, array) for name, array in arrays.items() if name not in TOPOLOGY},
        )

    @property
    def counts(self) -> tuple[int, int, int, int]:
        return len(self.vertices), len(self.edges), len(self.starts) - 1, len(self.corners)


@dataclass(frozen=True)
class Order:
    """The elements of one mesh in an order that does not depend on how they are stored."""

    keys: tuple[bytes, ...]
    """What the order is by: equal for two meshes of the same shape."""
    by_domain: tuple[Ints, Ints, Ints, Ints]
    """Vertices, edges, faces, corners."""


def mesh_deviation(first: Arrays, second: Arrays) -> float | None:
    """The largest deviation of any number between two meshes that are the same up to order; None if they are not."""
    one, other = Mesh.of(first), Mesh.of(second)
    if one.counts != other.counts or one.data.keys() != other.data.keys():
        return None
    places = _places(one.vertices, other.vertices)
    if places is None:
        return None
    orders = _order(one, places[0]), _order(other, places[1])
    if orders[0].keys != orders[1].keys or not _same_weights(first, second, places):
        return None
    deviations = [places[2], *(_data_deviation(name, one, other, orders) for name in one.data)]
    return None if None in deviations else max(found for found in deviations if found is not None)


# ── which vertices are the same ───────────────────────────────────────────────────────────────────────────────────────
def _places(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[Ints, Ints, float] | None:
    """A number for the place of each vertex of both, equal for the same place, and how far same places are apart."""
    if not len(one):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return None
    reach = TOLERANCE * max(1.0, float(np.ptp(one, axis=0).max()))
    in_order = np.abs(one - other).max()
    if in_order <= reach:
        return np.arange(len(one)), np.arange(len(one)), float(in_order)
    return _clusters(one, other, reach)


def _clusters(one: NDArray[np.float64], other: NDArray[np.float64], reach: float) -> tuple[Ints, Ints, float] | None:
    apart = max(cKDTree(one).query(other)[0].max(), cKDTree(other).query(one)[0].max())
    if apart > reach:
        return None
    both = np.concatenate([one, other])
    pairs = cKDTree(both).query_pairs(reach, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(both), len(both)))
    _, labels = connected_components(links, directed=False)
    first, second = labels[: len(one)].astype(np.int64), labels[len(one) :].astype(np.int64)
    size = labels.max() + 1
    if not np.array_equal(np.bincount(first, minlength=size), np.bincount(second, minlength=size)):
        return None
    return first, second, float(apart)


# ── an order by places ────────────────────────────────────────────────────────────────────────────────────────────────
def _order(mesh: Mesh, places: Ints) -> Order:
    ends = np.sort(places[mesh.edges], axis=1)
    edges = np.lexsort((ends[:, 1], ends[:, 0]))
    faces = list(_faces(mesh, places))
    keys = (ends[edges].tobytes(), *(one.loops.tobytes() for one in faces))
    by_domain = (
        np.argsort(places, kind="stable"),
        edges,
        np.concatenate([_NONE, *(one.faces for one in faces)]),
        np.concatenate([_NONE, *(one.corners.ravel() for one in faces)]),
    )
    return Order(keys=keys, by_domain=by_domain)


@dataclass(frozen=True)
class Polygons:
    """All faces of one number of corners, in order."""

    faces: Ints
    corners: Ints
    """faces × number of corners, each row beginning at the corner with the lowest place."""
    loops: Ints
    """The places of these corners."""


_NONE: Ints = np.zeros(0, np.int64)


def _faces(mesh: Mesh, places: Ints) -> Iterator[Polygons]:
    sizes = np.diff(mesh.starts)
    for size in np.unique(sizes[sizes > 0]):
        faces, steps = np.flatnonzero(sizes == size), np.arange(size)
        corners = mesh.starts[faces][:, None] + steps
        loops = places[mesh.corners[corners]]
        turned = (loops.argmin(axis=1)[:, None] + steps) % size
        corners, loops = (np.take_along_axis(rows, turned, axis=1) for rows in (corners, loops))
        order = np.lexsort(loops.T[::-1])
        yield Polygons(faces[order], corners[order], loops[order])


# ── what is stored with the elements ──────────────────────────────────────────────────────────────────────────────────
def _data_deviation(name: str, one: Mesh, other: Mesh, orders: tuple[Order, Order]) -> float | None:
    """Nothing says which elements an array belongs to, so it is any kind that it fits: equal in one is equal."""
    first, second = one.data[name], other.data[name]
    if first.shape != second.shape:
        return None
    if not first.size:
        return 0.0
    found = []
    for count, order, order_of_other in zip(one.counts, orders[0].by_domain, orders[1].by_domain, strict=True):
        if count and len(first) % count == 0:
            found.append(values_deviation(_rows(first, count)[order], _rows(second, count)[order_of_other]))
    fitting = [deviation for deviation in found if deviation is not None]
    return min(fitting) if fitting else None


def _rows(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return values.reshape(count, -1)


def _same_weights(first: Arrays, second: Arrays, places: tuple[Ints, Ints, float]) -> bool:
    """Of vertex groups, which are stored as (vertex, group, weight)."""
    lists = []
    for arrays, numbers in zip((first, second), places[:2], strict=True):
        rows = np.frombuffer(arrays.get("weights", b""), np.float32).reshape(-1, 3).astype(np.float64)
        vertices = numbers[rows[:, 0].astype(np.int64)]
        lists.append(np.column_stack([vertices, rows[:, 1:]])[np.lexsort((rows[:, 2], rows[:, 1], vertices))])
    return lists[0].shape == lists[1].shape and bool(np.allclose(lists[0], lists[1], rtol=0, atol=TOLERANCE))


def values_deviation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """The largest difference of numbers that are the same within the tolerance, else None."""
    if first.shape != second.shape:
        return None
    if not first.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        gap = np.where(same, 0.0, np.abs(first - second))
        near = gap <= TOLERANCE * np.maximum(1.0, np.abs(first))
    return float(gap.max()) if bool(near.all()) else None


def numbers(name: str, array: bytes) -> NDArray[np.float64]:
    """Of any array of a dump."""
    return np.frombuffer(array, np.int32 if name in INTEGERS else np.float32).astype(np.float64)


def _ints(array: bytes) -> Ints:
    return np.frombuffer(array, np.int32).astype(np.int64)
