"""Owns the tools that carry a result out of a conversation: graph, plan, finish, verdict, choose."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from agent.scene_graph import SceneGraph, SceneNode
from agent.tools.base import Outcome, Tool, ToolInput, answered, refused


class SubmitSceneGraphInput(ToolInput):
    environment: str
    """Global environment, background, ground and light, in words."""
    nodes: tuple[SceneNode, ...]
    complete: bool
    """True when every leaf is one component that a Blender primitive can approximate."""


def submit_scene_graph(_: object, given: SubmitSceneGraphInput) -> Outcome:
    try:
        graph = SceneGraph(environment=given.environment, nodes=given.nodes)
    except ValidationError as error:
        return refused("the graph is not valid", accepted=False, problems=[e["msg"] for e in error.errors()])
    product = {"graph": graph.model_dump(mode="json"), "complete": given.complete}
    return answered({"accepted": True, "problems": []}, product=product)


class SubmitPlanInput(ToolInput):
    plan: str
    """The order and way in which the scaffold will be built."""


def submit_plan(_: object, given: SubmitPlanInput) -> Outcome:
    return answered({"ok": True})


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


class VerdictInput(ToolInput):
    items: tuple[VerdictItem, ...] = Field(max_length=40)
    critique: str
    """What the generator should do next, concretely."""
    decision: Literal["approve", "revise"]

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
