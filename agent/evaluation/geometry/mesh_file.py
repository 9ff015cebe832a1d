"""Owns reading a mesh of another program: GLB, glTF, OBJ or PLY, turned to Z up. The file may be hostile.

It is parsed by a process of its own (`reader.py`), under limits of memory and time.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from agent.evaluation.data import MeshFile
from agent.evaluation.geometry.mesh import MOST_FILE_BYTES, TriangleMesh, load_mesh
from agent.evaluation.geometry.needs import needs
from agent.evaluation.score import Unavailable
from sandbox.scratch import temporary_folder

FORMATS = (".glb", ".gltf", ".obj", ".ply")
READ_S = 120.0
Y_TO_Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))
"""(x, y, z) of a glTF is (x, -z, y) in Blender."""

_READER = Path(__file__).with_name("reader.py")


def read_mesh(file: MeshFile) -> TriangleMesh:
    """In Blender's axes, its vertices as the file has them (none merged); raises Unavailable."""
    if importlib.util.find_spec("trimesh") is None:
        raise needs("trimesh")
    _check(file.path)
    with temporary_folder() as folder:
        written = folder / "mesh.npz"
        _read(file.path, written)
        mesh = load_mesh(written)
    return mesh if file.up == "Z" else mesh.with_vertices(mesh.vertices @ Y_TO_Z_UP.T)


def _check(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise Unavailable(f"{path.name} is none of {', '.join(FORMATS)}: export it as GLB")
    if not path.is_file():
        raise Unavailable(f"there is no file {path}")
    if (size := path.stat().st_size) > MOST_FILE_BYTES:
        raise Unavailable(f"{path.name} has {size:,} bytes, the limit is {MOST_FILE_BYTES:,}")


def _read(path: Path, written: Path) -> None:
    command = [sys.executable, "-I", str(_READER), str(path.resolve()), str(written)]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each reserves memory that counts
    try:
        done = subprocess.run(
            command, env=os.environ | one_thread, capture_output=True, timeout=READ_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{path.name} was not read within {READ_S:g} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if done.returncode == 1 and said else f"its reader ended with status {done.returncode}"
        raise Unavailable(f"{path.name} cannot be read: {why}")
