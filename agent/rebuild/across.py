"""Owns the comparison of one scene in two Blender versions, property by property.

What counts as the same: numbers within the tolerance, equal texts, meshes up to the order of their elements; and a
property that stands at its own version's default on both sides, for nobody has set it. That rule takes the place of a
list of what versions have changed. A property that only one version has is not compared but counted, what the scene
has set there first. Everything else is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from agent.rebuild.equivalence import Dump
from agent.rebuild.mesh_order import Arrays, mesh_deviation, values_deviation

OTHERWISE_KEPT = {"attribute:custom_normal", "normals"}
"""Arrays of one meaning that versions keep in ways that cannot be compared."""

Value = tuple[float, ...] | str


@dataclass(frozen=True)
class Side:
    """A scene as one Blender reads it, and its plain twin: the same things at that version's defaults."""

    scene: Dump
    plain: Dump | None = None
    """None where no Blender of that version can be asked: what the other side leaves at its default is presumed one."""

    def values(self, key: str) -> dict[str, Value]:
        return _values(self.scene, key)

    def is_default(self, key: str, path: str) -> bool:
        if self.plain is None:
            return True
        plain = _values(self.plain, key).get(path)
        return plain is not None and _deviation(_values(self.scene, key)[path], plain) is not None


@dataclass(frozen=True)
class Across:
    """What a comparison came to; names are of properties of a kind, with whose they are only where they differ."""

    different: tuple[str, ...] = ()
    """For example "material:Wood node Principled BSDF input Roughness: 0.5 → 0.4"; what is alike, once."""
    defaults: tuple[str, ...] = ()
    """What both sides leave at their version's default, and these differ: "light shadow_soft_size: 0.25 → 0"."""
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    """Properties that only one version has, those that the scene has set first."""
    deviation: float = 0.0
    """The largest of all numbers that count as the same."""


def compare_across(first: Side, second: Side) -> Across:
    found = _Findings()
    keys = [_keys(side.scene) for side in (first, second)]
    found.different += [(key, "is not built") for key in sorted(keys[0] - keys[1])]
    found.different += [(key, "is built besides") for key in sorted(keys[1] - keys[0])]
    for key in sorted(keys[0] & keys[1]):
        _compare_values(key, first, second, found)
        _compare_arrays(key, first.scene.meshes.get(key, {}), second.scene.meshes.get(key, {}), found)
    return Across(
        different=_alike_once(found.different),
        defaults=tuple(dict.fromkeys(found.defaults)),
        only_first=_set_first(found.only_first),
        only_second=_set_first(found.only_second),
        deviation=max(found.deviations, default=0.0),
    )


class _Findings:
    def __init__(self) -> None:
        self.different: list[tuple[str, str]] = []
        """Whose it is, and what."""
        self.defaults: list[str] = []
        self.only_first: list[tuple[bool, str]] = []
        self.only_second: list[tuple[bool, str]] = []
        self.deviations: list[float] = []


def _compare_values(key: str, first: Side, second: Side, found: _Findings) -> None:
    one, other = first.values(key), second.values(key)
    found.only_first += [_only(key, path, first) for path in one.keys() - other.keys()]
    found.only_second += [_only(key, path, second) for path in other.keys() - one.keys()]
    for path in sorted(one.keys() & other.keys()):
        deviation, change = _deviation(one[path], other[path]), f"{_short(one[path])} → {_short(other[path])}"
        if deviation is not None:
            found.deviations.append(deviation)
        elif first.is_default(key, path) and second.is_default(key, path):
            found.defaults.append(f"{_kind(key)} {readable(path)}: {change}")
        else:
            found.different.append((key, f"{readable(path)}: {change}"))


def _compare_arrays(key: str, one: Arrays, other: Arrays, found: _Findings) -> None:
    if "corner_vertices" not in one:
        if one != other:
            found.different.append((key, ", ".join(sorted(_differing(one, other)))))
        return
    compared = [{name: each for name, each in arrays.items() if name not in OTHERWISE_KEPT} for arrays in (one, other)]
    deviation = mesh_deviation(*compared)
    if deviation is None:
        found.different.append((key, ", ".join(_unlike(*compared))))
    else:
        found.deviations.append(deviation)


def _unlike(one: Arrays, other: Arrays) -> Iterator[str]:
    """What is not the same of two meshes, in as few words as say it."""
    shape = [{name: each for name, each in arrays.items() if name in _SHAPE} for arrays in (one, other)]
    if mesh_deviation(*shape) is None:
        counts = [(len(arrays["vertices"]) // 12, len(arrays["loop_starts"]) // 4) for arrays in (one, other)]
        yield "its shape ({} vertices, {} faces → {}, {})".format(*counts[0], *counts[1])
        return
    for name in sorted((one.keys() | other.keys()) - _SHAPE):
        parts = [{**shape[i], name: arrays[name]} if name in arrays else {} for i, arrays in enumerate((one, other))]
        if not all(parts) or mesh_deviation(*parts) is None:
            yield name


_SHAPE = {"vertices", "edges", "loop_starts", "corner_vertices"}


def _differing(one: Arrays, other: Arrays) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


# ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _keys(dump: Dump) -> set[str]:
    return {*dump.numbers, *dump.texts, *dump.meshes}


def _values(dump: Dump, key: str) -> dict[str, Value]:
    return {**dump.numbers.get(key, {}), **dump.texts.get(key, {})}


def _deviation(one: Value, other: Value) -> float | None:
    if isinstance(one, str) or isinstance(other, str):
        return 0.0 if one == other else None
    return values_deviation(np.asarray(one, float), np.asarray(other, float))


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def readable(path: str) -> str:
    """A property path as a person would say it: "node Principled BSDF input Roughness"."""
    path = path.removeprefix("node_tree.").removesuffix(".default_value")
    for items, word in (("nodes", "node"), ("inputs", "input"), ("outputs", "output")):
        path = re.sub(rf"(^|[. ]){items}\[(?:'(.*?)'|(\d+))\]\.?", rf"\1{word} \2\3 ", path)
    return path.strip()


def _alike_once(found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    by_what: dict[tuple[str, str], list[str]] = {}
    for key, what in found:
        by_what.setdefault((_kind(key), what), []).append(key)
    more = {one: f" (and {len(keys) - 1} more)" if len(keys) > 1 else "" for one, keys in by_what.items()}
    return tuple(f"{keys[0]}{more[kind, what]} {what}" for (kind, what), keys in by_what.items())


def _only(key: str, path: str, side: Side) -> tuple[bool, str]:
    """Whether it stands at its default, and what it is called."""
    return side.is_default(key, path), f"{_kind(key)} {readable(path)}"


def _set_first(found: Iterable[tuple[bool, str]]) -> tuple[str, ...]:
    """Each once, as it is of many things alike."""
    return tuple(dict.fromkeys(name for _, name in sorted(set(found))))


def _kind(key: str) -> str:
    return key.partition(":")[0]


def _short(value: Value) -> str:
    if isinstance(value, str):
        return value
    text = ", ".join(f"{number:.6g}" for number in value[:4]) + (", …" if len(value) > 4 else "")
    return text if len(value) == 1 else f"({text})"
