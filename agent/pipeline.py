"""The method, whole: a picture becomes rollouts of a scene graph and scaffold, one is chosen, four stages refine
it, the camera is adjusted, and the result is delivered with its proof. Every step that costs something is remembered
by the journal, so that a run that was killed is simply run again.
"""

from __future__ import annotations

from agent.delivery import Result, begin, conclude, deliver
from agent.runs.run import Run
from agent.stages.initialisation import rollouts, select
from agent.stages.rounds import refine
from agent.stages.table import CAMERA, INITIALISATION, REFINING
from agent.tools.workbench import Workbench


def reconstruct(run: Run) -> Result:
    """Turn the run's picture into an editable scene. Raises RunError when there is no scene to deliver."""
    empty = begin(run)
    chosen = select(run, rollouts(run, empty))
    with Workbench(run, chosen.graph, run.store.get(chosen.snapshot_id)) as bench:
        bench.begin(INITIALISATION)
        stages, stopped = [conclude(bench, chosen.approved)], None
        for stage in (*REFINING, CAMERA):
            if rounds := getattr(run.config.rounds, stage.name):
                ending = refine(bench, stage, rounds)
                stages.append(conclude(bench, ending.approved, ending.checklist))
                if stopped := ending.stopped:
                    break
        return deliver(bench, stages, stopped)
