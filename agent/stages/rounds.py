"""Owns the round loop of a stage: generator attempt, verifier pass, checklist, and the choice of the best attempt."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence

from agent.conversation import converse
from agent.evaluation.comparison import comparison_png
from agent.evaluation.measures import Measures, measure
from agent.models.base import Message, Place
from agent.runs.budget import BudgetReached
from agent.runs.journal import write_atomically
from agent.runs.run import Run
from agent.stages.briefing import Briefing, Candidate, SceneNow
from agent.stages.checklist import Checklist
from agent.stages.table import Stage
from agent.tools.ending import VerdictInput
from agent.tools.table import Toolbox
from agent.tools.workbench import Ticket, Workbench
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import Value

RUIN_DB = 1.0
"""What an approved attempt may lose before the choice is put to a vote, with figures shown."""

NOTHING_ASKED = Checklist()
REMARKS = 4
"""Of earlier stages that a generator is told: the last of two of them, as a rule."""

Gate = Callable[[Workbench], list[str]]


class Attempt(Value):
    """The scene as a round left it, and how its target view compares."""

    snapshot_id: str
    png: bytes = b""
    measures: Measures | None = None
    """None where the target view cannot be rendered: no camera, or a scene that kills its Blender."""


class Ending(Value):
    """How a stage's rounds came out."""

    approved: bool
    checklist: Checklist
    stopped: str | None = None
    """The budget that ended it."""


def refine(
    bench: Workbench,
    stage: Stage,
    rounds: int,
    rollout: int = -1,
    gate: Gate = lambda bench: [],
    checklist: Checklist = NOTHING_ASKED,
) -> Ending:
    """Run a stage's rounds from the head; leaves the head at the winning attempt.

    `gate` is a check by machine: while it finds problems no verdict can approve, and the generator is told them.
    """
    bench.begin(stage)
    attempts, stopped = [attempt(bench, 0, rollout)], None
    verified = stage.verified and bench.run.config.verifier
    conversation: list[Message] = []
    try:
        for number in range(1, rounds + 1):
            checklist = _round(bench, number, rounds, checklist, conversation, rollout, gate)
            attempts.append(attempt(bench, bench.round, rollout))
            checklist = checklist.held_back_by(_unseen(attempts[-1]))
            if checklist.approved or bench.stalled() or (stage.verified and not verified and not checklist.critique):
                break
        if not checklist.approved or _is_ruin(attempts):
            bench.move_to(best(bench, attempts, rollout).snapshot_id)
    except BudgetReached as reached:
        stopped = str(reached)
        bench.move_to(max((*attempts, attempt(bench, bench.round, rollout)), key=_score).snapshot_id)
    return Ending(approved=checklist.approved or not verified, checklist=checklist, stopped=stopped)


def _round(
    bench: Workbench,
    number: int,
    rounds: int,
    checklist: Checklist,
    conversation: list[Message],
    rollout: int,
    gate: Gate,
) -> Checklist:
    """One generator attempt and one verifier pass; the checklist after them."""
    bench.begin_round(number)
    _generate(bench, number, rounds, checklist, conversation, rollout)
    if not (bench.stage.verified and bench.run.config.verifier):
        return checklist.held_back_by(gate(bench))
    return _verify(bench, number, rounds, checklist, rollout).held_back_by(gate(bench))


def _unseen(last: Attempt) -> list[str]:
    """What cannot be rendered can be neither judged nor delivered."""
    return [] if last.measures else ["The target view cannot be rendered: see that it can, or revert."]


def attempt(bench: Workbench, number: int, rollout: int) -> Attempt:
    """The head as a candidate: rendered and measured once, remembered, and laid into the round's folder."""

    def look() -> Attempt:
        try:
            png = bench.render()
        except (RequestFailed, ProcessFault):
            return Attempt(snapshot_id=bench.head.id)
        return Attempt(snapshot_id=bench.head.id, png=png, measures=measure(bench.run.reference, png))

    one = bench.run.journal.step(f"attempt/{bench.head.id}", Attempt, look)
    if number and one.png:
        folder = bench.run.folder.round(bench.stage.label, number, rollout)
        write_atomically(folder / "render.png", one.png)
        write_atomically(folder / "comparison.png", comparison_png(bench.run.reference, one.png))
    return one


def _generate(
    bench: Workbench, number: int, rounds: int, checklist: Checklist, conversation: list[Message], rollout: int
) -> None:
    run, stage = bench.run, bench.stage
    place = Place(rollout=rollout, stage=stage.label, round=number, role="generator", ordinal=0)
    briefing = Briefing(run, stage.name, "generator", stage.scope, rounds, rollout, place)
    told = {"checklist": checklist.told(), "critique": checklist.critique}
    if conversation:
        conversation.append(briefing.again(number, bench.graph, **told))
    else:
        scene = _now(bench, rollout)
        remarks = [*bench.remarks[-REMARKS:], *bench.asked_of(stage)]
        conversation.append(briefing.first(number, bench.graph, scene, remarks=remarks, **told))
    run.console.step(stage.label, "generator", round=number, rounds=rounds)
    toolbox = Toolbox(stage.name, "generator", bench)
    product = converse(run, place, briefing.system(), conversation, toolbox, run.config.generator_calls, bench)
    bench.remark("generator", str((product or {}).get("summary", "")))


def _verify(bench: Workbench, number: int, rounds: int, checklist: Checklist, rollout: int) -> Checklist:
    verdict = ask_verdict(bench, number, rounds, checklist, rollout)
    if verdict is None:
        return checklist.model_copy(update={"critique": "The verifier came to no verdict.", "approved": False})
    bench.remark("verifier", verdict.critique)
    bench.file(Ticket(stage=one.stage, by=bench.stage.name, text=one.text) for one in verdict.tickets)
    return checklist.after(verdict, number)


def ask_verdict(
    bench: Workbench, number: int, rounds: int, checklist: Checklist, rollout: int = -1
) -> VerdictInput | None:
    """What the stage's verifier says of the head; None where it comes to no verdict."""
    run, stage = bench.run, bench.stage
    place = Place(rollout=rollout, stage=stage.label, round=number, role="verifier", ordinal=0)
    briefing = Briefing(run, stage.name, "verifier", stage.scope, rounds, rollout, place)
    told = {"checklist": checklist.told(), "critique": checklist.critique}
    first = briefing.first(number, bench.graph, _now(bench, rollout), **told)
    run.console.step(stage.label, "verifier", round=number, rounds=rounds)
    toolbox = Toolbox(stage.name, "verifier", bench)
    product = converse(run, place, briefing.system(), [first], toolbox, run.config.verifier_calls, bench)
    return None if product is None else VerdictInput.model_validate(product)


def _now(bench: Workbench, rollout: int) -> SceneNow | None:
    """The scene as a conversation finds it; None where there is nothing to be seen yet."""
    found = attempt(bench, 0, rollout)
    return SceneNow(png=found.png, measures=found.measures) if found.measures else None


def best(bench: Workbench, attempts: Sequence[Attempt], rollout: int) -> Attempt:
    """The best of all attempts and the start, chosen from pictures and figures shown in random order."""
    distinct = list({one.snapshot_id: one for one in attempts if one.measures is not None}.values())
    if len(distinct) < 2:
        return distinct[0] if distinct else attempts[-1]
    run, stage = bench.run, bench.stage.label
    order = random.Random(f"{run.config.seed}/{stage}/{rollout}").sample(distinct, len(distinct))
    shown = [Candidate(png=one.png, measures=one.measures) for one in order if one.measures is not None]
    chosen = choose(run, stage, bench.round, shown, "chooser", rollout)
    return order[chosen] if chosen is not None else max(distinct, key=_score)


def _is_ruin(attempts: Sequence[Attempt]) -> bool:
    """Whether the last attempt, though approved, measures clearly below an earlier scene of the stage."""
    last = attempts[-1].measures
    return last is None or any(
        one.measures.psnr_db > last.psnr_db + RUIN_DB and one.measures.ssim > last.ssim
        for one in attempts
        if one.measures is not None
    )


def _score(one: Attempt) -> float:
    return one.measures.psnr_db if one.measures else -1.0


def choose(
    run: Run,
    stage: str,
    number: int,
    candidates: Sequence[Candidate],
    prompt_role: str,
    rollout: int = -1,
) -> int | None:
    """Index of the candidate that the model chooses; None when it comes to no choice."""
    place = Place(rollout=rollout, stage=stage, round=number, role="selector", ordinal=0)
    briefing = Briefing(run, stage, "selector", frozenset(), 1, rollout, place)
    run.console.step(stage, f"choosing the best of {len(candidates)}")
    letters = list(string.ascii_uppercase[: len(candidates)])
    toolbox = Toolbox("selection", "selector", letters)
    messages = [briefing.choice(number, dict(zip(letters, candidates, strict=True)), prompt_role)]
    product = converse(run, place, briefing.system(prompt_role), messages, toolbox, 3)
    return letters.index(product["candidate"]) if product else None
