"""What the roles share: the reading that fits a task, and how an edit is kept or taken back by its measures."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.models.offline.dialogue import Call, Result, Task
from agent.models.offline.reading import Reading, read_picture

PARTS = (24, 14, 34, 18)
"""Most regions that the rollouts divide a picture into."""
QUICK_PARTS = 20
FIT_MARGIN = 0.02
"""Score that a fit must gain: less is not worth another scene."""
_SAID = re.compile(r"at most (\d+) parts")

T = TypeVar("T")
Step = Generator[Call, Result, T]
"""A piece of a script that comes to a T."""


def most_parts(task: Task) -> int:
    """As the scene graph says; before there is one, as the rollout and the seed say."""
    graph = task.facts.get("scene_graph")
    said = _SAID.search(str(graph.get("environment", ""))) if isinstance(graph, dict) else None
    if said:
        return max(1, min(200, int(said.group(1))))
    if task.preset == "quick":
        return QUICK_PARTS
    rollout = max(0, int(task.facts.get("rollout") or 0))
    seed = int(task.facts.get("seed") or 0)
    return PARTS[(rollout + seed) % len(PARTS)] + 2 * ((rollout // len(PARTS)) % 3)


def reading_of(task: Task) -> Reading:
    return read_picture(task.reference, task.cutout, most_parts(task))


def run_code(purpose: str, code: str) -> Step[Result]:
    result = yield Call("run_code", {"purpose": purpose, "code": code})
    return result


def finish(summary: str) -> Step[Result]:
    result = yield Call("finish", {"summary": summary})
    return result


def score(measures: dict[str, Any]) -> float:
    """One figure for a picture: PSNR in dB, a hundredth of SSIM or of IoU counting like a tenth of a dB."""
    iou = measures.get("iou")
    return float(measures.get("psnr_db") or 0) + 10 * float(measures.get("ssim") or 0) + 10 * float(iou or 0)


def keep_if_better(before: float, result: Result, margin: float = 0.0) -> Step[float]:
    """Take an edit back unless it measures better than `before`; the score that now stands."""
    if not result.committed:
        return before
    after = score(result.measures)
    if after > before + margin:
        return after
    yield Call("revert", {"to": "previous"})
    return before


def start_score() -> Step[float]:
    result = yield Call("measure", {})
    return score(result.measures)


@dataclass(frozen=True)
class Value:
    """A number for the fit tool to find."""

    path: str
    """Below bpy.data."""
    lower: float
    upper: float
    start: float


def fit(task: Task, purpose: str, values: list[Value], looks: int, stands: float) -> Step[float]:
    """Fit by small renders, and keep what gains by the full measures too; the score that then stands."""
    told = [{"path": v.path, "lower": v.lower, "upper": v.upper, "start": v.start} for v in values]
    looks = 8 if task.preset == "quick" else looks
    result = yield Call("fit", {"purpose": purpose, "values": told, "goal": "colour", "looks": looks})
    return (yield from keep_if_better(stands, result, FIT_MARGIN))
