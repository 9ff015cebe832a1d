"""The decomposer: the parts of a reading as a scene graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.models.offline.colors import to_srgb
from agent.models.offline.dialogue import Call, Script, Task
from agent.models.offline.reading import Part, Reading
from agent.models.offline.roles.common import most_parts, reading_of
from agent.models.offline.stage_set import sheets

BY = "Read by the offline model: classical image analysis, which sees coloured regions and knows no things."
_GEOMETRY = {
    "ball": "ball or oval",
    "box": "box",
    "cone": "cone, point up",
    "cylinder": "upright cylinder",
    "rod": "long thin box",
    "outline": "solid of the region's outline, given depth",
}


def decompose(task: Task) -> Script:
    reading = reading_of(task)
    nodes = [*_set_nodes(reading), *_groups(reading), *(_leaf(reading, part) for part in reading.parts)]
    yield Call("submit_scene_graph", {"environment": _environment(task, reading), "nodes": nodes, "complete": True})


def _environment(task: Task, reading: Reading) -> str:
    if reading.cutout:
        place = "a cut-out: objects alone, with nothing behind them"
    elif reading.background.plain is not None:
        place = "a plain background of one colour"
    else:
        place = "a ground" + (" with a wall behind it" if reading.background.line else "")
    return f"{place}; one sun and an even sky. {BY} Divided into at most {most_parts(task)} parts."


def _set_nodes(reading: Reading) -> list[dict[str, Any]]:
    return [_node(sheet.name, None, "part", f"The {sheet.name.lower()} behind the objects.", geometry="flat slab",
                  strategy="slab") for sheet in sheets(reading)]  # fmt: skip


def _groups(reading: Reading) -> list[dict[str, Any]]:
    named = [(number, reading.group(number)) for number in reading.planes]
    return [
        _node(name, None, "group", f"One connected silhouette of {_members(reading, number)} regions.")
        for number, name in named
        if name
    ]


def _members(reading: Reading, number: int) -> int:
    return sum(part.silhouette == number for part in reading.parts)


def _leaf(reading: Reading, part: Part) -> dict[str, Any]:
    color = ", ".join(f"{value:.2f}" for value in to_srgb(np.array(part.color)))
    left, top, right, bottom = part.shape.box
    width, height = reading.frame.width, reading.frame.height
    upon = [{"relation": "lies upon", "to": reading.parts[part.upon].name}] if part.upon is not None else []
    return _node(
        part.name,
        reading.group(part.silhouette),
        "part",
        f"A region of one colour, {(right - left) / width:.0%} of the picture wide, {(bottom - top) / height:.0%} high",
        geometry=_GEOMETRY[part.shape.kind],
        material=f"matte, sRGB ({color})",
        relations=upon,
        strategy="closed mesh from explicit vertices",
        picture_box=[left / width, top / height, right / width, bottom / height],
    )


def _node(name: str, parent: str | None, kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "parent": parent, "kind": kind, "description": description, **more}
