"""Owns how a conversation begins: the system prompt, the reference, and the task with its machine-readable facts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent import prompting
from agent.evaluation.comparison import comparison_png
from agent.evaluation.measures import Measures
from agent.models.base import Message, Picture, Role, Text
from agent.runs.run import Run
from agent.scene_graph import SceneGraph
from agent.tools.base import tell
from agent.tools.table import TABLE
from agent.tools.workbench import Remark
from protocol.models import Value


class Candidate(Value):
    """One of several scenes to choose from."""

    letter: str
    png: bytes
    measures: Measures
    notes: dict[str, Any]


class SceneNow(Value):
    """The target view as it stands when a conversation begins."""

    png: bytes
    measures: Measures


class Briefing:
    """What one role in one stage is told."""

    def __init__(self, run: Run, stage: str, role: Role, scope: frozenset[str], rounds: int, rollout: int) -> None:
        self._run, self._stage, self._role, self._scope = run, stage, role, scope
        self._rounds, self._rollout = rounds, rollout

    def system(self, prompt_role: str | None = None) -> str:
        """The system prompt; "chooser" is the selector's part at a budget's end."""
        reference = self._run.reference
        width, height = self._run.reference.frame(self._run.config.target_px)
        tools = TABLE.get((self._stage, self._role), ("choose",))
        return prompting.system_prompt(
            self._stage,
            prompt_role or self._role,
            blender_version=self._run.blender.version,
            rounds=self._rounds,
            scope=sorted(self._scope),
            width_px=width,
            height_px=height,
            kind=reference.kind,
            tools=tools,
            fit_looks=self._run.config.fit_looks,
            look_px=self._run.config.look_px,
        )

    def first(
        self, number: int, graph: SceneGraph | None = None, scene: SceneNow | None = None, **told: Any
    ) -> Message:
        """The first message of a conversation: the reference, the scene as it stands if there is one, then the task."""
        if scene is None:
            return Message(role="user", content=(self.reference(), self.task(number, graph, **told)))
        compared = comparison_png(self._run.reference, scene.png)
        now = Picture(png=compared, caption="reference, render of the scene as it stands, difference")
        task = self.task(number, graph, scene_measures=tell(scene.measures), **told)
        return Message(role="user", content=(self.reference(), now, task))

    def reference(self) -> Picture:
        return Picture(png=self._run.reference.png, caption="reference")

    def again(self, number: int, graph: SceneGraph | None = None, **told: Any) -> Message:
        """What a generator is told when the next round begins."""
        return Message(role="user", content=(self.task(number, graph, **told),))

    def choice(self, number: int, candidates: list[Candidate], prompt_role: str) -> Message:
        """The candidates, each with its picture and measures, then the question."""
        content: list[Text | Picture] = [self.reference()]
        for one in candidates:
            content.append(Picture(png=one.png, caption=f"candidate {one.letter}"))
            facts = {"candidate": one.letter, "measures": tell(one.measures), **one.notes}
            content.append(Text(text=json.dumps(facts, ensure_ascii=False)))
        task = self.task(number, None, prompt_role, candidates=[one.letter for one in candidates])
        return Message(role="user", content=(*content, task))

    def task(
        self,
        number: int,
        graph: SceneGraph | None,
        prompt_role: str | None = None,
        *,
        checklist: list[dict[str, Any]] | None = None,
        critique: str | None = None,
        remarks: Sequence[Remark] = (),
        **facts: Any,
    ) -> Text:
        reference = self._run.reference
        told = {
            "stage": self._stage,
            "round": number,
            "role": self._role,
            "picture": {"width_px": reference.width_px, "height_px": reference.height_px, "kind": reference.kind},
            "seed": self._run.config.seed,
            "rollout": self._rollout,
            "scope": sorted(self._scope),
            "scene_graph": graph.model_dump(mode="json") if graph else None,
            "preset": self._run.config.preset,
            "previous_checklist": checklist or [],
            "critique": critique,
            **facts,
        }
        text = prompting.task(
            self._stage,
            prompt_role or self._role,
            told,
            round=number,
            rounds=self._rounds,
            checklist=checklist or [],
            critique=critique,
            plan=None,
            has_scene="scene_measures" in facts,
            remarks=[remark.model_dump() for remark in remarks],
        )
        return Text(text=text)
