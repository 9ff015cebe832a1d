"""Owns the code of the material stage: colours, shades and gradients as calls of the box's helpers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from agent.models.offline.colors import Floats
from agent.models.offline.reading import Reading
from agent.models.offline.scaffold import lens
from agent.models.offline.tints import Gradient, Shades
from agent.models.offline.writing import edit, literal, text


def recolor_code(colors: Mapping[str, Floats]) -> str:
    return edit(*(f"recolor({text(name)}, {literal(color)})" for name, color in colors.items()))


def tint_code(factors: Mapping[str, Floats]) -> str:
    return edit(*(f"tint({text(name)}, {literal(factor)})" for name, factor in factors.items()))


def shades_code(reading: Reading, made: Iterable[Shades], step: Mapping[str, float]) -> str:
    """Rows of digits at the fineness of each part's faces."""
    lines = [f"lens = {lens(reading)}"]
    for one in made:
        corner, rows = _rows(one, max(1.0, 0.75 * step[one.name]))
        digits = ",\n".join(repr(row) for row in rows)
        place = f"{literal(corner[:2])}, {literal(corner[2])}"
        lines.append(f"shades({text(one.name)}, {literal(one.tints)}, lens, {place}, [\n{digits}])")
    return edit(*lines)


def _rows(one: Shades, step: float) -> tuple[tuple[float, float, float], list[str]]:
    """The numbers at the middles of square cells over the part's box."""
    height, width = one.numbers.shape
    left, top, right, bottom = one.box
    y = np.clip((top + (np.arange(int(np.ceil((bottom - top) / step))) + 0.5) * step).astype(int), 0, height - 1)
    x = np.clip((left + (np.arange(int(np.ceil((right - left) / step))) + 0.5) * step).astype(int), 0, width - 1)
    numbers = one.numbers[np.ix_(y, x)]
    return (float(left), float(top), step), ["".join(map(str, row)) for row in numbers.tolist()]


def gradient_code(reading: Reading, gradients: Iterable[Gradient]) -> str:
    lines = [f"lens = {lens(reading)}"]
    for one in gradients:
        terms = ", ".join(f"({i}, {j}, {literal(f)})" for (i, j), f in zip(one.powers, one.factors, strict=True))
        lines.append(
            f"gradient({text(one.name)}, lens, {literal(one.box)}, [{terms}], {literal(one.low)}, {literal(one.high)})"
        )
    return edit(*lines)
