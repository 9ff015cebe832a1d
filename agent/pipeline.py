"""The method, whole: a picture becomes rollouts of a scene graph and scaffold; one is chosen and its camera aligned;
four stages refine it, those that later ones complain of are reopened, the camera is adjusted, and the result is
delivered with its proof. Every step that costs something is remembered by the journal, so that a run that was killed is
simply run again.
"""

from __future__ import annotations

from agent.delivery import Result, StageResult, begin, conclude, deliver
from agent.runs.run import Run
from agent.stages.alignment import align
from agent.stages.initialisation import rollouts, select
from agent.stages.reopening import reopen
from agent.stages.rounds import refine
from agent.stages.table import ALIGNMENT, CAMERA, INITIALISATION, MONOLITHIC, REFINING, Stage
from agent.tools.workbench import Workbench


def reconstruct(run: Run) -> Result:
    """Turn the run's picture into an editable scene. Raises RunError when there is no scene to deliver."""
    empty = begin(run)
    chosen = select(run, rollouts(run, empty))
    with Workbench(run, chosen.graph, run.store.get(chosen.snapshot_id), chosen.remarks, chosen.tickets) as bench:
        bench.begin(INITIALISATION)
        done, stopped = [conclude(bench, chosen.approved)], None
        bench.begin(ALIGNMENT)
        run.console.say(align(bench).told())
        for stage in (MONOLITHIC,) if run.config.monolithic else REFINING:
            stopped = stopped or _do(bench, stage, done)
        done += reopen(bench) if not stopped else []
        stopped = stopped or _do(bench, CAMERA, done)
        return deliver(bench, done, stopped)


def _do(bench: Workbench, stage: Stage, done: list[StageResult]) -> str | None:
    """One stage's rounds, and what they come to; the budget that stopped it."""
    rounds = getattr(bench.run.config.rounds, stage.name)
    if not rounds:
        return None
    ending = refine(bench, stage, rounds)
    done.append(conclude(bench, ending.approved, ending.checklist))
    return ending.stopped
