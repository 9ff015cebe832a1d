"""Owns the code of the geometry stage: reliefs as calls of the box's helpers."""

from __future__ import annotations

import numpy as np

from agent.models.offline.reading import Reading
from agent.models.offline.reliefs import Relief
from agent.models.offline.scaffold import center, lens
from agent.models.offline.stage_set import sheets
from agent.models.offline.writing import edit, grid, literal, text


def relief_code(reading: Reading, made: list[Relief]) -> str:
    """One edit that gives every part its solid; the objects, their parents and materials stay."""
    by_name = {part.name: part for part in reading.parts}
    lines = [f"lens = {lens(reading)}"]
    for one in made:
        part = by_name[one.name]
        lines += _lines(one, literal(reading.plane(part), 5), literal(center(reading, part)), bool(sheets(reading)))
    return edit(*lines)


def _lines(one: Relief, plane: str, place: str, floor: bool) -> list[str]:
    inside = np.clip(one.inside * 20, -30, 30)
    inside = np.where(np.abs(inside) < 0.5, -1, inside)
    corner = literal(one.corner)
    back = "None" if one.back is None else grid(one.back, 10)
    return [
        f"made = relief(lens, {plane}, {corner}, {literal(one.step)},",
        f"{grid(inside, 1)},",
        f"{grid(one.front, 10)},",
        f"{back}, {floor})",
        f"reshape({text(one.name)}, {place}, made, made[2])",
    ]
