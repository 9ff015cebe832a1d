"""Owns what each stage may change and what its verifier judges: the method's table. Does nothing."""

from __future__ import annotations

from protocol.models import Value
from sandbox.transaction import FACTORS

EVERYTHING = frozenset(FACTORS) - {"host"}


class Stage(Value):
    name: str
    scope: frozenset[str]
    """Factors that an edit may change."""
    judges: str
    """What the verifier judges, and nothing else."""
    keeps_objects: bool = True
    """No edit may lose an object of the scene graph."""
    keeps_slots: bool = False
    """Material slots and UV maps that an edit loses by swapping a mesh are put back."""
    verified: bool = True
    reopened: bool = False
    """Once more, at the run's end, for the tickets that later stages have filed."""

    @property
    def label(self) -> str:
        """What is unique in a run; the name, which prompts and tools go by, comes again when it is reopened."""
        return f"{self.name}_again" if self.reopened else self.name


INITIALISATION = Stage(
    name="initialisation",
    scope=EVERYTHING,
    judges="presence of every part and coverage of the picture: all in the frame, not cropped, well exposed",
    keeps_objects=False,
)
REFINING = (
    Stage(
        name="geometry",
        scope=frozenset({"structure", "geometry", "transform"}),
        judges="shape and parts of each object",
        keeps_slots=True,
    ),
    Stage(
        name="material",
        scope=frozenset({"material"}),
        judges="base colour, texture, roughness, metal, transparency and bump of each object",
    ),
    Stage(
        name="composition",
        scope=frozenset({"transform", "camera"}),
        judges="relative scale, place, rotation, contact and framing",
    ),
    Stage(
        name="lighting",
        scope=frozenset({"light", "world", "view"}),
        judges="direction, height, softness, colour temperature, exposure and contrast of the light",
    ),
)
ALIGNMENT = Stage(name="alignment", scope=frozenset({"camera"}), judges="framing", verified=False)
"""Of the camera to the picture, by machine, before the refining stages."""
MONOLITHIC = Stage(
    name="monolithic",
    scope=EVERYTHING,
    judges="everything: shapes, materials, placement, light and framing",
    keeps_slots=False,
)
"""One loop over all factors: the ablation that the stages are measured against."""
CAMERA = Stage(name="camera", scope=frozenset({"camera"}), judges="framing", verified=False)
