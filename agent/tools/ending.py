"""Owns the tools that carry a result out of a conversation: graph, plan, finish, verdict, choose."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from agent.picture import Reference
from agent.scene_graph import SceneGraph, SceneNode
from agent.tools.base import Outcome, Tool, ToolInput, answered, refused

MOST_UNCOVERED = 0.1
"""Share of a cut-out that may lie in no part's box: boxes are read off by eye."""


class SubmitSceneGraphInput(ToolInput):
    environment: str
    """Global environment, background, ground and light, in words."""
    nodes: tuple[SceneNode, ...]
    complete: bool
    """True when every leaf is one component that a Blender primitive can approximate."""


def submit_scene_graph(reference: Reference, given: SubmitSceneGraphInput) -> Outcome:
    try:
        graph = SceneGraph(environment=given.environment, nodes=given.nodes)
    except ValidationError as error:
        return refused("the graph is not valid", accepted=False, problems=[e["msg"] for e in error.errors()])
    if problem := uncovered(graph, reference):
        return refused("the graph does not cover the picture", accepted=False, problems=[problem])
    product = {"graph": graph.model_dump(mode="json"), "complete": given.complete}
    return answered({"accepted": True, "problems": []}, product=product)


def uncovered(graph: SceneGraph, reference: Reference) -> str:
    """What of a cut-out lies in no part's box, in words; empty where little does, and for a picture without a mask."""
    if reference.mask is None:
        return ""
    bare = reference.mask.copy()
    height, width = bare.shape
    for left, top, right, bottom in (leaf.picture_box for leaf in graph.leaves() if leaf.picture_box):
        rows = slice(math.floor(top * height), math.ceil(bottom * height))
        bare[rows, math.floor(left * width) : math.ceil(right * width)] = False
    share = float(bare.sum()) / max(1.0, float(reference.mask.sum()))
    if share <= MOST_UNCOVERED:
        return ""
    ys, xs = np.nonzero(bare)
    x, y = float(np.median(xs)) / width, float(np.median(ys)) / height
    return (
        f"{share:.0%} of what the picture shows lies in no part's picture_box, most of it around ({x:.2f}, {y:.2f}): "
        "a part is missing, or a box is wrong."
    )


class SubmitPlanInput(ToolInput):
    plan: str
    """The order and way in which the scaffold will be built."""


def submit_plan(_: object, given: SubmitPlanInput) -> Outcome:
    if not given.plan.strip():
        return refused("the plan is empty")
    return answered({"ok": True}, plan=given.plan)


class FinishInput(ToolInput):
    summary: str
    """What was done and what remains."""


def finish(_: object, given: FinishInput) -> Outcome:
    return answered({"ok": True}, product={"summary": given.summary})


class VerdictItem(ToolInput):
    id: int | None = None
    """Of an item that is on the list; None for a new one."""
    text: str = Field(max_length=500)
    """Something concrete that can be checked: what, where, how to tell."""
    satisfied: bool
    withdrawn: str | None = None
    """The reason why the item no longer counts."""


class VerdictTicket(ToolInput):
    """What is wrong in a factor that another stage is there for."""

    stage: Literal["geometry", "material", "composition", "lighting"]
    """Whose it is to mend."""
    text: str = Field(max_length=300)
    """Which object, what is wrong, what it should be."""


class VerdictInput(ToolInput):
    items: tuple[VerdictItem, ...] = Field(max_length=40)
    critique: str
    """What the generator should do next, concretely."""
    decision: Literal["approve", "revise"]
    tickets: tuple[VerdictTicket, ...] = Field((), max_length=4)
    """For other stages: an earlier one may be reopened at the end, a later one is told when it begins. They do not bear
    on the decision."""

    @model_validator(mode="after")
    def _approve_when_all_is_satisfied(self) -> VerdictInput:
        open_items = [item for item in self.items if not item.satisfied and not item.withdrawn]
        if open_items and self.decision == "approve":
            raise ValueError("items are open, so the decision must be 'revise'")
        if self.items and not open_items and self.decision == "revise":
            raise ValueError("all items are satisfied or withdrawn, so the decision must be 'approve'")
        return self


def verdict(_: object, given: VerdictInput) -> Outcome:
    return answered({"ok": True}, product=given.model_dump(mode="json"))


class ChooseInput(ToolInput):
    candidate: str = Field(pattern="^[A-Z]$")
    reason: str


def choose(letters: Any, given: ChooseInput) -> Outcome:
    if given.candidate not in letters:
        return refused(f"there is no candidate {given.candidate}; there are {', '.join(letters)}")
    return answered({"ok": True}, product=given.model_dump(mode="json"))


TOOLS = (
    Tool("submit_scene_graph", "Hand in the scene graph: all visible objects and their parts.", SubmitSceneGraphInput,
         submit_scene_graph, ends=True),
    Tool("submit_plan", "Hand in the plan before building.", SubmitPlanInput, submit_plan),
    Tool("finish", "End this attempt and hand it to the verifier.", FinishInput, finish, ends=True),
    Tool("verdict", "Hand in the checklist and the decision.", VerdictInput, verdict, ends=True),
    Tool("choose", "Choose one of the candidates.", ChooseInput, choose, ends=True),
)  # fmt: skip
