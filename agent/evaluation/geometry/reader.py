"""A program of its own: reads a mesh file that anybody may have made, and writes what is in it as `save_mesh` does.

Run with a path to read and one to write to. It bounds its own memory first, so that a hostile file ends this process
and nothing else. Exit status 0: written; 1: the last line of stderr says why not. Imports nothing else of this package.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_BYTES = 4 * 2**30
WRITTEN_BYTES = 2**30
MOST_VERTICES = 15_000_000
"""Each use of a mesh counts: a few bytes can say that one is used a million times over."""


def main(source: Path, written: Path) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_BYTES, WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import numpy as np

    pieces = sorted(_pieces(source), key=lambda piece: piece[0])
    vertex_counts, face_counts = [len(piece[1]) for piece in pieces], [len(piece[2]) for piece in pieces]
    names, first = np.unique(np.array([piece[0] for piece in pieces], dtype=np.str_), return_index=True)
    none, before = np.empty((0, 3)), np.cumsum([0, *vertex_counts])
    np.savez(
        written,
        names=names,
        vertices=np.concatenate([none, *(piece[1] for piece in pieces)]),
        faces=np.concatenate([none.astype(np.int64), *(piece[2] + before[i] for i, piece in enumerate(pieces))]),
        vertex_counts=_sums(vertex_counts, first),
        face_counts=_sums(face_counts, first),
    )


def _sums(counts: list[int], first: Any) -> Any:
    """From each index of `first` to the next."""
    import numpy as np

    return np.add.reduceat(np.array(counts, dtype=np.int64), first) if counts else np.empty(0, dtype=np.int64)


def _pieces(source: Path) -> list[tuple[str, Any, Any]]:
    """(name of the object, vertices, faces) in the file's world and axes; one for each material of an object."""
    import numpy as np
    import trimesh

    load: Callable[..., Any] = trimesh.load_scene
    resolver = trimesh.resolvers.FilePathResolver(str(source))
    kind = source.suffix[1:].lower()
    with source.open("rb") as file:
        scene = load(file, file_type=kind, resolver=resolver, process=False, skip_materials=True)
    count = sum(len(scene.geometry[scene.graph[node][1]].vertices) for node in scene.graph.nodes_geometry)
    if count > MOST_VERTICES:
        raise ValueError(f"it has {count:,} vertices, the limit is {MOST_VERTICES:,}")
    pieces = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        vertices = np.asarray(geometry.vertices, dtype=np.float64).reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
        faces = np.asarray(getattr(geometry, "faces", np.empty((0, 3))), dtype=np.int64).reshape(-1, 3)
        pieces.append((_owner(scene, node, geometry), vertices, faces))
    return pieces


def _owner(scene: Any, node: str, geometry: Any) -> str:
    """Of an object of several materials there is one node for each, under the object's."""
    parent = scene.graph.transforms.parents.get(node)
    several = geometry.metadata.get("from_gltf_primitive") and parent not in (None, scene.graph.base_frame)
    return str(parent if several else node)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:
        reason = "it needs more memory than is allowed" if isinstance(error, MemoryError) else f"{error}"
        sys.exit(f"{type(error).__name__}: {reason}".replace("\n", " ")[:300])
