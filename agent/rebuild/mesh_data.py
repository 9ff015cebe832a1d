"""Owns writing meshes into a program as data: an edit that sets every element of a mesh that would not rebuild.

Numbers stand in the text as numbers, in the order and with the digits that the scene has. The mesh keeps its name, its
slots and its attributes' types; what is written is taken from a dump of the delivered scene.
"""

from __future__ import annotations

import zlib
from base64 import b85encode
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.rebuild.mesh_order import INTEGERS, Arrays
from sandbox.snapshots import Edit

LINE = 116
MANY_CORNERS = 100_000
"""From here on a mesh's numbers are packed instead of legible."""
_COLUMNS = {"vertices": 3, "edges": 2, "uv": 2, "color": 4, "weights": 3}


def mesh_edit(meshes: Mapping[str, Arrays], index: int) -> Edit:
    """An edit that gives each named mesh exactly these elements."""
    parts = [_HEAD, *(_mesh_text(name, meshes[name]) for name in sorted(meshes)), _BODY]
    label = "meshes as data, because Blender builds them otherwise each time: " + ", ".join(sorted(meshes))
    return Edit(index=index, label=label[:200], stage="rebuild", round=0, source="\n".join(parts), seed=0)


def _mesh_text(name: str, arrays: Arrays) -> str:
    entries = [f"    {key!r}: {text},\n" for key, text in _entries(arrays)]
    return f"MESHES[{name!r}] = {{\n{''.join(entries)}}}\n"


def _entries(arrays: Arrays) -> Iterator[tuple[str, str]]:
    """Keys and expressions: numbers as text, or packed where that would be too much of it."""
    packed = len(arrays.get("corner_vertices", b"")) > 4 * MANY_CORNERS
    if not packed:
        yield "faces", _quoted(", ", _faces(arrays))
    for key, array in arrays.items():
        code = "i" if key in INTEGERS else "f"
        if packed:
            yield key, f'packed("{code}", {_quoted("", _chunks(b85encode(zlib.compress(array, 6)).decode()))})'
        elif key not in ("loop_starts", "corner_vertices"):
            columns = _COLUMNS.get(key.partition(":")[0], 1)
            yield key, f'numbers("{code}", {_quoted("  ", _rows(array, code, columns))})'


def _chunks(text: str) -> Iterator[str]:
    return (text[i : i + LINE] for i in range(0, len(text), LINE))


def _faces(arrays: Arrays) -> Iterator[str]:
    corners = np.frombuffer(arrays.get("corner_vertices", b""), np.int32).tolist()
    starts = np.frombuffer(arrays.get("loop_starts", b""), np.int32).tolist()
    return (" ".join(map(str, corners[start:end])) for start, end in pairwise([*starts, len(corners)]))


def _rows(array: bytes, code: str, columns: int) -> Iterator[str]:
    """As few digits as give the same number again."""
    values: NDArray[Any] = np.frombuffer(array, np.int32 if code == "i" else np.float32)
    words = [word.removesuffix(".0") for word in values.astype(str).tolist()]
    return (" ".join(words[i : i + columns]) for i in range(0, len(words), columns))


def _quoted(separator: str, items: Iterable[str]) -> str:
    """A text of lines that fit a page; the program as a whole is free to use the other quotes."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(separator) + len(item) > LINE:
            lines.append(line + separator.rstrip())
            line = item
        else:
            line = line + separator + item if line else item
    return '"""\n' + "\n".join([*lines, line]) + '\n"""'


_HEAD = '''\
"""Meshes as they were delivered: their operators build them in another order, or otherwise, each time they run."""

import base64
import zlib
from array import array

import bpy

MESHES = {}


def numbers(code, text):
    return array(code, [int(word) if code == "i" else float(word) for word in text.split()])


def packed(code, text):
    return array(code, zlib.decompress(base64.b85decode(text.replace("\\n", ""))))

'''

_BODY = """
FIELDS = {
    "FLOAT": ("value", "f"), "INT": ("value", "i"), "FLOAT_VECTOR": ("vector", "f"), "FLOAT_COLOR": ("color", "f"),
    "BYTE_COLOR": ("color", "f"), "BOOLEAN": ("value", "?"), "FLOAT2": ("vector", "f"), "INT8": ("value", "b"),
    "INT16_2D": ("value", "h"), "INT32_2D": ("value", "i"), "QUATERNION": ("value", "f"), "FLOAT4X4": ("value", "f"),
}
FLAGS = {"use_smooth": ("polygons", "?"), "use_edge_sharp": ("edges", "?"), "crease": ("edges", "f"),
         "bevel_weight": ("edges", "f")}


def put(mesh, data):
    attributes = {one.name: (one.data_type, one.domain) for one in mesh.attributes}
    rendered = [layer.name for layer in mesh.uv_layers if layer.active_render]
    owners = [thing for thing in bpy.data.objects if thing.data == mesh]
    groups = [(thing, [group.name for group in thing.vertex_groups]) for thing in owners]
    mesh.clear_geometry()
    for thing, names in groups:
        for name in names[len(thing.vertex_groups):]:
            thing.vertex_groups.new(name=name)
    put_elements(mesh, data)
    if any(data.get("material_index", ())):
        mesh.polygons.foreach_set("material_index", data["material_index"])
    if any(data.get("seams", ())):
        mesh.edges.foreach_set("use_seam", typed("?", data["seams"]))
    for key, values in data.items():
        kind, _, name = key.partition(":")
        if kind == "uv":
            put_uv(mesh, name, values, name in rendered)
        elif kind == "color":
            put_color(mesh, name, attributes.get(name), values)
        elif kind == "attribute":
            put_attribute(mesh, name, attributes.get(name), values)
    mesh.update()
    put_weights(owners, data.get("weights", ()))


def put_elements(mesh, data):
    if "faces" in data:
        faces = [[int(corner) for corner in face.split()] for face in data["faces"].split(",") if face.strip()]
    else:
        bounds = list(data["loop_starts"]) + [len(data["corner_vertices"])]
        faces = [data["corner_vertices"][start:end] for start, end in zip(bounds, bounds[1:])]
    corners = [corner for face in faces for corner in face]
    starts = [0]
    for face in faces:
        starts.append(starts[-1] + len(face))
    ends = data.get("edges", ())
    edges = {frozenset(ends[i : i + 2]): i // 2 for i in range(0, len(ends), 2)}
    sides = [edges[frozenset((face[i], face[(i + 1) % len(face)]))] for face in faces for i in range(len(face))]
    mesh.vertices.add(len(data["vertices"]) // 3)
    mesh.edges.add(len(ends) // 2)
    mesh.loops.add(len(corners))
    mesh.polygons.add(len(faces))
    mesh.vertices.foreach_set("co", data["vertices"])
    mesh.edges.foreach_set("vertices", ends)
    mesh.polygons.foreach_set("loop_start", starts[:-1])
    if not bpy.types.MeshPolygon.bl_rna.properties["loop_total"].is_readonly:
        mesh.polygons.foreach_set("loop_total", [len(face) for face in faces])
    mesh.loops.foreach_set("vertex_index", corners)
    mesh.loops.foreach_set("edge_index", sides)


def put_uv(mesh, name, values, rendered):
    layer = mesh.uv_layers.new(name=name, do_init=False)
    layer.data.foreach_set("uv", values)
    layer.active_render = rendered


def put_color(mesh, name, kind, values):
    if hasattr(mesh, "color_attributes"):
        layer = mesh.color_attributes.new(name, *(kind or ("FLOAT_COLOR", "CORNER")))
    else:
        layer = mesh.vertex_colors.new(name=name, do_init=False)
    layer.data.foreach_set("color", values)


def put_attribute(mesh, name, kind, values):
    if name in FLAGS and kind is None:
        elements, code = FLAGS[name]
        getattr(mesh, elements).foreach_set(name, typed(code, values))
    elif name == "normals" and kind is None:
        mesh.normals_split_custom_set([values[i : i + 3] for i in range(0, len(values), 3)])
    elif kind is not None and kind[0] in FIELDS:
        field, code = FIELDS[kind[0]]
        mesh.attributes.new(name, *kind).data.foreach_set(field, typed(code, values))


def typed(code, values):
    if code == "?":
        return [bool(value) for value in values]
    return values if code == "f" else array(code, map(int, values))


def put_weights(owners, weights):
    for i in range(0, len(weights) if owners else 0, 3):
        owners[0].vertex_groups[int(weights[i + 1])].add([int(weights[i])], weights[i + 2], "REPLACE")


for name, data in MESHES.items():
    mesh = bpy.data.meshes.get(name)
    if mesh is not None and mesh.shape_keys is None:
        put(mesh, data)
"""
