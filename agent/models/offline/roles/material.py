"""The generator of the material stage: base colours, then shades within parts and gradients of the ground, measured at
each step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.models.offline.colors import Floats, to_linear
from agent.models.offline.dialogue import Call, Result, Script, Task
from agent.models.offline.reading import Reading
from agent.models.offline.reliefs import grid_steps
from agent.models.offline.rendering import seen
from agent.models.offline.roles.common import Step, finish, keep_if_better, reading_of, run_code, score, start_score
from agent.models.offline.stage_set import Sheet, sheets
from agent.models.offline.surface_code import gradient_code, recolor_code, shades_code, tint_code
from agent.models.offline.tints import (
    DARKEST,
    Colors,
    Gradient,
    corrected,
    first_colors,
    gradient_over,
    light_on,
    masks,
    painted,
    shades_of,
)

MOST_SHADES = 4
CORRECTIONS = 2
OFF = 0.04
"""Of sRGB, by which a part's mean colour may differ."""


def refine(task: Task) -> Script:
    if task.round > 1:
        yield from _retint(task)
        return
    reading = reading_of(task)
    behind = sheets(reading)
    start = yield from start_score()
    colors, stands = yield from _colors(reading, behind)
    colors, stands = yield from _gradients(task, reading, behind, colors, stands)
    stands = yield from _shades(task, reading, colors, stands)
    if stands < start:
        yield Call("revert", {"to": "start"})
    yield from finish(f"Colours from the picture divided by the light; score {start:.2f} → {max(stands, start):.2f}.")


def _retint(task: Task) -> Script:
    """A later round: what is measured to be off is multiplied by what it lacks."""
    measured = yield Call("measure", {})
    start, objects = score(measured.measures), measured.facts.get("objects") or {}
    factors = {}
    for name, of in objects.items():
        wanted, shown = of.get("mean_color", ((), ()))
        if max((abs(a - b) for a, b in zip(wanted, shown, strict=True)), default=0.0) > OFF:
            ratio = (to_linear(np.array(wanted)) + 0.002) / (to_linear(np.array(shown)) + 0.002)
            factors[name] = np.clip(ratio, 0.5, 2.0)
    stands = start
    if factors:
        result = yield from run_code("colours that were off", tint_code(factors))
        stands = yield from keep_if_better(start, result)
    yield from finish(f"{len(factors)} parts were off in colour and tinted; score {start:.2f} → {stands:.2f}.")


def _colors(reading: Reading, behind: list[Sheet]) -> Step[tuple[Colors, float]]:
    """One colour for each material, corrected by what the render shows."""
    colors, where = first_colors(reading, behind), masks(reading, behind)
    result = yield from run_code("colours of the regions", recolor_code(colors))
    stands = score(result.measures)
    for _ in range(CORRECTIONS):
        if not result.committed or not result.pictures:
            break
        render, _ = seen(result.pictures[0], reading)
        better = corrected(colors, where, reading.linear, render)
        result = yield from run_code("colours corrected for the light", recolor_code(better))
        after = yield from keep_if_better(stands, result)
        if after <= stands:
            break
        colors, stands = better, after
    return colors, stands


def _close_look(task: Task, reading: Reading) -> Step[Floats]:
    px = min(max(reading.frame.width, reading.frame.height), 256 if task.preset == "quick" else 384)
    result: Result = yield Call("look", {"px": max(16, px), "samples": 8 if task.preset == "quick" else 12})
    return seen(result.pictures[0], reading)[0] if result.pictures else reading.linear


def _gradients(
    task: Task, reading: Reading, behind: list[Sheet], colors: Colors, stands: float
) -> Step[tuple[Colors, float]]:
    """Smooth changes within parts and over the background; returns base colours over the picture."""
    render = yield from _close_look(task, reading)
    made, flat = list[Gradient](), dict(colors)
    for name, mask in masks(reading, behind).items():
        light = light_on(render, colors[name], mask)
        degree = 3 if any(name == sheet.name for sheet in behind) else 2
        gradient = gradient_over(name, mask, reading.linear, light, degree)
        if gradient:
            made.append(gradient)
    if not made:
        return flat, stands
    result = yield from run_code("gradients within parts", gradient_code(reading, made))
    after = yield from keep_if_better(stands, result)
    if after > stands:
        flat |= {one.name: painted(one, reading.linear.shape) for one in made}
    return flat, after


def _shades(task: Task, reading: Reading, colors: Colors, stands: float) -> Step[float]:
    """Patches of other tints where a part has several colours."""
    render = yield from _close_look(task, reading)
    made, steps = [], grid_steps(reading)
    for part in reading.parts:
        base = np.broadcast_to(colors[part.name], reading.linear.shape)
        light = light_on(render, base, part.mask)
        shades = shades_of(part, reading.linear, light, base, MOST_SHADES, steps[part.name])
        if shades:
            flat = colors[part.name] if colors[part.name].ndim == 1 else 1.0
            made.append(replace(shades, tints=np.clip(shades.tints * flat, DARKEST, 20.0)))
    if not made:
        return stands
    result = yield from run_code("shades within parts", shades_code(reading, made, steps))
    return (yield from keep_if_better(stands, result))
