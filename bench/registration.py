"""Registers a mesh to itself after known changes, and to other meshes: what Chamfer, ICP and NDP make of it. Usage:

    .venv/bin/python bench/registration.py chair.glb [plate.glb …]

The first file is changed and registered back; every other one is registered to the first. Files are Y up, as a glTF is.
Prints a Markdown table: Chamfer / F-score before, after ICP, after ICP and NDP, and seconds.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.evaluation.data import MeshFile
from agent.evaluation.geometry.mesh import Points, Similarity, TriangleMesh, surface_of
from agent.evaluation.geometry.mesh_file import read_mesh
from agent.evaluation.geometry.registration import register
from agent.evaluation.similarity import applied


def changed(mesh: TriangleMesh) -> Iterator[tuple[str, TriangleMesh]]:
    """By how it was changed; lengths in diagonals of its box."""
    surface = surface_of(mesh)
    low, high = surface.box
    center, unit_m = (low + high) / 2, surface.diagonal_m

    def put_back(vertices: Points) -> TriangleMesh:
        return mesh.with_vertices(vertices * unit_m + center)

    vertices = (mesh.vertices - center) / unit_m
    yield "15° + shift + scale 1.15", put_back(applied(turned(15, scale=1.15, shift=(0.1, -0.05, 0.02)), vertices))
    for yaw_deg in (60, 180):
        yield f"{yaw_deg}°", put_back(applied(turned(yaw_deg), vertices))
    yield "1000 times smaller, 111°, far away", put_back(applied(turned(111, scale=0.001, shift=(10, 10, 0)), vertices))
    yield "mirrored", put_back(vertices * (-1, 1, 1))
    vertices *= (1.2, 1.0, 0.85)
    vertices[:, 0] += 0.3 * vertices[:, 2] ** 2
    yield "stretch 1.2 / 0.85 + bend", put_back(vertices)


def turned(yaw_deg: float, scale: float = 1.0, shift: tuple[float, float, float] = (0, 0, 0)) -> Similarity:
    angle, matrix = math.radians(yaw_deg), np.eye(4)
    matrix[:2, :2] = ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))
    matrix[:3] *= scale
    matrix[:3, 3] = shift
    return matrix


def row(name: str, source: TriangleMesh, target: TriangleMesh) -> str:
    found = register(source, target).registration
    figures = [
        (found.chamfer_before, found.fscore_before),
        (found.chamfer_icp, found.fscore_icp),
        (found.chamfer_ndp, found.fscore_ndp),
    ]
    cells = [found.ndp_reason if chamfer is None else f"{chamfer:.4f} / {fscore:.2f}" for chamfer, fscore in figures]
    return f"| {name} | {' | '.join(cells)} | {found.chamfer_floor:.4f} | {found.seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", nargs="+", type=Path)
    paths = parser.parse_args().mesh
    first, *others = [read_mesh(MeshFile(path=path, up="Y")) for path in paths]
    print("| | before | ICP | ICP, then NDP | floor | s |\n| --- | --- | --- | --- | --- | --- |")
    for name, mesh in changed(first):
        print(row(name, mesh, first), flush=True)
    for path, mesh in zip(paths[1:], others, strict=True):
        print(row(f"{path.parent.name}/{path.name}", mesh, first), flush=True)


if __name__ == "__main__":
    main()
