"""Owns what the verifier checks in each stage: sentences with their bounds, true or not by the measures."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from agent.models.offline.dialogue import Call, Task
from agent.models.offline.roles.common import Step

MOST_PARTS = 12
"""Parts that are judged one by one: the largest."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Check:
    text: str
    satisfied: bool


@dataclass(frozen=True)
class Seen:
    """What was asked and what was measured."""

    task: Task
    measures: dict[str, Any]
    objects: dict[str, Any]
    """Figures by name, of what is seen of the largest."""
    further: frozenset[str] = frozenset()
    """Names of others that are seen."""
    hidden: frozenset[str] = frozenset()
    """Names of those of which nothing is seen."""

    def figure(self, name: str, otherwise: float) -> float:
        value = self.measures.get(name)
        return otherwise if value is None else float(value)

    def leaves(self) -> list[dict[str, Any]]:
        """Parts of the scene graph that the picture shows somewhere, the largest first."""
        graph = self.task.facts.get("scene_graph") or {}
        nodes = [node for node in graph.get("nodes", []) if node.get("kind") == "part"]
        return sorted(nodes, key=lambda node: -_area(node.get("picture_box")))


def _area(box: Any) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) if box else 0.0


def _initialisation(seen: Seen) -> list[Check]:
    there = seen.objects.keys() | seen.further | seen.hidden
    missing = [n["name"] for n in seen.leaves() if n["name"] not in there]
    ratio = seen.figure("luminance_ratio", 1.0)
    checks = [
        Check("Every part of the scene graph is in the scene.", not missing),
        Check("The picture is between half and twice as bright as the reference.", 0.5 <= ratio <= 2.0),
        Check("Less than half of what is shown is black.", seen.figure("black_fraction", 0.0) < 0.5),
    ]
    if seen.task.cutout:
        checks.append(Check("The silhouettes overlap by at least one half.", seen.figure("iou", 0.0) >= 0.5))
    return checks


def _geometry(seen: Seen) -> list[Check]:
    checks = [Check("Edges lie on average within 6 pixels of the reference's.", seen.figure("edge_px", 0.0) <= 6.0)]
    if seen.task.cutout:
        checks.append(Check("The silhouettes overlap by at least nine tenths.", seen.figure("iou", 0.0) >= 0.9))
    for node in seen.leaves()[:MOST_PARTS]:
        box, wanted = seen.objects.get(node["name"], {}).get("seen_box"), node.get("picture_box")
        if wanted:
            overlap = _overlap(tuple(box), tuple(wanted)) if box else 0.0
            checks.append(Check(f"{node['name']} fills at least half of its box in the reference.", overlap >= 0.5))
    return checks


def _overlap(first: Box, second: Box) -> float:
    wide = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    high = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    both = wide * high
    return both / max(1e-9, _area(first) + _area(second) - both)


def _material(seen: Seen) -> list[Check]:
    checks = []
    for node in seen.leaves()[:MOST_PARTS]:
        if (of := seen.objects.get(node["name"])) is not None:
            wanted, shown = of.get("mean_color", ((), ()))  # told where they differ
            apart = max((abs(a - b) for a, b in zip(shown, wanted, strict=True)), default=0.0)
            checks.append(Check(f"{node['name']} has its colour in the reference, within 0.08 of sRGB.", apart <= 0.08))
    return checks or [Check("There are parts whose colours can be judged.", False)]


def _composition(seen: Seen) -> list[Check]:
    outside = [n["name"] for n in seen.leaves() if n["name"] in seen.hidden]
    return [
        Check("No more than a tenth of the parts is out of sight.", len(outside) <= 0.1 * max(1, len(seen.leaves()))),
        Check("Edges lie on average within 6 pixels of the reference's.", seen.figure("edge_px", 0.0) <= 6.0),
    ]


def _lighting(seen: Seen) -> list[Check]:
    shown, wanted = seen.measures.get("mean_color_render"), seen.measures.get("mean_color_reference")
    apart = max(abs(a - b) for a, b in zip(shown, wanted, strict=True)) if shown and wanted else 0.0
    return [
        Check(
            "The picture is within a tenth as bright as the reference.",
            abs(seen.figure("luminance_ratio", 1.0) - 1) <= 0.1,
        ),
        Check("The mean colour is the reference's, within 0.05 of sRGB.", apart <= 0.05),
        Check("Less than a fifth of what is shown is black.", seen.figure("black_fraction", 0.0) < 0.2),
    ]


CHECKS: dict[str, Callable[[Seen], list[Check]]] = {
    "initialisation": _initialisation,
    "geometry": _geometry,
    "material": _material,
    "composition": _composition,
    "lighting": _lighting,
}


def solidity() -> Step[Check]:
    """Whether a cut-out, turned by 60 degrees, still shows something of the width that it shows from the front."""
    front = yield Call("look", {"px": 96, "samples": 1})
    turned = yield Call("look", {"view": {"kind": "orbit", "azimuth_deg": 60.0}, "px": 96, "samples": 1})
    if not front.pictures or not turned.pictures:
        return Check("The scene can be seen from a camera turned by 60 degrees.", False)
    share = _columns(turned.pictures[0]) / max(1, _columns(front.pictures[0]))
    return Check("Turned by 60 degrees, the scene is at least a third as wide as from the front.", share >= 1 / 3)


def _columns(png: bytes) -> int:
    """Picture columns in which something is seen."""
    alpha = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[..., 3]
    return int(np.count_nonzero((alpha > 127).any(axis=0)))
