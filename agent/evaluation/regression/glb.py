"""Owns writing a binary glTF: named nodes, flat colours, world coordinates; needs neither numpy nor the exporter."""

from __future__ import annotations

import json
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

Position = tuple[float, float, float]
_FLOAT, _UNSIGNED = 5126, 5125
_ARRAY, _ELEMENTS = 34962, 34963


@dataclass(frozen=True)
class Part:
    """Triangles of one material."""

    points: list[Position]
    """In Blender's world: Z up."""
    triangles: list[tuple[int, int, int]]
    color: tuple[float, float, float, float]
    """Linear."""
    metallic: float
    roughness: float


def write_glb(path: Path, nodes: dict[str, list[Part]]) -> None:
    """A node of that name for each entry; the same bytes for the same parts."""
    buffer, document = bytearray(), _empty()
    for name, parts in nodes.items():
        document["nodes"].append({"name": name, "mesh": len(document["meshes"])})
        document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)
        primitives = [_primitive(document, buffer, part) for part in parts]
        document["meshes"].append({"name": name, "primitives": primitives})
    document["buffers"] = [{"byteLength": len(buffer)}]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(buffer), 0x004E4942) + buffer
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)


def _empty() -> dict[str, list]:  # type: ignore[type-arg]
    lists = ("nodes", "meshes", "materials", "accessors", "bufferViews")
    asset = {"version": "2.0", "generator": "seig regression set"}
    return {"asset": asset, "scene": 0, "scenes": [{"nodes": []}], **{name: [] for name in lists}}  # type: ignore[dict-item]


def _primitive(document: dict[str, list], buffer: bytearray, part: Part) -> dict[str, object]:  # type: ignore[type-arg]
    points = [struct.unpack("<3f", struct.pack("<3f", x, z, -y)) for x, y, z in part.points]
    columns = list(zip(*points, strict=True))
    bounds = {"min": [min(column) for column in columns], "max": [max(column) for column in columns]}
    place = _accessor(document, buffer, array("f", (c for p in points for c in p)), "VEC3", len(points), bounds)
    indices = array("I", (index for triangle in part.triangles for index in triangle))
    order = _accessor(document, buffer, indices, "SCALAR", len(indices), {})
    surface = {"baseColorFactor": part.color, "metallicFactor": part.metallic, "roughnessFactor": part.roughness}
    document["materials"].append({"pbrMetallicRoughness": surface})
    material = len(document["materials"]) - 1
    return {"attributes": {"POSITION": place}, "indices": order, "material": material}


def _accessor(document, buffer, values, kind, count, bounds):  # type: ignore[no-untyped-def]
    floats = values.typecode == "f"
    view = {
        "buffer": 0,
        "byteOffset": len(buffer),
        "byteLength": len(values) * 4,
        "target": _ARRAY if floats else _ELEMENTS,
    }
    buffer += values.tobytes()
    document["bufferViews"].append(view)
    accessor = {"bufferView": len(document["bufferViews"]) - 1, "type": kind, "count": count, **bounds}
    document["accessors"].append({**accessor, "componentType": _FLOAT if floats else _UNSIGNED})
    return len(document["accessors"]) - 1
