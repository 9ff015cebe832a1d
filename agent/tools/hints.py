"""Owns how measures are told to a model: short, by object, the largest first, beside what the scene graph expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.evaluation.alignment import WHOLE, Box
from agent.evaluation.measures import Measures, ObjectMeasures
from agent.scene_graph import SceneGraph
from agent.tools.base import tell

MOST_OBJECTS = 40
"""Told one by one; of the others the names."""
DIGITS = 3


def told(measures: Measures) -> dict[str, Any]:
    """Of a whole picture or a region: a figure that does not apply is left out."""
    return {name: _short(value, 4) for name, value in tell(measures).items() if value is not None}


def told_objects(measured: Mapping[str, ObjectMeasures], graph: SceneGraph, region: Box = WHOLE) -> dict[str, Any]:
    """{"objects": {name: figures}, "further_objects": [names], "not_seen": [names]}; of a region what it is about."""
    expected = {node.name: node.picture_box for node in graph.nodes if node.picture_box}
    seen = [name for name, of in measured.items() if of.seen_box and _is_about(region, of.seen_box)]
    seen.sort(key=lambda name: -measured[name].seen_share)
    facts: dict[str, Any] = {
        "objects": {name: _told_object(measured[name], expected.get(name)) for name in seen[:MOST_OBJECTS]}
    }
    if further := seen[MOST_OBJECTS:]:
        facts["further_objects"] = further
    if region == WHOLE and (hidden := [name for name, of in measured.items() if of.seen_box is None]):
        facts["not_seen"] = hidden
    return facts


def _told_object(of: ObjectMeasures, expected: Box | None) -> dict[str, Any]:
    facts = {
        name: _short(value, DIGITS) for name, value in tell(of).items() if value is not None and value is not False
    }
    for name in ("luminance", "contrast"):
        facts[name] = [facts.pop(f"{name}_reference", None), facts.pop(f"{name}_render", None)]
    if expected and of.seen_box:
        facts["against_picture_box"] = _against(of.seen_box, expected)
    return facts


def _against(seen: Box, expected: Box) -> dict[str, Any]:
    """Where it is seen against where the scene graph says that the picture has it."""
    offset = [(seen[i] + seen[i + 2] - expected[i] - expected[i + 2]) / 2 for i in (0, 1)]
    ratio = [(seen[i + 2] - seen[i]) / max(expected[i + 2] - expected[i], 1e-3) for i in (0, 1)]
    return {"offset": _short(offset, DIGITS), "size_ratio": _short(ratio, DIGITS)}


def _is_about(region: Box, box: Box) -> bool:
    """Whether the middle of one lies in the other: not what merely reaches in."""
    return _holds_middle(region, box) or _holds_middle(box, region)


def _holds_middle(outer: Box, inner: Box) -> bool:
    across, down = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= across <= outer[2] and outer[1] <= down <= outer[3]


def _short(value: Any, digits: int) -> Any:
    if isinstance(value, list | tuple):
        return [_short(one, digits) for one in value]
    return round(value, digits) if isinstance(value, float) else value
