"""Owns writing a binary glTF: named nodes, flat colours, world coordinates; needs neither numpy nor the exporter."""

from __future__ import annotations

import json
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    file = _File()
    for name, parts in nodes.items():
        file.meshes.append({"name": name, "primitives": [file.primitive(part) for part in parts]})
    text = json.dumps(file.document(), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", len(file.content), 0x004E4942) + file.content
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body)


class _File:
    """What comes to stand in the file, as it grows."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.meshes, self.materials = list[dict[str, Any]](), list[dict[str, Any]]()
        self.views, self.accessors = list[dict[str, Any]](), list[dict[str, Any]]()

    def document(self) -> dict[str, Any]:
        count = range(len(self.meshes))
        return {
            "asset": {"version": "2.0", "generator": "seig regression set"},
            "scene": 0,
            "scenes": [{"nodes": list(count)}],
            "nodes": [{"name": self.meshes[index]["name"], "mesh": index} for index in count],
            "meshes": self.meshes,
            "materials": self.materials,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.content)}],
        }

    def primitive(self, part: Part) -> dict[str, Any]:
        numbers = array("f", (number for x, y, z in part.points for number in (x, z, -y)))
        bounds = {
            "min": [min(numbers[axis::3]) for axis in range(3)],
            "max": [max(numbers[axis::3]) for axis in range(3)],
        }
        indices = array("I", (index for triangle in part.triangles for index in triangle))
        surface = {"baseColorFactor": part.color, "metallicFactor": part.metallic, "roughnessFactor": part.roughness}
        self.materials.append({"pbrMetallicRoughness": surface})
        return {
            "attributes": {"POSITION": self._accessor(numbers, "VEC3", len(part.points), _FLOAT, _ARRAY, bounds)},
            "indices": self._accessor(indices, "SCALAR", len(indices), _UNSIGNED, _ELEMENTS, {}),
            "material": len(self.materials) - 1,
        }

    def _accessor(
        self, values: array[Any], kind: str, count: int, component: int, target: int, bounds: dict[str, list[float]]
    ) -> int:
        """Its number."""
        length = len(values) * 4
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": length, "target": target})
        self.content += values.tobytes()
        accessor = {"bufferView": len(self.views) - 1, "componentType": component, "count": count, "type": kind}
        self.accessors.append({**accessor, **bounds})
        return len(self.accessors) - 1
