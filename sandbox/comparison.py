"""Owns what counts as a change of which factor, by comparing two fingerprints of one scene, and what a scope lets pass.

The scope is enforced by what changed, never by reading code. Which property belongs to which factor is decided where
the fingerprint is taken (`blender_server/fingerprint.py`); here only what one edit's changes mean together.
"""

from __future__ import annotations

from typing import Literal

from protocol.models import DescribeReply, FingerprintReply, Value

FACTORS = ("structure", "geometry", "transform", "material", "camera", "light", "world", "view", "host")

DETAILS_KEPT = 8
"""Of one change; a message to a model need not name every vertex group."""

How = Literal["added", "removed", "changed"]


class Change(Value):
    """One datablock that differs in one factor."""

    factor: str
    """The one it counts as, which for parts of an edit that adds objects or topology is not where it was found."""
    key: str
    """As the fingerprint spells it: "object:Cup"."""
    details: tuple[str, ...] = ()
    """Where it was asked for: "location: (0, 0, 0) → (0, 0, 1)"."""
    how: How = "changed"
    found_in: str = ""
    """The fingerprint's factor."""


def compare(before: FingerprintReply, after: FingerprintReply, scope: frozenset[str]) -> tuple[Change, ...]:
    """Everything that differs, each counted as the factor that it belongs to in this edit."""
    found = [change for factor in _factors(before, after) for change in _differences(factor, before, after)]
    parts = {change.key for change in found if change.factor == "structure" and change.how != "changed"}
    rebuilt = _rebuilt(before, after)
    counted = [_counted(change, rebuilt, scope) for change in found if not _is_of_part(change, parts)]
    return tuple({(change.factor, change.key): change for change in counted}.values())


def outside(changes: tuple[Change, ...], scope: frozenset[str]) -> tuple[Change, ...]:
    """What the scope does not allow."""
    return tuple(change for change in changes if change.factor not in scope)


def with_details(change: Change, before: DescribeReply, after: DescribeReply) -> Change:
    """The same change with its property texts compared."""
    old, new = before.texts.get(change.key, {}), after.texts.get(change.key, {})
    lines = [f"{path}: {_text(old, path)} → {_text(new, path)}" for path in _paths(old, new)]
    if len(lines) > DETAILS_KEPT:
        lines[DETAILS_KEPT:] = [f"and {len(lines) - DETAILS_KEPT} more"]
    return change.model_copy(update={"details": tuple(lines)})


def sentence(change: Change) -> str:
    """ "material: Wood changed (roughness: 0.5 → 0.7)"."""
    kind, _, name = change.key.partition(":")
    details = f" ({'; '.join(change.details)})" if change.details else ""
    return f"{change.factor}: {kind} {name!r} {change.how}{details}"


def _factors(before: FingerprintReply, after: FingerprintReply) -> list[str]:
    known = {name: place for place, name in enumerate(FACTORS)}
    return sorted(before.factors.keys() | after.factors.keys(), key=lambda name: known.get(name, len(known)))


def _differences(factor: str, before: FingerprintReply, after: FingerprintReply) -> list[Change]:
    old, new = before.factors.get(factor, {}), after.factors.get(factor, {})
    return [
        Change(factor=factor, key=key, how=_how(key, old, new), found_in=factor)
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _how(key: str, old: dict[str, str], new: dict[str, str]) -> How:
    if key not in old:
        return "added"
    return "changed" if key in new else "removed"


def _rebuilt(before: FingerprintReply, after: FingerprintReply) -> set[str]:
    """Meshes whose topology is not what it was."""
    keys = before.topology.keys() & after.topology.keys()
    return {key for key in keys if before.topology[key] != after.topology[key]}


def _is_of_part(change: Change, parts: set[str]) -> bool:
    """Placement, modifiers and slots of an object that came or went, which is itself among the changes."""
    kind, _, name = change.key.partition(":")
    return change.factor != "structure" and kind in ("object", "slots") and f"object:{name}" in parts


def _counted(change: Change, rebuilt: set[str], scope: frozenset[str]) -> Change:
    """The surface of a new topology counts as the topology, a material that comes with a new part as the part."""
    factor, comes_or_goes = change.factor, change.how != "changed"
    if factor == "material" and change.key.startswith("mesh:") and (comes_or_goes or change.key in rebuilt):
        factor = "geometry"
    elif factor == "material" and comes_or_goes and "structure" in scope:
        factor = "structure"
    return change.model_copy(update={"factor": factor})


def _paths(old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]


def _text(texts: dict[str, str], path: str) -> str:
    return texts.get(path, "(none)")
