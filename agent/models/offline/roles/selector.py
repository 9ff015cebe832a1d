"""The selector, and the choice among attempts: by measures alone."""

from __future__ import annotations

from agent.models.offline.dialogue import Call, Candidate, Script, Task
from agent.models.offline.roles.common import score


def choose(task: Task) -> Script:
    best = max(task.candidates, key=_score)
    reason = f"its figures are the best: {_score(best):.2f} (PSNR + 10 SSIM + 10 IoU, less 5 for each problem)"
    yield Call("choose", {"candidate": best.letter, "reason": reason})


def _score(candidate: Candidate) -> float:
    measures = candidate.facts.get("measures")
    problems = candidate.facts.get("problems")
    return score(measures if isinstance(measures, dict) else {}) - 5 * len(problems or [])
