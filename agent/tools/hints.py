"""Owns how measures are told to a model: short, by object, the largest first; of an object only what may be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agent.evaluation.alignment import WHOLE, Box
from agent.evaluation.measures import Measures, ObjectMeasures
from agent.scene_graph import SceneGraph
from agent.tools.base import tell

MOST_OBJECTS = 40
"""Told one by one; of the others the names."""
DIGITS, COLOR_DIGITS = 3, 2
SAME_COLOR = 0.025
"""Of sRGB, in the channel that differs most: what differs less is not told."""
SAME_LIGHT, LEAST_LIGHT = 0.05, 0.01
"""Luminances and contrasts that differ by no more, as a share of the larger or in linear light, are not told."""
READ_BY_EYE = 0.03
"""How far the boxes of a scene graph may be off, as a fraction of the picture."""
TOO_SMALL, TOO_LARGE = 0.75, 1.33
"""Bounds of the ratio of the side that is larger against its box: what covers a part seldom takes of both sides."""


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
    """Where it is seen, and what of it is not as it should be."""
    facts: dict[str, Any] = {"seen_box": _short(of.seen_box, DIGITS)}
    if of.reaches_border:
        facts["reaches_border"] = True
    if of.mean_color_reference and of.mean_color_render:
        pairs = zip(of.mean_color_reference, of.mean_color_render, strict=True)
        if max(abs(wanted - shown) for wanted, shown in pairs) > SAME_COLOR:
            facts["mean_color"] = _short((of.mean_color_reference, of.mean_color_render), COLOR_DIGITS)
    for name, pair in _light(of).items():
        if not math.isclose(*pair, rel_tol=SAME_LIGHT, abs_tol=LEAST_LIGHT):
            facts[name] = _short(pair, DIGITS)
    if expected and of.seen_box and (against := _against(of.seen_box, expected)):
        facts["against_picture_box"] = against
    return facts


def _light(of: ObjectMeasures) -> dict[str, tuple[float, float]]:
    """As (reference, render)."""
    pairs = {
        "luminance": (of.luminance_reference, of.luminance_render),
        "contrast": (of.contrast_reference, of.contrast_render),
    }
    return {
        name: (wanted, shown) for name, (wanted, shown) in pairs.items() if wanted is not None and shown is not None
    }


def _against(seen: Box, expected: Box) -> dict[str, Any]:
    """Where it is seen against where the scene graph says that the picture has it: what is clearly off, and not because
    something covers a part of it."""
    offset = [_least_shift(seen[i] - expected[i], seen[i + 2] - expected[i + 2]) for i in (0, 1)]
    ratio = [(seen[i + 2] - seen[i]) / max(expected[i + 2] - expected[i], 1e-3) for i in (0, 1)]
    facts: dict[str, Any] = {}
    if max(map(abs, offset)) > READ_BY_EYE:
        facts["offset"] = _short(offset, DIGITS)
    if not TOO_SMALL <= max(ratio) <= TOO_LARGE:
        facts["size_ratio"] = _short(ratio, 2)
    return facts


def _least_shift(low: float, high: float) -> float:
    """How far one of two spans lies outside the other, given how far its ends are off: 0 where one holds the other."""
    return min(low, high, key=abs) if low * high > 0 else 0.0


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
