"""Owns the global pass: stages that have tickets from later ones get one more go, kept only if nothing is lost."""

from __future__ import annotations

from agent.delivery import StageResult, conclude
from agent.evaluation.measures import Measures
from agent.runs.budget import BudgetReached
from agent.stages.checklist import Checklist
from agent.stages.rounds import Attempt, attempt, best, refine
from agent.stages.table import REFINING
from agent.tools.workbench import Workbench

PSNR_SLACK_DB, SSIM_SLACK, IOU_SLACK = 0.05, 0.002, 0.005
"""What a figure may lose and still not count as worse: the noise of renders with few samples."""


def reopen(bench: Workbench) -> list[StageResult]:
    """Once more through the stages that have tickets, each in its own scope; what stands after them, if it is kept."""
    rounds, results = bench.run.config.rounds, list[StageResult]()
    before, endings = attempt(bench, 0, -1), []
    for stage in REFINING if rounds.reopened else ():
        asked = [ticket.text for ticket in bench.tickets if ticket.stage == stage.name]
        if asked and getattr(rounds, stage.name):
            again = stage.model_copy(update={"reopened": True})
            endings.append(refine(bench, again, rounds.reopened, checklist=Checklist.of(asked)))
            results.append(conclude(bench, endings[-1].approved, endings[-1].checklist))
            if endings[-1].stopped:
                break
    if not endings or bench.head.id == before.snapshot_id:
        return []
    after = attempt(bench, 0, -1)
    if not _is_worse(before, after) and (all(one.approved for one in endings) or _is_chosen(bench, before, after)):
        return results
    bench.run.console.say("the reopened stages made it no better; the scene stays as it was before them")
    bench.move_to(before.snapshot_id)
    return []


def _is_worse(before: Attempt, after: Attempt) -> bool:
    """Whether any figure has got worse beyond noise."""
    if before.measures is None or after.measures is None:
        return after.measures is None
    return _lost(before.measures, after.measures)


def _lost(before: Measures, after: Measures) -> bool:
    return (
        after.psnr_db < before.psnr_db - PSNR_SLACK_DB
        or after.ssim < before.ssim - SSIM_SLACK
        or (before.iou is not None and after.iou is not None and after.iou < before.iou - IOU_SLACK)
    )


def _is_chosen(bench: Workbench, before: Attempt, after: Attempt) -> bool:
    try:
        return best(bench, [before, after], -1).snapshot_id == after.snapshot_id
    except BudgetReached:
        return False
