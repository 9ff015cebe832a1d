"""Owns the closed form for lights: light adds up, so colours and strengths are least squares without negative parts.

One scene-linear picture is made of each light alone in white, one of the world, and one of the rest (what shines of
itself, and what the stage may not touch). Colours stay those of real light (`hues.py`), or
they would make up for what materials and shadows lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import block_diag
from scipy.ndimage import binary_erosion
from scipy.optimize import nnls

from agent.picture import Reference
from agent.tools.fitting.facts import LightFacts, ObjectFacts, SceneFacts, TreeFacts, ViewFacts
from agent.tools.fitting.hues import nearest_rays
from agent.tools.fitting.trial import Linear, Trial, Unfit, inspected
from agent.tools.fitting.writing import Literal, assignments
from agent.tools.objectives import Region, mask_pixels

Floats = NDArray[np.float64]

SATURATED = 0.98
"""Reference values at or above it tell only that there was at least so much light."""
DARKEST = 0.02
"""Linear; below it differences count as they do here, though the eye's curve is steeper."""
FEWEST = 50
"""Pixels that a solution needs."""
PULL = 1e-3
"""Towards the strengths that stand, for lights that do the same to the picture."""
OUTLYING = 0.08
"""Difference (0 … 1, as displayed) above which a pixel counts less: there something else than the light differs."""
ROUNDS = 3
"""Of weighing outlying pixels anew."""


@dataclass(frozen=True)
class Source:
    """A light, or the world, as unknowns of a sum."""

    name: str
    paths: tuple[str, str]
    """Of its strength and of its colour; the latter empty where something else drives the colour."""
    now: tuple[float, ...]
    """Strength times colour, per channel; of one without a colour the strength alone."""
    strength: float
    color: tuple[float, ...]
    switches: tuple[str, ...] = ()
    """Names of the objects that show it; of the world none."""

    def source(self, strengths: Sequence[float]) -> dict[str, Literal]:
        """Assignments for a strength per channel."""
        values = _split(strengths)
        found: dict[str, Literal] = {self.paths[0]: values[0]} if self.paths[0] else {}
        if self.paths[1]:
            alpha = (1.0,) if len(self.color) == 4 else ()
            found[self.paths[1]] = (*values[1], *alpha) if self.paths[0] else (*strengths, *alpha)
        return found

    def told(self, strengths: Sequence[float]) -> dict[str, Any]:
        strength, color = _split(strengths)
        found: dict[str, Any] = {"strength": [self.strength, _short(strength)]}
        return {**found, "color": [list(self.color[:3]), [_short(c) for c in color]]} if self.paths[1] else found


def _split(strengths: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """A strength, and a colour whose largest channel is 1."""
    most = max(strengths)
    return most, tuple(one / most for one in strengths) if most > 0 else (1.0,) * len(strengths)


def sources(trial: Trial, scene: SceneFacts, with_world: bool) -> tuple[list[Source], list[str]]:
    """What can be tuned, and notes on what cannot."""
    found, notes = _lights(trial, scene), list[str]()
    if with_world:
        world, note = _world(inspected(trial.bench, TreeFacts, "world"))
        found += [world] if world else []
        notes += [note] if note else []
    else:
        notes.append("the world is not in this stage's scope and was left as it is")
    if not found:
        raise Unfit(f"there is no light to tune; {'; '.join(notes)}")
    return found, notes


def _lights(trial: Trial, scene: SceneFacts) -> list[Source]:
    by_data: dict[str, list[LightFacts]] = {}
    for light in scene.lights:
        if not light.hidden:
            data = inspected(trial.bench, ObjectFacts, "object", light.name).data
            by_data.setdefault(data or light.name, []).append(light)
    return [
        Source(
            name=lights[0].name,
            paths=(f"objects[{lights[0].name!r}].data.energy", f"objects[{lights[0].name!r}].data.color"),
            now=tuple(lights[0].energy * channel for channel in lights[0].color),
            strength=lights[0].energy,
            color=lights[0].color,
            switches=tuple(light.name for light in lights),
        )
        for lights in by_data.values()
    ]


def _world(world: TreeFacts) -> tuple[Source | None, str]:
    """The world's one background; None, and why, where its light is not one strength times one colour or texture."""
    if not world.name:
        return None, "the scene has no world"
    owner = f"worlds[{world.name!r}]"
    if not world.nodes:
        color = world.color or (0.0, 0.0, 0.0)
        return Source(world.name, ("", f"{owner}.color"), color, 1.0, color), ""
    backgrounds = [node for node in world.nodes if node.type == "ShaderNodeBackground"]
    strength = backgrounds[0].number("Strength") if len(backgrounds) == 1 else None
    if strength is None:
        return None, "the world's nodes are more than one background with one strength; it was left as it is"
    inputs = f"{owner}.node_tree.nodes[{backgrounds[0].name!r}].inputs"
    path, shown = f"{inputs}['Strength'].default_value", backgrounds[0].color("Color")
    if shown is None:
        note = "the world's colour is driven by nodes: its strength alone was tuned"
        return Source(world.name, (path, ""), (strength,), strength, ()), note
    now = tuple(strength * channel for channel in shown[:3])
    return Source(world.name, (path, f"{inputs}['Color'].default_value"), now, strength, shown), ""


# ── the pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────
def contributions(trial: Trial, found: Sequence[Source]) -> tuple[list[Linear], Linear]:
    """The light of each source at strength 1 in white, and the rest. The scene is as before afterwards, but for values
    that `assignments` of every source sets."""
    rest = trial.light(_alone(found, None))
    return [(trial.light(_alone(found, one)) - rest) / _basis(one) for one in found], rest


def _basis(source: Source) -> float:
    """The strength at which a source is looked at alone: its own, for the renderer's limits to be the same."""
    return max(source.now) if max(source.now) > 1e-9 else 1.0


def _alone(found: Sequence[Source], shining: Source | None) -> str:
    values: dict[str, Literal] = {}
    switches = [f"bpy.data.objects[{n!r}].hide_render = {one is not shining}" for one in found for n in one.switches]
    for one in found:
        if one is shining:
            values |= one.source([_basis(one)] * len(one.now))
        elif not one.switches:
            values |= one.source([0.0] * len(one.now))
    return assignments(values) + "\n".join(switches) + "\n"


def together(found: Sequence[Source], strengths: Sequence[Sequence[float]]) -> str:
    """The edit that sets strengths."""
    values: dict[str, Literal] = {}
    for one, strength in zip(found, strengths, strict=True):
        values |= one.source(strength)
    return assignments(values)


def shown_again(found: Sequence[Source]) -> str:
    return "import bpy\n\n" + "\n".join(
        f"bpy.data.objects[{name!r}].hide_render = False" for one in found for name in one.switches
    )


# ── the solution ──────────────────────────────────────────────────────────────────────────────────────────────────────
def wanted_light(reference: Reference, size: tuple[int, int], view: ViewFacts) -> Floats:
    """The reference in scene-linear light, as if it had been displayed by the Standard view transform."""
    shown = (reference.rgb / 255.0) ** view.gamma
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4) / 2.0**view.exposure
    return np.stack([_shrunk(linear[..., channel].astype(np.float32), size) for channel in range(3)], axis=-1)


def telling(trial: Trial, seen: Linear, region: Region | None) -> Region:
    """Height × width × 3: which values of the reference tell how much light there was."""
    reference, size = trial.bench.run.reference, trial.size
    burnt = (reference.rgb >= SATURATED * 255).astype(np.float32)
    chosen = np.stack([_shrunk(burnt[..., channel], size) == 0 for channel in range(3)], axis=-1)
    if reference.mask is not None:
        inside = binary_erosion((mask_pixels(reference, size) > 0.98) & (seen[..., 3] > 0.98))
        chosen &= inside[..., None]
    return chosen if region is None else chosen & region[..., None]


def _shrunk(values: NDArray[np.float32], size: tuple[int, int]) -> Floats:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX), np.float64)


def solve(
    parts: Sequence[Linear], rest: Linear, now: Sequence[Sequence[float]], wanted: Floats, chosen: Region
) -> list[tuple[float, ...]]:
    """Strengths per channel (or one for all, where `now` has one) that come nearest to the wanted light,
    in colours that real light has.

    Differences count as they would be seen, outlying pixels less. Raises Unfit where too few pixels tell anything.
    """
    if int(chosen.any(axis=-1).sum()) < FEWEST:
        raise Unfit("too few pixels of the reference, neither saturated nor background, tell how much light there is")
    columns, before = [], [value for strengths in now for value in strengths]
    for part, strengths in zip(parts, now, strict=True):
        for channel in range(3) if len(strengths) == 3 else (slice(None),):
            column = np.zeros(wanted.shape)
            column[..., channel] = part[..., :3][..., channel]
            columns.append(column[chosen])
    matrix, target = np.stack(columns, axis=1).astype(np.float64), wanted[chosen] - rest[..., :3][chosen]
    seen_slope = _slope(wanted[chosen])
    found, weight = [tuple(strengths) for strengths in now], seen_slope
    for _ in range(ROUNDS):
        free = _pulled(matrix * weight[:, None], target * weight, np.array(before), np.eye(len(before)))
        rays = [nearest_rays(strengths, one) for strengths, one in zip(now, _split_up(free, now), strict=True)]
        values = _pulled(matrix * weight[:, None], target * weight, np.array(before), block_diag(*rays))
        found = _split_up(values, now)
        off = np.abs(matrix @ values - target) * seen_slope
        weight = seen_slope * np.sqrt(np.minimum(1.0, OUTLYING / np.maximum(off, 1e-9)))
    return found


def _split_up(values: Floats, like: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    rest = iter(values.tolist())
    return [tuple(next(rest) for _ in strengths) for strengths in like]


def dimmed(
    parts: Sequence[Linear], rest: Linear, now: Sequence[Sequence[float]], wanted: Floats, chosen: Region
) -> list[tuple[float, ...]]:
    """The same with each source's colour as it is: one factor for each."""
    colored = []
    for part, strengths in zip(parts, now, strict=True):
        one = part.copy()
        one[..., :3] *= strengths
        colored.append(one)
    factors = solve(colored, rest, [(1.0,)] * len(now), wanted, chosen)
    return [tuple(value * factor for value in strengths) for strengths, (factor,) in zip(now, factors, strict=True)]


def _pulled(matrix: Floats, target: Floats, before: Floats, rays: Floats) -> Floats:
    """Least squares of sums of the rays (columns) without negative parts, drawn a little to what stands."""
    scale = np.sqrt(PULL) * np.linalg.norm(matrix, axis=0)
    directions, upper = np.linalg.qr(matrix)
    stacked = np.concatenate([upper, np.diag(scale)]) @ rays
    try:
        parts = nnls(stacked, np.concatenate([directions.T @ target, scale * before]))[0]
    except RuntimeError as error:
        raise Unfit(f"the lights' strengths could not be solved: {error}") from error
    return np.asarray(rays @ parts)


def _slope(linear: Floats) -> Floats:
    """Of the displayed value over the linear one."""
    return np.asarray(1.055 / 2.4 * np.maximum(linear, DARKEST) ** (1 / 2.4 - 1))


def _short(value: float) -> float:
    return float(f"{value:.5g}")
