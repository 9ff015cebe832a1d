"""Who plays which part: a script for each role in each stage."""

from __future__ import annotations

from collections.abc import Callable

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles import (
    camera,
    composition,
    decomposer,
    geometry,
    initialisation,
    lighting,
    material,
    selector,
    verifier,
)

_SCRIPTS: dict[tuple[str, str], Callable[[Task], Script]] = {
    ("decomposition", "decomposer"): decomposer.decompose,
    ("initialisation", "generator"): initialisation.build,
    ("geometry", "generator"): geometry.refine,
    ("material", "generator"): material.refine,
    ("composition", "generator"): composition.refine,
    ("lighting", "generator"): lighting.refine,
    ("camera", "generator"): camera.refine,
}


def script_for(stage: str, role: str, task: Task) -> Script:
    """Any selector chooses and any verifier judges; a generator in an unknown stage finishes at once."""
    if role == "selector":
        return selector.choose(task)
    if role == "verifier":
        return verifier.judge(stage, task)
    return _SCRIPTS.get((stage, role), camera.nothing)(task)
