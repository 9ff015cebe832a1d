"""Owns what a calibration scene is: a known scene, and variants of it that break one thing or nothing that counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from agent.config import StageName
from agent.scene_graph import SceneGraph
from protocol.models import Value

Expected = Literal["approve", "revise"]


ALL: tuple[StageName, ...] = ("initialisation", "geometry", "material", "composition", "lighting")
"""The stages that have a verifier."""
MADE = ("structure", "geometry", "transform", "material")
"""Factors in which a thing that comes or goes is seen."""
LIGHT_WORDS = ("light", "sun", "lamp", "shadow", "dark", "bright", "exposure", "black", "burnt", "luminance")
TINT_WORDS = ("blue", "cold", "cool", "orange", "warm", "tint", "temperature", "colour", "color")
CAMERA_WORDS = ("camera", "crop", "cut off", "frame", "framing", "viewpoint", "zoom", "lens", "out of sight")


class Variant(Value):
    """An edit of a scene, and which stages' verifiers it concerns."""

    name: str
    fault: str
    """What is wrong, in words; of one that nobody can see, what was done."""
    source: str
    """The edit, after the kit; "" leaves the scene as it is."""
    factors: tuple[str, ...] = ()
    """What the edit changes: held to by the transaction that runs it."""
    breaks: tuple[StageName, ...] = ()
    """Stages whose verifier must ask for a revision."""
    spares: tuple[StageName, ...] = ()
    """Stages whose verifier must approve: what is wrong, if anything, is another stage's."""
    named_by: tuple[str, ...] = ()
    """Words of which a verdict that names the fault holds at least one."""


class Scene(Value):
    name: str
    kind: Literal["full", "cutout"]
    source: str
    graph: SceneGraph
    variants: tuple[Variant, ...]


class Case(Value):
    """One question to a verifier, with the answer that is right."""

    number: int
    """In the whole set; the rollout under which it is asked, so that no two share a place in the journal."""
    scene: str
    stage: StageName
    variant: str
    fault: str
    named_by: tuple[str, ...]
    expected: Expected

    @property
    def id(self) -> str:
        return f"{self.scene}-{self.stage}-{self.variant}"


def cases_of(scenes: tuple[Scene, ...]) -> tuple[Case, ...]:
    """All cases, in the order of the scenes and their variants."""
    asked = (
        {
            "scene": scene.name,
            "stage": stage,
            "variant": variant.name,
            "fault": variant.fault,
            "named_by": variant.named_by if expected == "revise" else (),
            "expected": expected,
        }
        for scene in scenes
        for variant in scene.variants
        for stage, expected in _expectations(variant)
    )
    return tuple(Case.model_validate({"number": number, **facts}) for number, facts in enumerate(asked))


def _expectations(variant: Variant) -> Iterator[tuple[StageName, Expected]]:
    yield from ((stage, "revise") for stage in variant.breaks)
    yield from ((stage, "approve") for stage in variant.spares)
