"""Owns the tools that act on the scene or look at it: run_code, look, inspect, compare, measure, revert."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from agent.evaluation.comparison import comparison_png
from agent.evaluation.measures import measure_objects
from agent.models.base import Picture
from agent.tools.base import Outcome, Tool, ToolInput, answered, refused, tell
from agent.tools.workbench import Workbench
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import InspectReply, InspectRequest, TargetView, View
from sandbox.transaction import EditOutcome

TEXT_LIMIT = 6000
"""Characters of one tool result's longest texts."""


class RunCodeInput(ToolInput):
    purpose: str = Field(max_length=200)
    """What the edit is for, in a few words."""
    code: str
    """Python for Blender; runs in a fresh namespace that holds `bpy`."""


def run_code(bench: Workbench, given: RunCodeInput) -> Outcome:
    before = bench.head.id
    outcome = bench.edit(given.code, given.purpose)
    if outcome.snapshot is not None and outcome.snapshot.id == before:
        facts = {"result": "no_change", "message": outcome.message, "printed": outcome.stdout[-TEXT_LIMIT:]}
        return answered(facts, head=before)
    return committed(bench, outcome) if outcome.kind == "committed" else rejected(bench, outcome)


def committed(bench: Workbench, outcome: EditOutcome, **more: Any) -> Outcome:
    """The result of an accepted edit: what changed, and the target view with its measures."""
    assert outcome.snapshot is not None
    pictures: tuple[Picture, ...] = ()
    seen: dict[str, Any]
    try:
        picture, measures = bench.look()
        pictures, seen = (picture,), {"measures": tell(measures)}
    except (RequestFailed, ProcessFault) as error:
        seen = {"target_view": f"cannot be rendered: {error.message}"}
    facts = {
        "result": "committed",
        "snapshot": bench.name_after(),
        "changes": list(dict.fromkeys(f"{change.factor}: {change.key}" for change in outcome.changes))[:60],
        "printed": outcome.stdout[-TEXT_LIMIT:],
        "resets": list(outcome.resets),
        **seen,
        **more,
    }
    return answered(facts, *pictures, head=outcome.snapshot.id, committed=True)


def rejected(bench: Workbench, outcome: EditOutcome) -> Outcome:
    """The result of a rolled back edit: which rule or fault, and what it touched."""
    facts = {
        "result": outcome.kind,
        "message": outcome.message[-TEXT_LIMIT:],
        "changes": [
            {"factor": change.factor, "of": change.key, "details": list(change.details)[:10]}
            for change in outcome.changes[:20]
        ],
        "printed": outcome.stdout[-TEXT_LIMIT:],
        "scene": "unchanged",
    }
    return answered(facts, head=bench.head.id, is_error=True, failure=f"{outcome.kind}: {outcome.message}")


class LookInput(ToolInput):
    view: View = Field(default_factory=TargetView, discriminator="kind")
    isolate: tuple[str, ...] = Field((), max_length=100)
    """Show only these objects, with their children; empty: all."""
    px: int = Field(384, ge=16, le=1024)
    """Long side in pixels."""
    samples: int = Field(16, ge=1, le=256)


def look(bench: Workbench, given: LookInput) -> Outcome:
    try:
        png = bench.render(given.view, given.px, samples=given.samples, isolate=given.isolate)
    except (RequestFailed, ProcessFault) as error:
        return refused(f"this view could not be rendered: {error}", head=bench.head.id)
    caption = f"{given.view.kind} view" + (f" of {', '.join(given.isolate)} alone" if given.isolate else "")
    return answered({"view": tell(given.view)}, Picture(png=png, caption=caption), head=bench.head.id)


class InspectInput(ToolInput):
    subject: Literal["scene", "object", "material"]
    name: str = ""
    """Of the object or material; empty for the scene."""


def inspect(bench: Workbench, given: InspectInput) -> Outcome:
    try:
        reply, _ = bench.ask(InspectRequest(subject=given.subject, name=given.name))
    except (RequestFailed, ProcessFault) as error:
        return refused(str(error), head=bench.head.id)
    assert isinstance(reply, InspectReply)
    return answered({"what": reply.what}, head=bench.head.id)


class NoInput(ToolInput):
    pass


def compare(bench: Workbench, _: NoInput) -> Outcome:
    try:
        facts, png = _measured(bench)
    except (RequestFailed, ProcessFault) as error:
        return refused(f"the target view could not be rendered: {error}", head=bench.head.id)
    picture = Picture(png=comparison_png(bench.run.reference, png), caption="reference | render | difference")
    return answered(facts, picture, head=bench.head.id)


def measure(bench: Workbench, _: NoInput) -> Outcome:
    try:
        return answered(_measured(bench)[0], head=bench.head.id)
    except (RequestFailed, ProcessFault) as error:
        return refused(f"the target view could not be rendered: {error}", head=bench.head.id)


def _measured(bench: Workbench) -> tuple[dict[str, Any], bytes]:
    picture, measures = bench.look()
    ids, reply = bench.render_with_reply(picture="object_id", samples=1)
    objects = measure_objects(bench.run.reference, picture.png, ids, reply.objects)
    return {"measures": tell(measures), "objects": {name: tell(of) for name, of in objects.items()}}, picture.png


class RevertInput(ToolInput):
    to: str
    """"start" (of the stage), "previous", or a snapshot's name such as "s2"."""


def revert(bench: Workbench, given: RevertInput) -> Outcome:
    snapshot_id = bench.named(given.to)
    if snapshot_id is None:
        return refused(f"there is no snapshot {given.to!r} to go back to in this stage", head=bench.head.id)
    bench.move_to(snapshot_id)
    return answered({"head": bench.name_of(snapshot_id)}, head=snapshot_id)


TOOLS = (
    Tool(
        "run_code",
        "Run Python in Blender as one transaction. If it raises, runs too long, or changes a factor outside the "
        "stage's scope, the scene stays as it was and you are told why. Accepted: you get what changed, the target "
        "view and how it measures against the reference.",
        RunCodeInput,
        run_code,
        builds=True,
    ),
    Tool(
        "look",
        "Render the scene from the target camera, from an orbit about it, a position or a named side; all of it or "
        "some objects alone. Changes nothing.",
        LookInput,
        look,
    ),
    Tool("inspect", "Facts about the scene, an object or a material, as numbers and names.", InspectInput, inspect),
    Tool("compare", "Reference, render and difference side by side, with measures of all and each object.", NoInput,
         compare),
    Tool("measure", "The measures of compare without the picture.", NoInput, measure),
    Tool("revert", "Go back to the stage's start, the snapshot before the last edit, or a named one.", RevertInput,
         revert),
)  # fmt: skip
