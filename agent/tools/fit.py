"""Owns the fit tool: the model names what to tune and what to match, the machine finds the values.

The optimiser runs here, in the agent; Blender only sets values and renders, from temporary state. What it finds is
committed as literal assignments, an ordinary edit in the stage's scope, and only if it measures better.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, field_validator, model_validator

from agent.tools.base import Outcome, Tool, ToolInput, answered, refused
from agent.tools.fitting import colors, hues, light
from agent.tools.fitting.facts import ObjectFacts, SceneFacts
from agent.tools.fitting.gains import is_gain, losses
from agent.tools.fitting.points import camera_of_points
from agent.tools.fitting.poses import Knobs, camera_knobs, placement_knobs
from agent.tools.fitting.registration import register
from agent.tools.fitting.search import Number, search
from agent.tools.fitting.trial import Trial, Unfit, inspected
from agent.tools.fitting.writing import assignments, is_plain_path
from agent.tools.objectives import Goal, Objective, Region, objective_for, seen_region
from agent.tools.scene import committed, rejected
from agent.tools.workbench import Workbench, once_more
from protocol.errors import ProcessFault, RequestFailed, ScriptFailed

FEWEST_POINTS = 3
LOOKS_EACH = 15
"""Well spent on each number of a search."""
LEAST_LOOKS = {"camera": 12, "placement": 10}
"""Below which a search of so many numbers gains nothing."""

Kind = Literal["values", "camera", "placement", "lights", "colors"]


class FitValue(ToolInput):
    path: str = Field(max_length=400)
    """A number below bpy.data, such as objects["Cup"].location[0]."""
    lower: float
    upper: float
    start: float

    @field_validator("path")
    @classmethod
    def _is_a_plain_path(cls, path: str) -> str:
        path = path.removeprefix("bpy.data.")
        if not is_plain_path(path):
            raise ValueError(f"{path!r} is no path of names and constant indices below bpy.data")
        return path

    @model_validator(mode="after")
    def _start_lies_within(self) -> FitValue:
        if not (np.isfinite([self.lower, self.upper, self.start]).all() and self.lower < self.upper):
            raise ValueError(f"{self.path}: lower must be below upper, and all three finite")
        if not self.lower <= self.start <= self.upper:
            raise ValueError(f"{self.path}: start {self.start:g} lies outside {self.lower:g} … {self.upper:g}")
        return self


class FitPoint(ToolInput):
    picture: tuple[float, float]
    """Where the reference shows the point: fractions of its width and height, origin top left."""
    world: tuple[float, float, float]
    """The same point of the scene, in world coordinates."""

    @model_validator(mode="after")
    def _lies_near_the_picture(self) -> FitPoint:
        if not np.isfinite([*self.picture, *self.world]).all() or not all(-1 <= one <= 2 for one in self.picture):
            raise ValueError(f"picture {list(self.picture)}: fractions, from 0 (left, top) to 1 (right, bottom)")
        return self


class FitInput(ToolInput):
    purpose: str = Field(max_length=200)
    kind: Kind = "values"
    """What to tune: the numbers in `values`; the target camera's place, rotation and focal length; the place, turn
    about the vertical and size of object `of`, with its children; colour and strength of all lights and the world; or
    the base colours of object `of` and its children."""
    of: str = Field("", max_length=200)
    """Name of the object, for kinds placement and colors."""
    values: tuple[FitValue, ...] = Field((), max_length=40)
    """For kind values: what to tune. Start close, keep ranges narrow."""
    points: tuple[FitPoint, ...] = Field((), max_length=40)
    """For kind camera: 3 or more points, spread over the picture and in depth, that you read off the reference and
    whose place in the scene is right. The camera is then solved from them alone; its focal length too, of 4 or more."""
    goal: Goal = "all"
    """What to match: all (colours, edges, outline), colour, luminance, or silhouette (of a cut-out)."""
    region: str = Field("", max_length=200)
    """Name of an object: match only where it is seen (with its children). Empty: the whole picture."""
    looks: int = Field(0, ge=0, le=2000)
    """Most renders that a search may take; 0: as many as are of use. The run's own bound counts too. Kinds lights and
    colors take what they need."""

    @model_validator(mode="after")
    def _is_complete(self) -> FitInput:
        if (self.kind == "values") != bool(self.values):
            raise ValueError("values are for kind 'values', which needs at least one")
        if (self.kind in ("placement", "colors")) != bool(self.of):
            raise ValueError("`of` is for kinds 'placement' and 'colors', which need the name of an object there")
        if self.points and (self.kind != "camera" or len(self.points) < FEWEST_POINTS):
            raise ValueError(f"points are for kind 'camera', {FEWEST_POINTS} at least")
        if self.region and self.goal == "silhouette":
            raise ValueError("a silhouette is the whole picture's: leave region empty")
        return self


def fit(bench: Workbench, given: FitInput) -> Outcome:
    head = bench.head.id
    try:
        if reason := _out_of_scope(bench, given):
            return refused(reason, head=head)
        task = _task(bench, given)
        trial, found, before, after = once_more(lambda: _searched(bench, given, task))
        lost = None
        if found.off_px or is_gain(before, after):
            lost = losses(
                bench, found.source, given.goal, task.names, found.off_px, given.kind in ("camera", "placement")
            )
    except ScriptFailed as error:
        reason = error.traceback_text.strip().splitlines()[-1]
        return refused(f"these values cannot be set: {reason}", head=head)
    except (RequestFailed, ProcessFault, Unfit, ValueError) as error:
        return refused(f"the fit stopped: {error}", head=head)
    facts: dict[str, Any] = {
        "error_before": round(before, 6),
        "error_after": round(after, 6),
        "looks": trial.count,
        "looks_allowed": task.looks,
        **({"notes": found.notes} if found.notes else {}),
    }
    if lost is None:
        reason = "no better values were found"
        return answered({"result": "no_gain", "reason": reason, "found": found.told, **facts}, head=head)
    if lost:
        reason = "measured larger, the goal did not gain, or other figures lost; `found` was not set"
        return answered({"result": "no_gain", "reason": reason, "found": found.told, "lost": lost, **facts}, head=head)
    outcome = bench.edit(found.source, f"fit: {given.purpose}")
    if outcome.snapshot is None:
        return rejected(bench, outcome)
    return committed(bench, outcome, **facts, values=found.told)


@dataclass(frozen=True)
class Task:
    """What a call comes to in this scene."""

    given: FitInput
    scene: SceneFacts
    objective: Objective
    looks: int
    """Most that it may take."""
    names: frozenset[str]
    """Of the objects in whose region is compared; none: everywhere."""
    knobs: Knobs | None
    region: Region | None


@dataclass(frozen=True)
class Found:
    """Values that a finder came to."""

    source: str
    """The edit that sets them."""
    told: dict[str, Any]
    notes: list[str]
    off_px: tuple[float, float] | None = None
    """Of a camera from points: how far off they are seen, before and after (root mean square)."""


def _task(bench: Workbench, given: FitInput) -> Task:
    config, scene = bench.run.config, inspected(bench, SceneFacts, "scene")
    region_of = given.region or (given.of if given.kind == "colors" else "")
    names = frozenset(scene.below(region_of)) if region_of else frozenset()
    region = seen_region(bench, set(names), config.fit_px, _moves(given)) if names else None
    objective = objective_for(given.goal, bench, config.fit_px, region)
    knobs = _knobs(bench, given, scene)
    if knobs is None:  # what is solved takes the looks that it needs
        return Task(given, scene, objective, config.fit_looks, names, knobs, region)
    useful = LOOKS_EACH * len(knobs.numbers) + LEAST_LOOKS.get(given.kind, 0)
    allowed = min(given.looks or useful, config.fit_looks)
    if allowed < (least := LEAST_LOOKS.get(given.kind, 3)):
        if config.fit_looks < least:
            raise Unfit(f"kind {given.kind!r} needs at least {least} looks, and this run allows {config.fit_looks}")
        allowed = least
    return Task(given, scene, objective, allowed, names, knobs, region)


def _moves(given: FitInput) -> bool:
    return given.kind in ("camera", "placement", "values")


def _knobs(bench: Workbench, given: FitInput, scene: SceneFacts) -> Knobs | None:
    """The numbers of a search; None for what is solved."""
    if given.kind == "camera" and not given.points:
        name = scene.camera.name if scene.camera else ""
        return camera_knobs(scene, inspected(bench, ObjectFacts, "object", name))
    if given.kind == "placement":
        return placement_knobs(scene, inspected(bench, ObjectFacts, "object", given.of))
    if given.kind == "values":
        paths = [value.path for value in given.values]
        numbers = tuple(Number(value.path, value.lower, value.upper, value.start) for value in given.values)

        def by_path(values: Any) -> dict[str, Any]:
            return {path: float(f"{value:.6g}") for path, value in zip(paths, values, strict=True)}

        return Knobs(numbers, lambda values: assignments(by_path(values)), by_path)
    return None


# ── what a stage allows ───────────────────────────────────────────────────────────────────────────────────────────────
FACTORS = {"camera": "camera", "placement": "transform", "lights": "light", "colors": "material"}
"""What each kind changes."""
COLLECTIONS = {
    "cameras": "camera", "lights": "light", "worlds": "world", "materials": "material", "meshes": "geometry",
    "curves": "geometry", "metaballs": "geometry",
}  # fmt: skip
"""Collection of bpy.data → the factor that its datablocks belong to."""


def _out_of_scope(bench: Workbench, given: FitInput) -> str:
    """Why the stage does not allow this fit; empty where it may, or where only the edit itself can tell."""
    if given.kind == "values":
        needed = {path: factor for path in (v.path for v in given.values) if (factor := _factor_of(bench, path))}
    elif given.kind == "placement":
        needed = {f"the place of {given.of!r}": _placed(inspected(bench, _Typed, "object", given.of).type)}
    else:
        needed = {f"kind {given.kind!r}": FACTORS[given.kind]}
    wrong = {what: factor for what, factor in needed.items() if factor not in bench.stage.scope}
    if not wrong:
        return ""
    what, factor = next(iter(wrong.items()))
    allowed = ", ".join(sorted(bench.stage.scope))
    return f"{what} belongs to the factor {factor!r}; the {bench.stage.name} stage may change only: {allowed}"


class _Typed(BaseModel):
    type: str


def _placed(kind: str) -> str:
    """The factor of an object's place, by the object's type."""
    return {"CAMERA": "camera", "LIGHT": "light"}.get(kind, "transform")


def _factor_of(bench: Workbench, path: str) -> str | None:
    """By the collection that a path begins with and, for objects, by their type; None where that does not tell."""
    chain: list[Any] = []
    node: ast.AST = ast.parse(path, mode="eval").body
    while isinstance(node, ast.Attribute | ast.Subscript):
        chain.append(node.attr if isinstance(node, ast.Attribute) else getattr(node.slice, "value", None))
        node = node.value
    chain.append(getattr(node, "id", None))
    collection, *rest = reversed(chain)
    if collection != "objects" or len(rest) < 2 or not isinstance(rest[0], str):
        return COLLECTIONS.get(str(collection))
    kind = inspected(bench, _Typed, "object", rest[0]).type
    if str(rest[1]).startswith(("location", "rotation", "scale", "delta", "matrix")):
        return _placed(kind)
    return {"CAMERA": "camera", "LIGHT": "light"}.get(kind) if rest[1] == "data" else None


# ── finders ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _searched(bench: Workbench, given: FitInput, task: Task) -> tuple[Trial, Found, float, float]:
    """What was found by trials, and the error before and after."""
    config = bench.run.config
    with bench.temporary() as session:
        trial = Trial(bench, session, config.fit_px, config.fit_samples, task.looks)
        before = task.objective(trial.look())
        found = (_by_points if given.points else FINDERS[given.kind])(task, trial)
        return trial, found, before, task.objective(trial.look(found.source))


def _by_search(task: Task, trial: Trial) -> Found:
    """Numbers that a model named."""
    knobs = task.knobs
    assert knobs is not None
    looks = max(2, trial.left - 1)
    best, _ = search(
        lambda at: task.objective(trial.look(knobs.source(at))), knobs.numbers, looks, trial.bench.run.config.seed
    )
    return Found(knobs.source(best), knobs.told(best), [])


def _by_registration(task: Task, trial: Trial) -> Found:
    """The pose of the camera or of an object."""
    knobs = task.knobs
    assert knobs is not None
    start = [one.start for one in knobs.numbers]
    trial.most -= 1  # for the last look
    best = register(trial, knobs, task.objective, start, trial.bench.run.config.seed)
    trial.most += 1
    return Found(knobs.source(best), knobs.told(best), [])


def _by_points(task: Task, trial: Trial) -> Found:
    """The camera, from what the model read off the picture."""
    name = task.scene.camera.name if task.scene.camera else ""
    config, points = trial.bench.run.config, task.given.points
    solved = camera_of_points(
        task.scene,
        inspected(trial.bench, ObjectFacts, "object", name),
        trial.bench.run.reference.frame(config.target_px),
        [one.picture for one in points],
        [one.world for one in points],
    )
    return Found(solved.source, solved.told, [], (solved.before_px, solved.after_px))


def _by_adding_light(task: Task, trial: Trial) -> Found:
    """Colours and strengths of the lights, solved; of the solution, half the way to it, and its strengths alone the
    one that measures best."""
    tunable, notes = light.sources(trial, task.scene, "world" in trial.bench.stage.scope)
    _check_looks(trial, len(tunable) + 5)
    wanted = light.wanted_light(trial.bench.run.reference, trial.size, task.scene.view)
    if task.scene.view.view_transform != "Standard":
        notes.append(f"solved as if the view transform were Standard, not {task.scene.view.view_transform}")
    parts, rest = light.contributions(trial, tunable)
    chosen = light.telling(trial, rest, task.region)
    now = [one.now for one in tunable]
    solved = light.solve(parts, rest, now, wanted, chosen)
    halfway = [tuple((a + b) / 2 for a, b in zip(one, two, strict=True)) for one, two in zip(now, solved, strict=True)]
    trial.set(light.shown_again(tunable))
    candidates = [solved, light.dimmed(parts, rest, now, wanted, chosen)]
    if all(hues.is_plausible(half) or not hues.is_plausible(one) for half, one in zip(halfway, now, strict=True)):
        candidates.append(halfway)
    losses = [task.objective(trial.look(light.together(tunable, one))) for one in candidates]
    best = candidates[int(np.argmin(losses))]
    told = {one.name: one.told(strengths) for one, strengths in zip(tunable, best, strict=True)}
    return Found(light.together(tunable, best), told, notes)


def _by_ratio(task: Task, trial: Trial) -> Found:
    """Base colours of an object's materials; the iteration that measures best."""
    found, notes = colors.paints(trial, task.scene, task.scene.below(task.given.of))
    _check_looks(trial, colors.looks_needed(found) + 3)
    wanted = light.wanted_light(trial.bench.run.reference, trial.size, task.scene.view)
    region = seen_region(trial.bench, task.scene.below(task.given.of), max(trial.size))
    now: list[tuple[float, ...]] = [one.color[:3] for one in found]
    seen = trial.light()
    chosen = light.telling(trial, seen, region)
    tried: list[tuple[float, list[tuple[float, ...]]]] = []
    for _ in range(colors.ITERATIONS):
        if trial.left < colors.looks_needed(found) + 2:
            break
        now = colors.colors_after(trial, found, now, wanted, chosen)
        tried.append((task.objective(trial.look(colors.painted(found, now))), now))
    best = min(tried, key=lambda pair: pair[0])[1]
    return Found(colors.painted(found, best), colors.told(found, best), notes)


def _check_looks(trial: Trial, needed: int) -> None:
    if trial.left < needed:
        raise Unfit(f"this takes {needed + trial.count} looks, and this run allows {trial.most}")


FINDERS: dict[Kind, Callable[[Task, Trial], Found]] = {
    "values": _by_search,
    "camera": _by_registration,
    "placement": _by_registration,
    "lights": _by_adding_light,
    "colors": _by_ratio,
}


TOOLS = (
    Tool(
        "fit",
        "Let the machine find values: say what to tune (numbers by path with bounds; the target camera, by search or "
        "from points that you read off; an object's placement; all lights; an object's base colours) and what to "
        "match. It renders small with many values, and commits the best as one ordinary edit if it measures better; "
        "else the scene stays as it is, and you are told what was found.",
        FitInput,
        fit,
        builds=True,
    ),
)
