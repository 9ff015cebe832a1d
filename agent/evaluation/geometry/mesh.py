"""Owns a triangle mesh of named objects, the file that we keep it in, and the points that are taken from its surface.

Frame: Z up, metres, as in Blender. Files of other programs are read by `mesh_file.py`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agent.evaluation.score import Unavailable
from agent.evaluation.similarity import applied

MOST_TRIANGLES = 5_000_000
MOST_FILE_BYTES = 512 * 2**20
MOST_COORDINATE_M = 1e9
"""What lies farther out counts as no place at all, like a NaN."""

Points = NDArray[np.float64]
"""N × 3."""
Faces = NDArray[np.int64]
"""M × 3: indices of vertices."""
Similarity = NDArray[np.float64]
"""4 × 4, applied to columns."""


class Part(NamedTuple):
    """One object: the next so many vertices and faces of the mesh."""

    name: str
    vertices: int
    faces: int


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Objects one after another, in the order of `parts`. Need be neither closed, manifold nor finite."""

    vertices: Points
    faces: Faces
    parts: tuple[Part, ...]

    @classmethod
    def joined(cls, objects: Iterable[tuple[str, ArrayLike, ArrayLike]]) -> TriangleMesh:
        """From (name, vertices, faces that count from the object's own first vertex)."""
        vertices, faces, parts, before = [np.empty((0, 3))], [np.empty((0, 3), dtype=np.int64)], [], 0
        for name, own_vertices, own_faces in objects:
            vertices.append(np.asarray(own_vertices, dtype=np.float64).reshape(-1, 3))
            faces.append(np.asarray(own_faces, dtype=np.int64).reshape(-1, 3) + before)
            parts.append(Part(name, len(vertices[-1]), len(faces[-1])))
            before += len(vertices[-1])
        return cls(np.concatenate(vertices), np.concatenate(faces), tuple(parts))

    def with_vertices(self, vertices: Points) -> TriangleMesh:
        """The same objects and faces, its vertices elsewhere."""
        return replace(self, vertices=vertices)

    def moved(self, matrix: Similarity) -> TriangleMesh:
        return self.with_vertices(applied(matrix, self.vertices))

    def vertices_of(self, name: str) -> Points:
        """K × 3, in the order that the object has them; raises KeyError."""
        begin = 0
        for part in self.parts:
            if part.name == name:
                return self.vertices[begin : begin + part.vertices]
            begin += part.vertices
        raise KeyError(name)


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def save_mesh(mesh: TriangleMesh, path: Path) -> None:
    """As .npz: names (K), vertices (N × 3), faces (M × 3), vertex_counts (K), face_counts (K)."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array([part.name for part in mesh.parts], dtype=np.str_),
            vertices=mesh.vertices,
            faces=mesh.faces,
            vertex_counts=np.array([part.vertices for part in mesh.parts], dtype=np.int64),
            face_counts=np.array([part.faces for part in mesh.parts], dtype=np.int64),
        )


def load_mesh(path: Path) -> TriangleMesh:
    """What `save_mesh` wrote; raises Unavailable. Never unpickles anything, nor unpacks more than a stated size."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
        if unpacked_bytes > MOST_FILE_BYTES:
            raise Unavailable(f"{path.name} unpacks to {unpacked_bytes:,} bytes, the limit is {MOST_FILE_BYTES:,}")
        with np.load(path, allow_pickle=False) as arrays:
            counts = zip(arrays["names"], arrays["vertex_counts"], arrays["face_counts"], strict=True)
            parts = tuple(Part(str(name), int(vertices), int(faces)) for name, vertices, faces in counts)
            mesh = TriangleMesh(arrays["vertices"].astype(np.float64), arrays["faces"].astype(np.int64), parts)
    except FileNotFoundError as error:
        raise Unavailable(f"there is no file {path}") from error
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, NotImplementedError) as error:
        raise Unavailable(f"{path.name} is no mesh file of ours: {type(error).__name__}: {error}") from error
    _check(mesh, path.name)
    return mesh


def _check(mesh: TriangleMesh, name: str) -> None:
    vertices, faces = mesh.vertices, mesh.faces
    if any(array.ndim != 2 or array.shape[1] != 3 for array in (vertices, faces)):
        raise Unavailable(f"{name}: its vertices and faces are not rows of three")
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise Unavailable(f"{name}: a triangle names a vertex that is not there")
    if any(part.vertices < 0 or part.faces < 0 for part in mesh.parts):
        raise Unavailable(f"{name}: an object has a negative number of vertices or faces")
    if (sum(part.vertices for part in mesh.parts), sum(part.faces for part in mesh.parts)) != (
        len(vertices),
        len(faces),
    ):
        raise Unavailable(f"{name}: its objects do not add up to its vertices and faces")


# ── the surface ───────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class Surface:
    """The triangles of a mesh that have a finite place and an area: what is measured of it."""

    corners: NDArray[np.float64]
    """M × 3 × 3."""
    areas: NDArray[np.float64]
    notes: tuple[str, ...]
    """What was left out."""

    @property
    def box(self) -> tuple[Points, Points]:
        """Lowest and highest corner."""
        return self.corners.min(axis=(0, 1)), self.corners.max(axis=(0, 1))

    @property
    def diagonal_m(self) -> float:
        low, high = self.box
        return float(np.linalg.norm(high - low))

    def sample(self, count: int, seed: int) -> Points:
        """Points at random, as many in an area as it is large; the same ones for the same seed."""
        random = np.random.default_rng(seed)
        reached = np.cumsum(self.areas)
        chosen = np.searchsorted(reached, random.random(count) * reached[-1], side="right").clip(max=len(reached) - 1)
        first, second = random.random((2, count, 1))
        root = np.sqrt(first)
        weights = np.stack((1.0 - root, root * (1.0 - second), root * second), axis=1)
        points: Points = (self.corners[chosen] * weights).sum(axis=1)
        return points


def surface_of(mesh: TriangleMesh) -> Surface:
    """Raises Unavailable where there is none."""
    count = len(mesh.faces)
    if not len(mesh.vertices):
        raise Unavailable("the mesh is empty")
    if not count:
        raise Unavailable(f"the mesh has {len(mesh.vertices):,} points but no triangle")
    if count > MOST_TRIANGLES:
        raise Unavailable(f"the mesh has {count:,} triangles, the limit is {MOST_TRIANGLES:,}")
    placed = np.all(np.abs(mesh.vertices) <= MOST_COORDINATE_M, axis=1)  # a NaN is not
    corners = mesh.vertices[mesh.faces[np.all(placed[mesh.faces], axis=1)]]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2.0
    flat = areas <= 0.0
    notes = _notes(count, count - len(corners), int(flat.sum()))
    if flat.all():
        raise Unavailable("the mesh has no surface: " + "; ".join(notes))
    return Surface(corners[~flat], areas[~flat], notes)


def _notes(count: int, misplaced: int, flat: int) -> tuple[str, ...]:
    reasons = (
        (misplaced, f"have a corner that is not finite or beyond {MOST_COORDINATE_M:g} m"),
        (flat, "have no area"),
    )
    return tuple(f"{number:,} of {count:,} triangles {why}" for number, why in reasons if number)
