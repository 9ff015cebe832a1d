"""Owns the fit tool: the model names numbers and bounds, the machine finds values by rendering small and comparing.

The optimiser runs here, in the agent; Blender only sets values and renders, from temporary state. What it finds is
committed as literal assignments, an ordinary edit in the stage's scope, and only if it measures better.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from scipy.optimize import minimize_scalar

from agent.evaluation.measures import measure
from agent.tools.base import Outcome, Tool, ToolInput, answered, refused
from agent.tools.objectives import Objective, objective_for
from agent.tools.scene import committed, rejected
from agent.tools.workbench import Workbench
from protocol.errors import ProcessFault, RequestFailed, ScriptFailed
from sandbox.transaction import SceneSession

MIN_GAIN = 1e-5
"""Smallest improvement of the objective that is worth an edit: below it lies the noise of rendering."""
MOST_SSIM_LOST = 0.002
"""What a fit may lose in structure while it gains in what it was asked for."""
START_WIDTH = 0.08
"""CMA-ES' first step as a part of each range: started wide it does not converge within a few hundred looks."""


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


class FitInput(ToolInput):
    purpose: str = Field(max_length=200)
    values: tuple[FitValue, ...] = Field(min_length=1, max_length=40)
    objective: str = Field("picture", pattern="^(picture|silhouette|object:.+)$")
    """Colours all over; the outline of a cut-out; or the colours in one object's region."""
    looks: int = Field(60, ge=3, le=2000)
    """Most renders it may take; the run's own bound, which the instructions name, counts too."""


def is_plain_path(path: str) -> bool:
    """Whether the text is a chain of attributes and constant subscripts, nothing that calls or computes."""
    try:
        node: ast.AST = ast.parse(f"bpy.data.{path}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if "\n" in path:
        return False
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute) or (
            isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
        ):
            node = node.value
        else:
            return False
    return True


def assignments(paths: Sequence[str], values: Sequence[float]) -> str:
    """The edit that sets the values, as literal Python."""
    lines = [f"bpy.data.{path} = {value:.6g}" for path, value in zip(paths, values, strict=True)]
    return "import bpy\n\n" + "\n".join(lines) + "\n"


def fit(bench: Workbench, given: FitInput) -> Outcome:
    paths, start = [value.path for value in given.values], [value.start for value in given.values]
    config = bench.run.config
    try:
        objective = objective_for(given.objective, bench, config.fit_px)
        with bench.temporary() as session:
            look = _Look(bench, session, paths, objective, config.fit_px, config.fit_samples)
            before = look(start)
            best, after = search(look, given.values, min(given.looks, config.fit_looks), config.seed)
            holds = after < before and _holds(bench, session, given.objective, paths, start, best)
    except ScriptFailed as error:
        reason = error.traceback_text.strip().splitlines()[-1]
        return refused(f"these values cannot be set: {reason}", head=bench.head.id)
    except (RequestFailed, ProcessFault, ValueError) as error:
        return refused(f"the fit stopped: {error}", head=bench.head.id)
    facts = {
        "error_before": round(before, 6),
        "error_after": round(after, 6),
        "looks": look.count,
        "looks_allowed": min(given.looks, config.fit_looks),
    }
    values = {path: float(f"{value:.6g}") for path, value in zip(paths, best, strict=True)}
    if before - after < MIN_GAIN or not holds:
        reason = "no better values were found" if before - after < MIN_GAIN else "what gained small lost when larger"
        return answered({"result": "no_gain", "reason": reason, **facts}, head=bench.head.id)
    outcome = bench.edit(assignments(paths, best), f"fit: {given.purpose}")
    if outcome.snapshot is None:
        return rejected(bench, outcome)
    return committed(bench, outcome, **facts, values=values)


def _holds(
    bench: Workbench,
    session: SceneSession,
    name: str,
    paths: Sequence[str],
    start: Sequence[float],
    best: Sequence[float],
) -> bool:
    """Whether it is a gain at the size that is measured elsewhere too, and not bought with structure."""
    config = bench.run.config
    session.execute(assignments(paths, start))
    objective = objective_for(name, bench, config.look_px)
    look = _Look(bench, session, paths, objective, config.look_px, config.look_samples)
    reference = bench.run.reference
    before, structure = look(start), measure(reference, look.png).ssim
    return look(best) < before and measure(reference, look.png).ssim > structure - MOST_SSIM_LOST


class _Look:
    """The objective as a function of the values: set them, render, compare."""

    png: bytes
    """The last one."""

    def __init__(
        self,
        bench: Workbench,
        session: SceneSession,
        paths: Sequence[str],
        objective: Objective,
        long_px: int,
        samples: int,
    ) -> None:
        self._bench, self._session, self._paths, self._objective = bench, session, paths, objective
        self._long_px, self._samples = long_px, samples
        self.count = 0

    def __call__(self, values: Sequence[float]) -> float:
        self._session.execute(assignments(self._paths, values))
        self.png = self._bench.render(long_side_px=self._long_px, samples=self._samples)
        self.count += 1
        return self._objective(self.png)


def search(
    loss: Callable[[Sequence[float]], float], values: Sequence[FitValue], looks: int, seed: int
) -> tuple[list[float], float]:
    """The best values found within `looks` evaluations, and their loss; deterministic for a seed.

    One number: Brent's bounded method (scipy). More: CMA-ES (Hansen, pycma) in coordinates scaled to 0 … 1.
    """
    lower = np.array([value.lower for value in values])
    width = np.array([value.upper for value in values]) - lower
    start = (np.array([value.start for value in values]) - lower) / width
    seen: list[tuple[float, NDArray[np.float64]]] = []

    def scaled(point: NDArray[np.float64]) -> float:
        result = loss(list(lower + width * np.clip(point, 0, 1)))
        seen.append((result, np.clip(point, 0, 1)))
        return result

    if len(values) == 1:
        span = (max(0.0, start[0] - 0.3), min(1.0, start[0] + 0.3))
        minimize_scalar(
            lambda x: scaled(np.array([x])), bounds=span, method="bounded", options={"maxiter": max(1, looks - 1)}
        )
        scaled(start)
    else:
        _cma(scaled, start, looks, seed)
    best_loss, best = min(seen, key=lambda pair: pair[0])
    return list(lower + width * best), best_loss


def _cma(loss: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64], looks: int, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses matplotlib, for plots that nobody asks for
        import cma
    loss(start)
    options = {"bounds": [0, 1], "seed": seed + 1, "verbose": -9, "maxfevals": looks - 1, "verb_log": 0}
    strategy = cma.CMAEvolutionStrategy(np.clip(start, 1e-6, 1 - 1e-6), START_WIDTH, options)
    left = looks - 1
    while left > 0 and not strategy.stop():
        points = strategy.ask()[:left]
        losses = [loss(np.asarray(point)) for point in points]
        left -= len(points)
        if len(points) < strategy.popsize:
            return
        strategy.tell(points, losses)


TOOLS = (
    Tool(
        "fit",
        "Let the machine find numbers: name paths with bounds and a start, and what to match (the whole picture's "
        "colours, a cut-out's silhouette, or one object's colours). It renders small with many values, and commits "
        "the best as one ordinary edit if it measures better. Start close and keep ranges narrow.",
        FitInput,
        fit,
        builds=True,
    ),
)
