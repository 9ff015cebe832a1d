"""Owns how a conversation begins: the system prompt, the reference, and the task with its machine-readable facts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from agent import prompting
from agent.evaluation.comparison import comparison_png
from agent.evaluation.measures import Measures
from agent.models.base import Message, Picture, Place, Role, Text, conversation_key
from agent.runs.journal import BlenderTold
from agent.runs.run import Run
from agent.scene_graph import SceneGraph
from agent.tools.base import tell
from agent.tools.table import tools_of
from agent.tools.workbench import Remark
from protocol.models import Value


class Candidate(Value):
    """One of several scenes to choose from."""

    png: bytes
    measures: Measures
    side_png: bytes = b""
    """The same scene from elsewhere; empty where that is not shown."""
    notes: dict[str, Any] = Field(default_factory=dict)
    """What else is told of it."""


class SceneNow(Value):
    """The target view as it stands when a conversation begins."""

    png: bytes
    measures: Measures


class Briefing:
    """What one role in one stage is told."""

    def __init__(
        self,
        run: Run,
        stage: str,
        role: Role,
        scope: frozenset[str],
        rounds: int,
        rollout: int,
        place: Place | None = None,
    ) -> None:
        """`place` is that of the first call: a recorded conversation is told of the Blender that it was begun with."""
        self._run, self._stage, self._role, self._scope = run, stage, role, scope
        self._rounds, self._rollout = rounds, rollout
        begun_with = run.journal.blender_told(conversation_key(place)) if place else None
        self._blender = begun_with or BlenderTold(version=run.blender.version, dialect=run.blender.facts.dialect)

    def system(self, prompt_role: str | None = None) -> str:
        """The system prompt: the same in all stages; "chooser" is the selector's part at a budget's end."""
        return prompting.system_prompt(prompt_role or self._role, **self._values())

    def _of_the_stage(self, prompt_role: str | None = None) -> Text:
        """What is told of the stage, once."""
        text = prompting.stage_prompt(self._stage, prompt_role or self._role, **self._values())
        return Text(text=text, lasting=True)

    def _values(self) -> dict[str, Any]:
        reference, config = self._run.reference, self._run.config
        width, height = reference.frame(config.target_px)
        return {
            "blender_version": self._blender.version,
            "dialect": self._blender.dialect,
            "scope": sorted(self._scope),
            "width_px": width,
            "height_px": height,
            "kind": reference.kind,
            "tools": tools_of(self._stage, self._role, config),
            "fit_looks": config.fit_looks,
            "look_px": config.look_px,
            "hints": config.hints,
            "shows_reference": self._shows_reference,
        }

    @property
    def _shows_reference(self) -> bool:
        is_builder = (self._stage, self._role) == ("initialisation", "generator")
        return not (self._run.config.text_only_scaffold and is_builder)

    def first(
        self, number: int, graph: SceneGraph | None = None, scene: SceneNow | None = None, **told: Any
    ) -> Message:
        """The first message of a conversation: what begins others too (the reference, the scene graph, what is told
        of the stage), then the scene as it stands if there is one, and the task."""
        content: list[Text | Picture] = [self.reference()] if self._shows_reference else []
        if graph is not None:
            nodes = json.dumps(graph.model_dump(mode="json"), ensure_ascii=False)
            content.append(Text(text=prompting.render("tasks/scene_graph.md", graph=nodes), lasting=True))
        content.append(self._of_the_stage())
        if scene is not None and self._shows_reference:
            compared = comparison_png(self._run.reference, scene.png)
            content.append(Picture(png=compared, caption="reference, render of the scene as it stands, difference"))
            told |= {"has_scene": True, **self._measured("scene_measures", scene.measures)}
        return Message(role="user", content=(*content, self.task(number, **told)))

    def _measured(self, name: str, measures: Measures) -> dict[str, Any]:
        """As facts, where a role is told what is measured."""
        return {name: tell(measures)} if self._run.config.hints else {}

    def reference(self) -> Picture:
        return Picture(png=self._run.reference.png, caption="reference")

    def again(self, number: int, _: SceneGraph | None = None, **told: Any) -> Message:
        """What a generator is told when the next round begins; the graph is still as the conversation began with it."""
        return Message(role="user", content=(self.task(number, **told),))

    def choice(self, number: int, candidates: Mapping[str, Candidate], prompt_role: str) -> Message:
        """The candidates by letter, each with its pictures and measures, then the question."""
        content: list[Text | Picture] = [self.reference(), self._of_the_stage(prompt_role)]
        for letter, one in candidates.items():
            content.append(Picture(png=one.png, caption=f"candidate {letter}"))
            if one.side_png:
                content.append(Picture(png=one.side_png, caption=f"candidate {letter} from the side"))
            facts = {"candidate": letter, **self._measured("measures", one.measures), **one.notes}
            content.append(Text(text=json.dumps(facts, ensure_ascii=False)))
        task = self.task(number, prompt_role, candidates=list(candidates))
        return Message(role="user", content=(*content, task))

    def task(
        self,
        number: int,
        prompt_role: str | None = None,
        *,
        checklist: list[dict[str, Any]] | None = None,
        critique: str | None = None,
        remarks: Sequence[Remark] = (),
        has_scene: bool = False,
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
            has_scene=has_scene,
            remarks=[remark.model_dump() for remark in remarks],
            hints=self._run.config.hints,
            shows_reference=self._shows_reference,
        )
        return Text(text=text)
