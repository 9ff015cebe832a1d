"""Owns the choice of how quick views are made: once for a run, by what its Blender can do here and how long it takes.

All other pictures are made by Cycles, which alone shows light and materials as they are.
"""

from __future__ import annotations

from agent.runs.run import Opened
from protocol.models import Engine, Value
from sandbox.probing import Facts


class QuickViews(Value):
    """How a look that only wants shapes and colours is made."""

    engine: Engine
    samples: int
    most_px: int | None
    """Long side, where more would not be quick."""


COARSE = QuickViews(engine="cycles", samples=4, most_px=256)
"""What shapes can still be told by; takes half a second to two on two cores."""


START_S = 2.0
"""By how much Workbench's first picture, a tiny one, may be slower than Cycles': it starts the graphics driver. Those
after it are three to ten times faster than Cycles', but for a driver that draws everything by the processor, slowly."""


def quick_views(opened: Opened) -> QuickViews:
    """The run's own, as chosen when it began; on another machine what cannot be had is noted with each picture."""
    return opened.journal.step("quick views", QuickViews, lambda: chosen(opened.blender.facts))


def chosen(facts: Facts) -> QuickViews:
    """Workbench, where it rendered without a screen and not too slowly; else Cycles, small and coarse."""
    taken = facts.picture_s
    if "workbench" in taken and taken["workbench"] <= taken.get("cycles", taken["workbench"]) + START_S:
        return QuickViews(engine="workbench", samples=1, most_px=None)
    return COARSE
