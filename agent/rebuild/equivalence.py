"""Owns the comparison of two scenes that differ in more than nothing: are they the same up to element order and digits?

Works on dumps: all that the fingerprint covers, as numbers, texts and element arrays. A wrong "different" costs a mesh
written as data; a wrong "equivalent" would be a false promise, so every doubt counts as a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.rebuild.mesh_order import Arrays, mesh_deviation, values_deviation
from protocol.models import DumpReply


@dataclass(frozen=True)
class Dump:
    """A scene as numbers, texts and element arrays, by datablock key."""

    numbers: dict[str, dict[str, tuple[float, ...]]]
    texts: dict[str, dict[str, str]]
    meshes: dict[str, Arrays]

    @classmethod
    def of(cls, reply: DumpReply, payloads: list[bytes]) -> Dump:
        meshes = {key: {name: payloads[i] for name, i in arrays.items()} for key, arrays in reply.meshes.items()}
        return cls(numbers=reply.numbers, texts=reply.texts, meshes=meshes)


@dataclass(frozen=True)
class Comparison:
    different: tuple[str, ...]
    """Keys of what is not the same."""
    deviation: float
    """The largest of all numbers that count as the same."""


def compare(first: Dump, second: Dump) -> Comparison:
    deviations = _deviations(first, second)
    different = sorted(key for key, deviation in deviations.items() if deviation is None)
    return Comparison(tuple(different), max((found for found in deviations.values() if found is not None), default=0.0))


def _deviations(first: Dump, second: Dump) -> dict[str, float | None]:
    """By key the largest deviation, None where the difference is more than that."""
    found: dict[str, float | None] = {}
    keys = [set(part) for dump in (first, second) for part in (dump.numbers, dump.texts, dump.meshes)]
    for key in set().union(*keys):
        parts = (
            0.0 if first.texts.get(key) == second.texts.get(key) else None,
            _numbers_deviation(first.numbers.get(key), second.numbers.get(key)),
            _arrays_deviation(first.meshes.get(key), second.meshes.get(key)),
        )
        found[key] = None if None in parts else max(part for part in parts if part is not None)
    return found


def _numbers_deviation(first: dict[str, tuple[float, ...]] | None, second: Any) -> float | None:
    if first is None or second is None:
        return 0.0 if first == second else None
    if first.keys() != second.keys():
        return None
    deviations = [values_deviation(np.asarray(first[path], float), np.asarray(second[path], float)) for path in first]
    return None if None in deviations else max((found for found in deviations if found is not None), default=0.0)


def _arrays_deviation(first: Arrays | None, second: Arrays | None) -> float | None:
    if first is None or second is None:
        return 0.0 if first == second else None
    if first == second:
        return 0.0
    return mesh_deviation(first, second) if "corner_vertices" in first else None
