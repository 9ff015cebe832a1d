"""Owns the triangles of a reconstruction: read without trust from what a Blender tells, and which objects of it count.

Reference meshes hold objects and not what those stand in. So of a full picture these are left out, each with the
reason: what is named as surroundings ("Ground", "Back Wall", or below such a one), and what is seen at both the left
and the right edge of the run's own picture. Of a cut-out everything counts, for it shows nothing but objects.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.evaluation.geometry.mesh import TriangleMesh
from agent.scene_graph import SceneGraph
from protocol.errors import ProtocolViolated
from protocol.models import Surface, SurfacesReply

Vertices = NDArray[np.float32]
"""N×3, metres, in a world whose Z is up."""
Triangles = NDArray[np.int32]
"""M×3, numbers of vertices from 0."""

T = TypeVar("T", bound=np.generic)

SURROUNDINGS = {
    "background", "backdrop", "ceiling", "countertop", "environment", "floor", "ground", "horizon", "sky",
    "surroundings", "tabletop", "wall", "walls",
}  # fmt: skip
WHICH = {"back", "front", "left", "right", "rear", "side", "plane", "surface", "mesh"}
"""Words after such a name that say which one it is."""


@dataclass(frozen=True, eq=False)
class ObjectMesh:
    name: str
    vertices: Vertices
    triangles: Triangles


@dataclass(frozen=True, eq=False)
class SceneMesh:
    """What a render shows, as triangles; none where nothing of it counts."""

    objects: tuple[ObjectMesh, ...]
    """Those that count, by name."""
    left_out: Mapping[str, str]
    """Name → why it does not count."""

    def joined(self) -> TriangleMesh:
        """All objects as one mesh."""
        return TriangleMesh.joined((one.name, one.vertices, one.triangles) for one in self.objects)


def read_objects(reply: SurfacesReply, payloads: Sequence[bytes]) -> tuple[ObjectMesh, ...]:
    """By name. Raises ProtocolViolated for what cannot be: wrong sizes, vertices that are not there. Vertices that are
    no finite numbers may be."""
    if len(payloads) != 2 or len({one.name for one in reply.objects}) != len(reply.objects):
        raise ProtocolViolated("surfaces", "no surfaces, or two of one name")
    vertices = _numbers(payloads[0], np.dtype(np.float32), sum(one.vertices for one in reply.objects))
    triangles = _numbers(payloads[1], np.dtype(np.int32), sum(one.triangles for one in reply.objects))
    found, v, t = [], 0, 0
    for one in reply.objects:
        found.append(_object(one, vertices[v : v + one.vertices], triangles[t : t + one.triangles]))
        v, t = v + one.vertices, t + one.triangles
    return tuple(sorted(found, key=lambda mesh: mesh.name))


def _object(told: Surface, vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> ObjectMesh:
    if len(triangles) and not 0 <= triangles.min() <= triangles.max() < told.vertices:
        raise ProtocolViolated("surfaces", f"{told.name[:100]!r} has faces between vertices that are not there")
    return ObjectMesh(told.name, vertices, triangles)


def _numbers(raw: bytes, kind: np.dtype[T], count: int) -> NDArray[T]:
    if len(raw) != 3 * count * kind.itemsize:
        raise ProtocolViolated("surfaces", f"{len(raw):,} bytes where {3 * count * kind.itemsize:,} were announced")
    return np.frombuffer(raw, kind).reshape(count, 3)


# ── what counts ───────────────────────────────────────────────────────────────────────────────────────────────────────
def counted(
    objects: Sequence[ObjectMesh],
    above: Mapping[str, Sequence[str]],
    graph: SceneGraph | None,
    edge_to_edge: Collection[str],
) -> SceneMesh:
    """Of a full picture. `above`: what each object is below in Blender; `edge_to_edge`: what is seen at both edges."""
    left_out = dict[str, str]()
    for one in objects:
        names = (one.name, *above.get(one.name, ()), *_above(one.name, graph))
        named = [name for name in names if is_surroundings(name)]
        if named:
            left_out[one.name] = f"surroundings by its name, {named[0]!r}"
        elif one.name in edge_to_edge:
            left_out[one.name] = "surroundings: it is seen at both the left and the right edge of the picture"
    return everything([one for one in objects if one.name not in left_out], left_out)


def everything(objects: Sequence[ObjectMesh], left_out: Mapping[str, str] = {}) -> SceneMesh:
    """All objects that are meshes at all."""
    unusable = {one.name: why for one in objects if (why := _unusable(one))}
    kept = tuple(one for one in objects if one.name not in unusable)
    return SceneMesh(kept, {**left_out, **unusable})


def _unusable(one: ObjectMesh) -> str:
    if not len(one.triangles):
        return "it has no faces"
    return "" if np.isfinite(one.vertices).all() else "it has vertices that are no finite numbers"


def is_surroundings(name: str) -> bool:
    """By its last word, less those that only say which one: "Back Wall", "wall_left.001"; not "WallClock"."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    while len(words) > 1 and words[-1] in WHICH:
        words.pop()
    return bool(words) and words[-1] in SURROUNDINGS


def _above(name: str, graph: SceneGraph | None) -> list[str]:
    """In the scene graph."""
    parents = {node.name: node.parent for node in graph.nodes} if graph else {}
    found, above = list[str](), parents.get(name)
    while above is not None:
        found.append(above)
        above = parents.get(above)
    return found


def at_both_edges(ids: NDArray[np.uint32], names: Sequence[str]) -> frozenset[str]:
    """The objects that an object-id picture shows at its left and at its right edge."""
    numbers = set(ids[:, 0].tolist()) & set(ids[:, -1].tolist())
    return frozenset(names[number - 1] for number in numbers if 0 < number <= len(names))
