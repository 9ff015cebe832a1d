"""Owns whether found values are a gain: at the size that is measured elsewhere too, not bought with other figures."""

from __future__ import annotations

from agent.evaluation.measures import Measures, measure
from agent.tools.objectives import Goal, objective_for, seen_region
from agent.tools.workbench import Workbench

MIN_GAIN = 0.01
"""Smallest part of the objective that is worth an edit (0.09 dB): below it lies the noise of rendering."""
MOST_SSIM_LOST, MOST_PSNR_LOST_DB, MOST_LUMINANCE_LOST = 0.002, 0.1, 1.1
"""What a fit may lose all over while it gains in what it was asked for; PSNR and luminance, where it was asked for
colours. Luminance: how many times farther from the reference's."""
MOST_SSIM_LOST_BY_POINTS, MOST_IOU_LOST, MOST_EDGE_LOST = 0.01, 0.01, 1.1
"""The same of a camera from points; edges: times their distance."""
MOST_EDGE_LOST_BY_MOVING = 1.01
"""Of what moves by the look of the picture: a texture may draw it off its outlines."""
LEAST_PSNR_DB, LEAST_IOU, LEAST_EDGE, LEAST_REPROJECTION = 0.05, 0.005, 0.98, 0.8
"""What counts as better of a camera from points; distances of edges and points: times what they were."""


def losses(
    bench: Workbench,
    source: str,
    goal: Goal,
    names: frozenset[str],
    off_px: tuple[float, float] | None,
    moves: bool = False,
) -> dict[str, list[float]]:
    """What an edit would make worse, from what to what; empty where it is a gain.

    `names`: of the objects in whose region the goal is; none: everywhere. `off_px`: of a camera from points, how far
    off they are seen, before and after: a gain too where that is much less and nothing got clearly worse.
    `moves`: the camera or an object, so that outlines may not get worse either.
    """
    px = bench.run.config.look_px
    region = seen_region(bench, set(names), px) if names else None
    objective, reference = objective_for(goal, bench, px, region), bench.run.reference
    png = bench.render()
    before, measures = objective(png), measure(reference, png)
    with bench.temporary() as session:
        session.execute(source)
        png = bench.render()
    after, then = objective(png), measure(reference, png)
    error = {"goal_error": [round(before, 6), round(after, 6)]}
    if off_px is None:
        fallen = _fallen(measures, then, goal, MOST_SSIM_LOST)
        if moves:
            fallen |= _fallen_outlines(measures, then, MOST_EDGE_LOST_BY_MOVING)
        return ({} if is_gain(before, after) else error) | fallen
    if after < (1 + MIN_GAIN) * before and _is_better(measures, then):
        return {}
    fallen = _fallen(measures, then, goal, MOST_SSIM_LOST_BY_POINTS) | _fallen_outlines(measures, then, MOST_EDGE_LOST)
    if off_px[1] < LEAST_REPROJECTION * off_px[0]:
        return fallen
    return {"reprojection_px": [round(one, 3) for one in off_px]} | error | fallen


def is_gain(before: float, after: float) -> bool:
    """Of two values of an objective."""
    return after < (1 - MIN_GAIN) * before


def _fallen(before: Measures, after: Measures, goal: Goal, most_ssim: float) -> dict[str, list[float]]:
    """Figures that a fit may not pay with, from what to what."""
    fallen = {"ssim": [before.ssim, after.ssim]} if after.ssim < before.ssim - most_ssim else {}
    if goal == "silhouette":
        return fallen
    if after.psnr_db < before.psnr_db - MOST_PSNR_LOST_DB:
        fallen["psnr_db"] = [before.psnr_db, after.psnr_db]
    if _times_off(after.luminance_ratio) > MOST_LUMINANCE_LOST * _times_off(before.luminance_ratio):
        fallen["luminance_ratio"] = [before.luminance_ratio, after.luminance_ratio]
    return fallen


def _times_off(ratio: float) -> float:
    return max(ratio, 1 / max(ratio, 1e-3))


def _fallen_outlines(before: Measures, after: Measures, most_edge: float) -> dict[str, list[float]]:
    fallen = {}
    if before.iou is not None and after.iou is not None and after.iou < before.iou - MOST_IOU_LOST:
        fallen["iou"] = [before.iou, after.iou]
    if after.edge_px > most_edge * before.edge_px:
        fallen["edge_px"] = [before.edge_px, after.edge_px]
    return fallen


def _is_better(before: Measures, after: Measures) -> bool:
    """In one figure at least."""
    iou = (after.iou or 0.0) - (before.iou or 0.0)
    edges = after.edge_px < LEAST_EDGE * before.edge_px
    return after.psnr_db > before.psnr_db + LEAST_PSNR_DB or iou > LEAST_IOU or edges
