"""Owns the look at the reference alone, a part of it enlarged: needs neither a scene nor a Blender."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from agent.evaluation.alignment import WHOLE, Box
from agent.evaluation.comparison import region_png
from agent.models.base import Picture
from agent.picture import Reference
from agent.tools.base import Outcome, Tool, ToolInput, answered
from agent.tools.workbench import Workbench

LEAST_REGION = 0.02
REGION_PX = 768
"""Long side of the part that is shown."""


def _checked(region: Box) -> Box:
    left, top, right, bottom = region
    if not (left >= 0 and top >= 0 and right <= 1 and bottom <= 1):
        raise ValueError("a region is left, top, right, bottom as fractions from 0 to 1")
    if right - left < LEAST_REGION or bottom - top < LEAST_REGION:
        raise ValueError(f"a region is at least {LEAST_REGION} wide and high")
    return region


Region = Annotated[Box, AfterValidator(_checked)]
"""Left, top, right, bottom as fractions of the picture, origin top left."""


class ReferenceInput(ToolInput):
    region: Region = WHOLE
    """Left, top, right, bottom as fractions of the picture: show this part large. Left out: all of it."""


def reference(of: Reference | Workbench, given: ReferenceInput) -> Outcome:
    picture = of.run.reference if isinstance(of, Workbench) else of
    where = [round(edge, 3) for edge in given.region]
    png = region_png(picture, given.region, REGION_PX)
    caption = f"reference, region {where}, with rulers in fractions of the whole picture"
    return answered({"region": where}, Picture(png=png, caption=caption))


TOOLS = (
    Tool(
        "reference",
        "Show a region of the reference enlarged, with rulers along its edges in fractions of the whole picture. Needs "
        "no scene.",
        ReferenceInput,
        reference,
    ),
)
