"""Owns the decomposition: the picture becomes a scene graph whose every leaf one Blender primitive can approximate."""

from __future__ import annotations

from agent import prompting
from agent.conversation import converse
from agent.models.base import Message, Place, Text
from agent.runs.run import Run
from agent.scene_graph import SceneGraph
from agent.stages.briefing import Briefing
from agent.tools.table import Toolbox

MOST_CALLS = 10
"""Model calls for one submission, looks and malformed graphs included."""


def decompose(run: Run, rollout: int) -> SceneGraph | None:
    """One independent scene graph, split until it is called complete; None when no valid one came."""
    place = Place(rollout=rollout, stage="decomposition", round=1, role="decomposer", ordinal=0)
    briefing = Briefing(run, "decomposition", "decomposer", frozenset(), 1 + run.config.splits, rollout, place)
    messages = [briefing.first(1)]
    graph: SceneGraph | None = None
    for number in range(1, 2 + run.config.splits):
        here = place.model_copy(update={"round": number})
        toolbox = Toolbox("decomposition", "decomposer", run.reference)
        product = converse(run, here, briefing.system(), messages, toolbox, MOST_CALLS)
        if product is None:
            return graph
        graph = SceneGraph.model_validate(product["graph"])
        if product["complete"]:
            return graph
        leaves = ", ".join(node.name for node in graph.leaves())
        messages.append(
            Message(role="user", content=(Text(text=prompting.render("decomposition/split.md", leaves=leaves)),))
        )
    return graph
