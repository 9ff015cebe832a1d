"""Owns initialisation: independent rollouts of graph and scaffold, side by side, and the selector that picks one."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.delivery import Render, full_render
from agent.errors import BudgetExhausted, RunError
from agent.evaluation.measures import Measures
from agent.runs.budget import BudgetReached
from agent.runs.journal import write_atomically
from agent.runs.run import Run
from agent.scene_graph import SceneGraph
from agent.stages.briefing import Candidate
from agent.stages.decomposition import decompose
from agent.stages.rounds import attempt, choose, refine
from agent.stages.table import INITIALISATION
from agent.tools.workbench import Remark, Ticket, Workbench
from protocol.errors import ProcessFault, ProtocolViolated, RequestFailed
from protocol.models import InspectReply, InspectRequest, OrbitView, Value
from sandbox.calling import command
from sandbox.snapshots import Snapshot

SIDE_VIEW = OrbitView(azimuth_deg=50.0, elevation_deg=20.0)
BLACK, BURNT = 0.9, 0.9
"""Parts of the picture that make a scaffold too dark or too bright to judge."""


class Rollout(Value):
    """One candidate: a graph, and a scaffold that holds every part of it."""

    number: int
    graph: SceneGraph
    snapshot_id: str
    png: bytes
    side_png: bytes
    """From the side and above: what the target view cannot tell of how it is built."""
    measures: Measures
    problems: tuple[str, ...]
    approved: bool
    remarks: tuple[Remark, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    """What was said and asked while it was built, for the stages after it."""


class NoScaffold(RunError):
    """No rollout came to a scene at all."""


def rollouts(run: Run, empty: Snapshot) -> list[Rollout]:
    """All rollouts that came to a scene, several at a time. Raises NoScaffold when none did."""
    numbers = range(run.config.rollouts)
    threads = ThreadPoolExecutor(run.pool.side_by_side(min(len(numbers), run.config.side_by_side)), "rollout")
    try:
        made = list(threads.map(lambda number: run.room.redoing(lambda: rollout(run, number, empty)), numbers))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # a signal must not wait for a model's reply
    if usable := [one for one in made if one is not None]:
        return usable
    try:
        run.ledger.check()
    except BudgetReached as reached:
        remedy = f"Go on with a larger one: {command('resume', run.folder.path, *reached.larger())}"
        raise BudgetExhausted(f"{reached}, and there is no scene yet.", remedy) from None
    raise NoScaffold(
        "no rollout came to a scene: the model made no valid graph or no scaffold that can be seen.",
        "See journal.jsonl; try another model or seed.",
    )


def rollout(run: Run, number: int, empty: Snapshot) -> Rollout | None:
    """One graph and its scaffold, checked by machine and by a verifier; None where there is nothing to go on with."""
    run.console.step("initialisation", f"rollout {number + 1} of {run.config.rollouts} · scene graph")
    try:
        graph = decompose(run, number)
    except BudgetReached:
        return None
    if graph is None:
        return None
    try:
        return _built(run, graph, number, empty)
    except (RequestFailed, ProcessFault) as error:
        run.console.say(f"rollout {number + 1} is given up: {error}")
        return None


def _built(run: Run, graph: SceneGraph, number: int, empty: Snapshot) -> Rollout | None:
    """The scaffold of a graph."""
    with Workbench(run, graph, empty) as bench:
        ending = refine(bench, INITIALISATION, run.config.rounds.initialisation, number, gate)
        last = attempt(bench, bench.round, number)
        if bench.plan:
            write_atomically(run.folder.round(bench.stage.label, 1, number).parent / "plan.md", bench.plan + "\n")
        built = graph.without(missing_objects(bench))
        if last.measures is None or built is None:
            return None
        return Rollout(
            number=number,
            graph=built,
            snapshot_id=bench.head.id,
            png=full_render(bench, run.config.look_samples).png,
            side_png=_from_the_side(bench),
            measures=last.measures,
            problems=tuple(gate(bench)),
            approved=ending.approved,
            remarks=tuple(bench.remarks),
            tickets=tuple(bench.tickets),
        )


def select(run: Run, candidates: list[Rollout]) -> Rollout:
    """The most complete and plausible rollout."""
    if len(candidates) == 1:
        return candidates[0]
    shown = [
        Candidate(
            png=one.png,
            side_png=one.side_png,
            measures=one.measures,
            notes={"scene_graph": _told(one.graph), "problems": list(one.problems)},
        )
        for one in candidates
    ]
    try:
        chosen = choose(run, "selection", 1, shown, "selector")
    except BudgetReached:
        chosen = None
    return candidates[chosen] if chosen is not None else max(candidates, key=lambda one: one.measures.psnr_db)


def _told(graph: SceneGraph) -> list[str]:
    """What tells one graph from another: its nodes, each after its group."""
    return [f"{node.parent} / {node.name}" if node.parent else node.name for node in graph.nodes]


def _from_the_side(bench: Workbench) -> bytes:
    """Empty where that cannot be rendered."""

    def look() -> Render:
        config = bench.run.config
        try:
            return Render(png=bench.render(SIDE_VIEW, config.target_px, samples=config.look_samples))
        except (RequestFailed, ProcessFault):
            return Render(png=b"")

    return bench.run.journal.step(f"side/{bench.head.id}", Render, look).png


class _Seen(BaseModel):
    """What the checks need of an inspected object; its answer is a claim of the box, so it is read strictly."""

    name: str
    type: str
    in_frame: float | None = None


class _Scene(BaseModel):
    objects: tuple[_Seen, ...]
    camera: dict[str, Any] | None = None


class SceneFacts(Value):
    """What the machine checks look at."""

    objects: dict[str, float]
    """Name → the part of it that lies in the frame, 0 to 1; of an empty 1."""
    has_camera: bool


def scene_facts(bench: Workbench) -> SceneFacts:
    def look() -> SceneFacts:
        reply, _ = bench.ask(InspectRequest(subject="scene"))
        assert isinstance(reply, InspectReply)
        try:
            scene = _Scene.model_validate(reply.what)
        except ValidationError as error:
            raise ProtocolViolated("inspect", f"no description of a scene: {error.errors()[0]['msg']}") from None
        objects = {one.name: 1.0 if one.type == "EMPTY" else _part(one.in_frame) for one in scene.objects}
        return SceneFacts(objects=objects, has_camera=scene.camera is not None)

    return bench.run.journal.step(f"facts/{bench.head.id}", SceneFacts, look)


def _part(in_frame: float | None) -> float:
    """0 too for what lies nowhere, its coordinates being no numbers."""
    return in_frame if in_frame is not None and math.isfinite(in_frame) else 0.0


def missing_objects(bench: Workbench) -> list[str]:
    present = scene_facts(bench).objects
    return [node.name for node in bench.graph.nodes if node.name not in present]


def gate(bench: Workbench) -> list[str]:
    """What is wrong with a scaffold: parts missing or out of the frame, no camera, black or burnt."""
    facts = scene_facts(bench)
    problems = [f"{name} is missing." for name in missing_objects(bench)]
    if not facts.has_camera:
        return [*problems, "There is no active camera."]
    outside = [node.name for node in bench.graph.leaves() if facts.objects.get(node.name, 1.0) <= 0.0]
    problems += [f"{name} lies outside the frame." for name in outside]
    seen = attempt(bench, 0, -1).measures
    if seen and seen.black_fraction > BLACK:
        problems.append("The picture is black.")
    if seen and seen.clipped_fraction > BURNT and seen.luminance_ratio > 1.5:
        problems.append("The picture is burnt out.")
    return problems
