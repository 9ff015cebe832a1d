"""Owns the tools that act on the scene or look at it: run_code, look, inspect, compare, measure, snapshots, revert.

Where a run goes without measured hints, results hold pictures and the scene's own facts only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from agent.evaluation.alignment import WHOLE, Box
from agent.evaluation.comparison import comparison_png, difference_png, overlay_png
from agent.evaluation.measures import measure as measure_picture
from agent.evaluation.measures import measure_objects, seen_box
from agent.models.base import Picture
from agent.picture import Reference
from agent.tools.base import Outcome, Tool, ToolInput, answered, refused, tell
from agent.tools.hints import told, told_objects
from agent.tools.reference import LEAST_REGION, Region
from agent.tools.shortening import shortened, without_long_texts
from agent.tools.workbench import Workbench, captioned
from protocol.errors import ProcessFault, ProtocolViolated, RequestFailed
from protocol.models import InspectReply, InspectRequest, Made, TargetView, View
from sandbox.transaction import FACTORS, Change, EditOutcome

TEXT_LIMIT = 6000
"""Characters of one tool result's longest texts."""
INSPECT_LIMIT = 24_000
"""Characters of what inspect tells."""
CONTACTS_S = 60.0
NAMED_AT_MOST = 12
"""Of what changed in one factor in one way."""
ZOOMED_PX = 384
"""Long side of a region that is shown large: twice as long takes four times as long."""
LARGEST_FRAME_PX = 2048
"""Of the whole picture of which a region is shown; only the region is rendered."""
MARGIN = 0.15
"""Around an object that is shown large, as a part of its size."""


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
        pictures, seen = (picture,), {"measures": told(measures)} if bench.run.config.hints else {}
    except (RequestFailed, ProcessFault) as error:
        seen = {"target_view": f"cannot be rendered: {error.message}"}
    facts = {
        "result": "committed",
        "snapshot": bench.name_after(),
        "changes": changes_told(outcome.changes),
        "printed": outcome.stdout[-TEXT_LIMIT:],
        "resets": list(outcome.resets),
        **seen,
        **more,
    }
    return answered(facts, *pictures, head=outcome.snapshot.id, committed=True)


def changes_told(changes: Sequence[Change]) -> list[str]:
    """By factor, with names: "structure: added Lid, Rim; removed Cup", "transform: Plate"."""
    names: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for change in sorted(changes, key=lambda change: FACTORS.index(change.factor)):
        ways, name = names[change.factor][change.how], change.key.partition(":")[2]
        if name not in ways:
            ways.append(name)
    return [f"{factor}: {'; '.join(map(_way_told, ways.items()))}" for factor, ways in names.items()]


def _way_told(way: tuple[str, list[str]]) -> str:
    how, names = way
    listed = ", ".join(names[:NAMED_AT_MOST])
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return f"{'' if how == 'changed' else how + ' '}{listed}{more}"


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
    quick: bool = False
    """Shapes and colours in plain light, fast. The scene's own light, shine, glass and textures don't show, and
    `samples` count for nothing."""


def look(bench: Workbench, given: LookInput) -> Outcome:
    try:
        png, made = _looked(bench, given)
    except (RequestFailed, ProcessFault) as error:
        return refused(f"this view could not be rendered: {error}", head=bench.head.id)
    caption = f"{given.view.kind} view" + (f" of {', '.join(given.isolate)} alone" if given.isolate else "")
    notes = {"notes": list(made.notes)} if made.notes else {}
    picture = Picture(png=png, caption=captioned(caption, made))
    return answered({"view": tell(given.view), **notes}, picture, head=bench.head.id)


def _looked(bench: Workbench, given: LookInput) -> tuple[bytes, Made]:
    if given.quick:
        return bench.quick_look(given.view, given.px, given.isolate)
    png, reply = bench.render_with_reply(given.view, given.px, samples=given.samples, isolate=given.isolate)
    return png, reply.made


class InspectInput(ToolInput):
    subject: Literal["scene", "object", "material", "contacts"]
    """"contacts": what reaches into each other, and what stands on nothing."""
    name: str = ""
    """Of the object or material; empty for the others."""


def inspect(bench: Workbench, given: InspectInput) -> Outcome:
    contacts = given.subject == "contacts"
    if contacts and not bench.run.config.hints:
        return refused("contacts are not measured in this run", head=bench.head.id)
    request = InspectRequest(subject=given.subject, name=given.name, short=True)
    try:
        reply, _ = bench.ask(request, CONTACTS_S if contacts else None)
        assert isinstance(reply, InspectReply)
        return answered({"what": _plain(reply.what)}, head=bench.head.id)
    except (RequestFailed, ProcessFault) as error:
        return refused(str(error), head=bench.head.id)


def _plain(what: dict[str, Any]) -> dict[str, Any]:
    """As JSON of bounded length: the answer is a claim of the box."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(without_long_texts(what), allow_nan=False))
        return shortened(plain, INSPECT_LIMIT)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolViolated("inspect", f"no JSON: {error}") from None


class NoInput(ToolInput):
    pass


class CompareInput(ToolInput):
    mode: Literal["side_by_side", "overlay", "difference"] = "side_by_side"
    """Reference, render and difference beside each other; reference and render blended, with the reference's edges over
    them, which shows what is misplaced; or the difference alone, larger."""
    region: Region | None = None
    """Left, top, right, bottom as fractions of the picture: show this part large."""
    of: str = ""
    """Show this object large, with its parts: in place of a region."""

    @model_validator(mode="after")
    def _of_one_thing(self) -> CompareInput:
        if self.region is not None and self.of:
            raise ValueError("give a region or an object, not both")
        return self


COMPARISONS: dict[str, tuple[Callable[[Reference, bytes, Box], bytes], str]] = {
    "side_by_side": (comparison_png, "reference | render | difference"),
    "overlay": (overlay_png, "reference and render blended, edges of the reference in magenta"),
    "difference": (difference_png, "difference"),
}


def compare(bench: Workbench, given: CompareInput) -> Outcome:
    try:
        region = _region_around(bench, given.of) if given.of else given.region or WHOLE
        if region is None:
            problem = f"nothing of {given.of!r} lies in the target view, so there is nothing to show large"
            return refused(problem, head=bench.head.id)
        png = bench.look()[0].png if region == WHOLE else _enlarged(bench, region)
        facts = _measured(bench, region, png) if bench.run.config.hints else {}
    except (RequestFailed, ProcessFault) as error:
        return refused(f"the target view could not be rendered: {error}", head=bench.head.id)
    draw, caption = COMPARISONS[given.mode]
    if region != WHOLE:
        where = [round(edge, 3) for edge in region]
        facts, caption = {"region": where, **facts}, f"{caption}: region {where}"
    picture = Picture(png=draw(bench.run.reference, png, region), caption=caption)
    return answered({"mode": given.mode, **facts}, picture, head=bench.head.id)


def measure(bench: Workbench, _: NoInput) -> Outcome:
    try:
        return answered(_measured(bench, WHOLE, bench.look()[0].png), head=bench.head.id)
    except (RequestFailed, ProcessFault) as error:
        return refused(f"the target view could not be rendered: {error}", head=bench.head.id)


def _measured(bench: Workbench, region: Box, png: bytes) -> dict[str, Any]:
    """The figures of a region as it is seen in `png`, and of the objects there."""
    picture, measures = bench.look()
    ids, reply = bench.render_with_reply(picture="object_id", samples=1)
    objects = measure_objects(bench.run.reference, picture.png, ids, reply.objects)
    if region != WHOLE:
        measures = measure_picture(bench.run.reference, png, region)
        shrunk = bench.run.config.look_px / _enlarged_frame_px(bench, region)
        measures = measures.model_copy(update={"edge_px": measures.edge_px * shrunk})  # the unit is the same everywhere
    return {"measures": told(measures), **told_objects(objects, bench.graph, region)}


def _enlarged(bench: Workbench, region: Box) -> bytes:
    """The target view in which a region is `ZOOMED_PX` long, rendered there only."""
    return bench.render(long_side_px=_enlarged_frame_px(bench, region), region=region)


def _enlarged_frame_px(bench: Workbench, region: Box) -> int:
    """Long side of the whole picture."""
    width, height = bench.run.reference.frame(LARGEST_FRAME_PX)
    longest = max((region[2] - region[0]) * width, (region[3] - region[1]) * height)
    return max(bench.run.config.look_px, round(LARGEST_FRAME_PX * min(1.0, ZOOMED_PX / longest)))


def _region_around(bench: Workbench, name: str) -> Box | None:
    """Where an object and its parts would be seen if nothing covered them, and a margin; None outside the picture."""
    box = seen_box(bench.render(picture="object_id", samples=1, isolate=(name,)))
    if box is None:
        return None
    left, right = _widened(box[0], box[2])
    top, bottom = _widened(box[1], box[3])
    return left, top, right, bottom


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = max(MARGIN * (high - low), LEAST_REGION)
    return max(0.0, low - margin), min(1.0, high + margin)


class SnapshotsInput(NoInput):
    pass


def snapshots(bench: Workbench, _: SnapshotsInput) -> Outcome:
    told_of = []
    for name, snapshot in bench.snapshots().items():
        facts: dict[str, Any] = {"name": name}
        if name == "s0":
            facts["edit"] = "(the stage's start)"
        elif snapshot.edit is not None:
            facts.update(edit=snapshot.edit.label, round=snapshot.edit.round)
        if snapshot.id == bench.head.id:
            facts["current"] = True
        if bench.run.config.hints and (measures := bench.measured(snapshot.id)):
            facts.update({key: value for key, value in told(measures).items() if key in ("psnr_db", "ssim", "iou")})
        told_of.append(facts)
    return answered(shortened({"snapshots": told_of}, TEXT_LIMIT), head=bench.head.id)


class RevertInput(ToolInput):
    to: str
    """"start" (of the stage, also "s0"), "previous", or a snapshot's name such as "s2"."""


def revert(bench: Workbench, given: RevertInput) -> Outcome:
    snapshot_id = bench.named(given.to)
    if snapshot_id is None:
        there = ", ".join(bench.snapshots())
        problem = (
            f"this stage has no snapshot {given.to!r}; it has {there} (s0 is its start). "
            "Those of earlier stages are out of reach: going back there would undo what those stages settled."
        )
        return refused(problem, head=bench.head.id)
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
        "some objects alone; with `quick` in plain light, in a fraction of the time. Changes nothing.",
        LookInput,
        look,
    ),
    Tool(
        "inspect",
        "Facts about the scene, an object, a material (its node graph) or contacts, as numbers and names.",
        InspectInput,
        inspect,
    ),
    Tool(
        "compare",
        "Compare reference and render: side by side, blended with edges, or their difference; the whole picture, a "
        "region of it or an object, shown large; with measures of what is shown and of each object.",
        CompareInput,
        compare,
    ),
    Tool("measure", "The measures of compare without the picture.", NoInput, measure),
    Tool("snapshots", "List this stage's snapshots: what each edit was for, and how it measured.", SnapshotsInput,
         snapshots),
    Tool("revert", "Go back to the stage's start, the snapshot before the last edit, or a named one.", RevertInput,
         revert),
)  # fmt: skip
