"""Owns the early alignment: the chosen scaffold's camera is brought to the picture before anything is refined.

A camera that a model writes is some degrees and a tenth of the distance off, and everything after it is judged through
it. First the outline's middle and size are matched, then all is fitted; committed as one ordinary edit if it measures
better, remembered as one step of the journal.
"""

from __future__ import annotations

import numpy as np

from agent.evaluation.measures import Measures, measure
from agent.tools.fitting.facts import CameraFacts, ObjectFacts, SceneFacts
from agent.tools.fitting.poses import Knobs, camera_knobs
from agent.tools.fitting.registration import register
from agent.tools.fitting.trial import Trial, Unfit, inspected
from agent.tools.objectives import alpha_of, mask_pixels, objective_for
from agent.tools.workbench import Workbench, once_more
from protocol.errors import ProcessFault, RequestFailed, ScriptFailed
from protocol.models import Value

REACH = 4.0
"""Times what the fit tool may move a camera."""
LABEL = "alignment of the camera"
LEAST_LOOKS = 12
MATCHES = 2
"""Of the outline's middle and size: each starts from what the one before came to."""
PROMISING = 0.02
"""Part of the objective that a few dozen looks must gain, or the rest gains nothing either. Less comes by chance: the
noise of a small render differs from view to view."""
LEAST_PSNR_DB, LEAST_IOU = 0.05, 0.005
"""Gains that are worth an edit."""
MOST_PSNR_DB, MOST_IOU, MOST_SSIM = 0.1, 0.005, 0.01
"""Losses that undo a gain elsewhere."""


class Alignment(Value):
    """What an alignment came to."""

    committed: bool
    head: str
    """Id of the snapshot that is the scene afterwards."""
    looks: int = 0
    before: Measures | None = None
    after: Measures | None = None
    """Of what was found, whether it was committed or not."""
    reason: str = ""
    """Why nothing was committed."""

    def told(self) -> str:
        """In a few words, for a person."""
        if not self.committed or self.before is None or self.after is None:
            return f"the camera stays: {self.reason}"
        gain = f"{self.before.psnr_db:.2f} → {self.after.psnr_db:.2f} dB"
        if self.before.iou is not None and self.after.iou is not None:
            gain += f", IoU {self.before.iou:.3f} → {self.after.iou:.3f}"
        return f"the camera was aligned in {self.looks} looks: {gain}"


def align(bench: Workbench) -> Alignment:
    """Fit the target camera to the picture; the bench's head is then the aligned scene, or stays.

    In a stage whose scope has "camera". Never raises for a scene that cannot be aligned.
    """

    def work() -> Alignment:
        try:
            return once_more(lambda: _aligned(bench))
        except (RequestFailed, ProcessFault, ScriptFailed, Unfit) as error:
            return Alignment(committed=False, head=bench.head.id, reason=str(error))

    bench.run.console.step("alignment", "of the camera to the picture", 32)
    result = bench.run.journal.step(f"align/{bench.head.id}", Alignment, work)
    bench.move_to(result.head, result.committed)
    return result


def _aligned(bench: Workbench) -> Alignment:
    config, head = bench.run.config, bench.head.id
    if "camera" not in bench.stage.scope:
        raise Unfit(f"the {bench.stage.name} stage may not change the camera")
    if config.align_looks < LEAST_LOOKS:
        raise Unfit("it is switched off" if not config.align_looks else f"{config.align_looks} looks are too few")
    scene = inspected(bench, SceneFacts, "scene")
    knobs = camera_knobs(
        scene, inspected(bench, ObjectFacts, "object", scene.camera.name if scene.camera else ""), REACH
    )
    assert scene.camera is not None
    before = measure(bench.run.reference, bench.render())
    objective = objective_for("all", bench, config.fit_px)
    with bench.temporary() as session:
        trial = Trial(bench, session, config.fit_px, config.fit_samples, config.align_looks)
        start = matched_outline(trial, knobs, scene.camera)
        best = register(trial, knobs, objective, start, config.seed, REACH, PROMISING)
        session.execute(knobs.source(best))
        after = measure(bench.run.reference, bench.render())
    found = Alignment(committed=False, head=head, looks=trial.count, before=before, after=after)
    if reason := _no_gain(before, after):
        return found.model_copy(update={"reason": reason})
    outcome = bench.edit(knobs.source(best), LABEL)
    if outcome.snapshot is None:
        return found.model_copy(update={"reason": outcome.message})
    return found.model_copy(update={"committed": True, "head": outcome.snapshot.id})


def _no_gain(before: Measures, after: Measures) -> str:
    """Why what was found is not worth an edit; empty where it is."""
    iou = (after.iou or 0.0) - (before.iou or 0.0)
    psnr_db, ssim = after.psnr_db - before.psnr_db, after.ssim - before.ssim
    if psnr_db < LEAST_PSNR_DB and iou < LEAST_IOU:
        return "no better view was found"
    if psnr_db < -MOST_PSNR_DB or iou < -MOST_IOU or ssim < -MOST_SSIM:
        return "what was gained in one measure was lost in another"
    return ""


def matched_outline(trial: Trial, knobs: Knobs, camera: CameraFacts) -> list[float]:
    """Values by which the outline's middle and size in the picture become the reference's; 0 where there is none."""
    names = [one.name for one in knobs.numbers]
    values, reference = [0.0] * len(names), trial.bench.run.reference
    if reference.mask is None:
        return values
    wanted = _middle_and_size(mask_pixels(reference, trial.size))
    for _ in range(MATCHES):
        seen = _middle_and_size(alpha_of(trial.look(knobs.source(values))))
        if wanted is None or seen is None:
            break
        right, down, larger = wanted[0] - seen[0], wanted[1] - seen[1], float(np.log(wanted[2] / seen[2]))
        across, upright = _spans_deg(camera, trial.size)
        moves = {"pan": right * across, "tilt": down * upright, "size": larger}
        values = [
            float(np.clip(value + moves.get(one.name, 0.0), one.lower, one.upper))
            for one, value in zip(knobs.numbers, values, strict=True)
        ]
    return values


def _middle_and_size(covered: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float, float] | None:
    """Middle across and down as fractions, and the root of the covered part of the picture; None where all is clear."""
    total = float(covered.sum())
    if total < 1.0:
        return None
    down, across = np.indices(covered.shape)
    height, width = covered.shape
    return (
        float((covered * (across + 0.5)).sum() / total / width),
        float((covered * (down + 0.5)).sum() / total / height),
        float(np.sqrt(total / covered.size)),
    )


def _spans_deg(camera: CameraFacts, size: tuple[int, int]) -> tuple[float, float]:
    """By how much a camera turns for the picture to shift by its own width, and by its height, near the middle."""
    if camera.type == "ORTHO":
        longer = max(size)
        return float(np.degrees(size[0] / longer)), float(np.degrees(size[1] / longer))
    horizontal, vertical = (np.degrees(2 * np.tan(np.radians(angle) / 2)) for angle in camera.fov_deg)
    return float(horizontal), float(vertical)
