"""Owns the silhouette of the objects of a full picture, beside the mask that a data set has of it.

A render of a full picture is opaque and has none of its own: it is asked of the scene where the run's own camera sees
objects that count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.errors import InputUnreadable
from agent.evaluation.canvas import resized
from agent.evaluation.data import View
from agent.evaluation.datasets import reference_of
from agent.evaluation.measures import iou
from agent.evaluation.score import MetricFacts, Score
from agent.evaluation.weight_free import boundary_px
from agent.picture import Mask

HOW = "objects"
ABOUT = "silhouettes of the objects of full pictures"
_MEASURED = {"iou": iou, "boundary_px": boundary_px}


def outline_facts(metrics: Sequence[MetricFacts]) -> Iterator[MetricFacts]:
    """Of those of a cut-out among these metrics, the same of a full picture."""
    for facts in metrics:
        if facts.name in _MEASURED:
            update = {
                "name": f"{facts.name}_{HOW}",
                "base": facts.name,
                "about": ABOUT,
                "variant": "of the data set's mask and where the run's own camera sees objects that count",
                "background": "none: which object a pixel shows",
            }
            yield facts.model_copy(update=update)


def mask_of(view: View, size_px: int) -> Mask | None:
    """Of a full picture that comes with one, its longer side `size_px`."""
    try:
        reference = reference_of(view, size_px) if view.mask else None
    except InputUnreadable:
        return None
    if reference is None or reference.mask is None or reference.kind != "full":
        return None
    return resized(reference.mask, *reference.frame(size_px))


def outline_scores(facts: Sequence[MetricFacts], true: Mask, seen: Mask) -> tuple[Score, ...]:
    """`facts`: of `outline_facts`."""
    return tuple(Score(metric=one.name, value=round(_MEASURED[one.base](true, seen), 6)) for one in facts)
