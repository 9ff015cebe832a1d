"""Owns what a run hands over: each stage's files, final render, scene, program, proof, and result.json last.

Everything here is derived from the journal and the snapshots; run again, it writes the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from agent import prompting
from agent.errors import NodeUnfit, RunError
from agent.evaluation.comparison import comparison_png
from agent.evaluation.measures import Measures, measure
from agent.evaluation.metrics import metrics_of
from agent.models.recorded import RecordedModel
from agent.rebuild.baseline import Baseline, baselines_of
from agent.rebuild.program import program_text
from agent.rebuild.proof import Proof, Proved, prove
from agent.runs.budget import Spending
from agent.runs.folder import write_json
from agent.runs.journal import write_atomically
from agent.runs.keeping import let_go
from agent.runs.memory import give_back
from agent.runs.recording import Faithfulness, faithfulness
from agent.runs.run import Run
from agent.stages.checklist import Checklist
from agent.stages.table import Stage
from agent.tools.base import tell
from agent.tools.workbench import Workbench
from agent.which_blender import took_part
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import Made, Value
from sandbox.pool import Pool
from sandbox.snapshots import Edit, Snapshot
from sandbox.transaction import FACTORS

TITLE = "A scene made from one picture."
"""Of every program: runs that make the same scene write the same text."""
ATTEMPTS = 2
"""At what the host asks of a Blender itself, which fails only when somebody else kills it."""


class StageResult(Value):
    stage: str
    snapshot_id: str
    approved: bool
    png: bytes
    measures: Measures
    proof: Proof | None
    """None where stages are not proved, only the whole run."""


class Result(Value):
    """The content of result.json."""

    status: Literal["accepted", "best_effort", "budget_stopped"]
    """Every stage approved; some not; a budget ended the run before all stages."""
    scene: str
    program: str
    snapshot: str
    """Id of the delivered scene in snapshots/."""
    measures: Measures
    above_flat_db: float
    proof: Proof
    stages: tuple[str, ...]
    stopped_by: str | None
    model: str
    blender: str
    """The version that made the delivered scene."""
    blenders: tuple[str, ...] = ()
    """Versions of all that took part, in the order of their first time."""
    baselines: tuple[Baseline, ...] = ()
    """What newer ones took for the scenes of older ones."""
    render: Made | None = None
    """How the final render was made."""
    isolation: str
    """The level in force: "L3 sandboxed"."""
    prompts: str
    """Digest of the prompt files."""
    seed: int
    spent: Spending
    recording: Faithfulness | None = None
    """Of a replay: how far it was asked what its recording was."""


def begin(run: Run) -> Snapshot:
    """The empty scene with the picture's frame: the root of all rollouts."""

    def make() -> Snapshot:
        with run.pool.session() as session:
            for _ in range(ATTEMPTS):
                outcome = session.edit(frame_edit(run), frozenset(FACTORS))
                if outcome.snapshot is not None:
                    return outcome.snapshot
        raise NodeUnfit(f"Blender cannot make an empty scene: {outcome.message}", "See logs/ in the run folder.")

    run.console.step("starting", "the empty scene")
    return run.journal.step("begin", Snapshot, make)


def frame_edit(run: Run) -> Edit:
    """The host's own edit: the picture's size, and whether the film is transparent."""
    width, height = run.reference.frame(run.config.target_px)
    cut_out = int(run.reference.kind == "cutout")
    source = (
        "import bpy\n\n"
        "scene = bpy.context.scene\n"
        f'scene["frame_px"] = ({width}, {height})\n'
        f'scene["cut_out"] = {cut_out}\n'
    )
    return Edit(index=1, label="the picture's frame", stage="initialisation", round=0, source=source, seed=0)


def conclude(bench: Workbench, approved: bool, checklist: Checklist | None = None) -> StageResult:
    """Render, prove and lay out a stage's accepted scene."""
    run, stage = bench.run, bench.stage
    proof = " and proof" if run.config.prove_stages else ""
    run.console.step(stage.label, f"stage render{proof}", PERCENT.get(stage.label))

    def look() -> StageResult:
        png = full_render(bench, run.config.look_samples).png
        proof = _prove(bench).proof if run.config.prove_stages else None
        return StageResult(
            stage=stage.label,
            snapshot_id=bench.head.id,
            approved=approved,
            png=png,
            measures=measure(run.reference, png),
            proof=proof,
        )

    key = f"stage/{stage.label}/{bench.head.id}"
    is_new = not run.journal.has(key)
    result = run.journal.step(key, StageResult, look)
    _lay_out(bench, stage, result, checklist or Checklist())
    if is_new:
        let_go(run)
        give_back()
    measures = result.measures
    run.console.scored(psnr_db=measures.psnr_db, ssim=measures.ssim, iou=measures.iou)
    run.console.say(
        f"{stage.label}: {measures.psnr_db:.2f} dB, SSIM {measures.ssim:.3f}"
        + (f", IoU {measures.iou:.3f}" if measures.iou is not None else "")
        + (f", rebuild {result.proof.outcome}" if result.proof else "")
    )
    return result


def isolation(pool: Pool) -> str:
    return f"{pool.level} {pool.level.word}"


PERCENT = {
    "initialisation": 30,
    "geometry": 50,
    "material": 65,
    "composition": 75,
    "lighting": 85,
    "monolithic": 85,
    "camera": 92,
}


def deliver(bench: Workbench, stages: Sequence[StageResult], stopped: str | None) -> Result:
    """Write everything that the run hands over; result.json last, for it marks a finished run."""
    run = bench.run
    run.console.step("delivering", "final render and rebuild proof", 95)
    render, proved = full_render(bench, run.config.final_samples), _prove(bench)
    png = render.png
    metrics = metrics_of(run.reference, png, [(one.stage, one.png) for one in stages])
    folder = run.folder
    folder.fence()
    write_atomically(folder.render, png)
    write_atomically(folder.comparison, comparison_png(run.reference, png))
    write_atomically(folder.program, proved.program)
    _copy_scene(run, bench.head, proved.proof.blender, folder.scene)
    write_json(folder.scene_graph, tell(bench.graph))
    write_json(folder.metrics, tell(metrics))
    status = "budget_stopped" if stopped else "accepted" if all(one.approved for one in stages) else "best_effort"
    result = Result(
        status=status,
        scene=folder.scene.name,
        program=folder.program.name,
        snapshot=bench.head.id,
        measures=metrics.final,
        above_flat_db=metrics.above_flat_db,
        proof=proved.proof,
        stages=tuple(one.stage for one in stages),
        stopped_by=stopped,
        model=run.model.name,
        blender=proved.proof.blender,
        blenders=took_part(folder),
        baselines=baselines_of(folder.journal),
        render=render.made,
        isolation=isolation(run.pool),
        prompts=prompting.prompts_digest(),
        seed=run.config.seed,
        spent=run.ledger.spent(),
        recording=faithfulness(folder.journal) if isinstance(run.model, RecordedModel) else None,
    )
    run.journal.note("result", result=tell(result))  # passes the fence, so what follows is still ours
    write_json(folder.result, tell(result))
    return result


class Render(Value):
    png: bytes
    made: Made | None = None
    """None in records of before this was told."""


def full_render(bench: Workbench, most_samples: int) -> Render:
    """The head at its full size; once for each scene, however many stages leave it as it is.

    A scene that is too much for this machine at full quality was still seen small, so coarser settings are tried.
    """

    def render() -> Render:
        config, failure = bench.run.config, ""
        for samples in sorted({most_samples, min(most_samples, config.look_samples), 1}, reverse=True):
            try:
                png, reply = bench.render_with_reply(long_side_px=config.target_px, samples=samples)
                return Render(png=png, made=reply.made)
            except (RequestFailed, ProcessFault) as error:
                failure = str(error)
                bench.run.console.say(f"render with {samples} samples: {failure}")
        raise RunError(f"the accepted scene cannot be rendered at {config.target_px} px: {failure}.")

    return bench.run.journal.step(f"render/{most_samples}/{bench.head.id}", Render, render)


def _prove(bench: Workbench) -> Proved:
    """The rebuild proof of the head; once for each scene."""
    run = bench.run

    def rebuild() -> Proved:
        with run.console.waiting("rebuilding the scene from its program"):
            for _ in range(ATTEMPTS):
                proved = prove(run.pool, run.store, bench.head, title=TITLE)
                if not any(name.startswith("program: ") for name in proved.proof.names):
                    break  # it ran to its end
                run.room.check()
        return proved

    return run.journal.step(f"proof/{bench.head.id}", Proved, rebuild)


def _lay_out(bench: Workbench, stage: Stage, result: StageResult, checklist: Checklist) -> None:
    bench.run.folder.fence()
    run, folder = bench.run, bench.run.folder.stage(stage.label)
    write_atomically(folder / "render.png", result.png)
    write_atomically(folder / "program.py", _prove(bench).program if result.proof else _unproved_program(bench))
    write_json(folder / "checklist.json", tell(checklist))
    accepted = run.store.get(result.snapshot_id)
    _copy_scene(run, accepted, result.proof.blender if result.proof else accepted.blender, folder / "scene.blend")


def _unproved_program(bench: Workbench) -> str:
    run = bench.run
    edits = [one.edit for one in run.store.ancestry(bench.head.id) if one.edit is not None]
    return program_text(edits, title=TITLE, blender=bench.head.blender)


def _copy_scene(run: Run, snapshot: Snapshot, blender: str, target: Path) -> None:
    """As the Blender of that version has it."""
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(run.store.verify(run.store.stand_in(snapshot.id, blender) or snapshot.id), part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
