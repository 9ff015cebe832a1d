"""Owns which role in which stage may call which tool; a model is given only those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.config import Config
from agent.models.base import Role, ToolCall, ToolSpec
from agent.tools import ending, fit, reference, scene
from agent.tools.base import Outcome, parse_input, refused
from agent.tools.workbench import Workbench

ALL = {tool.name: tool for tool in (*scene.TOOLS, *fit.TOOLS, *reference.TOOLS, *ending.TOOLS)}
_EDITS = ("run_code", "look", "inspect", "compare", "measure", "snapshots", "revert", "fit", "reference", "finish")
_WATCHES = ("look", "inspect", "compare", "measure", "reference", "verdict")

TABLE: dict[tuple[str, Role], tuple[str, ...]] = {
    ("decomposition", "decomposer"): ("reference", "submit_scene_graph"),
    ("initialisation", "generator"): ("submit_plan", *_EDITS),
    ("initialisation", "verifier"): _WATCHES,
    ("selection", "selector"): ("choose",),
    ("geometry", "generator"): _EDITS,
    ("geometry", "verifier"): _WATCHES,
    ("material", "generator"): _EDITS,
    ("material", "verifier"): _WATCHES,
    ("composition", "generator"): _EDITS,
    ("composition", "verifier"): _WATCHES,
    ("lighting", "generator"): _EDITS,
    ("lighting", "verifier"): _WATCHES,
    ("monolithic", "generator"): _EDITS,
    ("monolithic", "verifier"): _WATCHES,
    ("camera", "generator"): _EDITS,
}
"""The choice of the best attempt is ("selection", "selector")'s tool too, with its own prompt."""
MEASURING = frozenset({"measure", "fit"})
"""Not offered where a run goes without measured hints."""


SHOWING = frozenset({"compare", "reference"})
"""That show the reference: not for who builds a scaffold from words alone."""


def tools_of(stage: str, role: Role, config: Config) -> tuple[str, ...]:
    """Names of the tools that a role has in a stage of a run with these settings."""
    builds_blind = config.text_only_scaffold and (stage, role) == ("initialisation", "generator")
    withheld = (frozenset() if config.hints else MEASURING) | (SHOWING if builds_blind else frozenset())
    return tuple(name for name in TABLE.get((stage, role), ("choose",)) if name not in withheld)


class Toolbox:
    """The tools of one conversation, bound to what they work on."""

    def __init__(self, stage: str, role: Role, bench: Any) -> None:
        config = bench.run.config if isinstance(bench, Workbench) else Config()
        self._tools = tuple(ALL[name] for name in tools_of(stage, role, config))
        self._bench = bench

    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is given: the same in every call of a conversation, so that the service's cache holds."""
        return tuple(tool.spec() for tool in self._tools)

    def names(self) -> list[str]:
        return [tool.name for tool in self._tools]

    def ending_names(self) -> Sequence[str]:
        return [tool.name for tool in self._tools if tool.ends]

    def use(self, call: ToolCall, last: bool = False) -> Outcome:
        """Do it; on the last call of a conversation only what ends it."""
        tool = next((tool for tool in self._tools if tool.name == call.name), None)
        if tool is None:
            return refused(f"there is no tool {call.name!r} here; there are: {', '.join(self.names())}")
        if last and not tool.ends:
            return refused("the calls are used up", may_still_be_called=list(self.ending_names()))
        if tool.builds and "submit_plan" in self.names() and not self._bench.plan:
            return refused("hand in the plan first, with submit_plan")
        given = parse_input(tool.input, call.input)
        return refused(f"{call.name}: {given}") if isinstance(given, str) else tool.use(self._bench, given)
