"""Owns the content of metrics.json: what a run scored, stage by stage, beside what an empty answer would score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.evaluation.measures import SSIM_NAME, Measures, flat_picture, measure
from agent.picture import Reference, encode_png
from protocol.models import Value


class PictureFacts(Value):
    digest: str
    """SHA-256 of the source file."""
    kind: Literal["cutout", "full"]
    width_px: int
    height_px: int
    notes: tuple[str, ...]


class Baseline(Value):
    """What a picture of the reference's mean colour scores: a reconstruction below it shows nothing."""

    psnr_db: float
    ssim: float


class StageMetrics(Value):
    stage: str
    measures: Measures
    """Of the stage's accepted scene."""
    gain_db: float
    """PSNR over the stage before; 0 for the first."""


class Metrics(Value):
    version: Literal[1] = 1
    picture: PictureFacts
    final: Measures
    """Of the delivered render."""
    stages: tuple[StageMetrics, ...]
    flat_picture: Baseline
    above_flat_db: float
    """PSNR of the delivered render over the flat picture's."""
    ssim_variant: str = SSIM_NAME


def metrics_of(reference: Reference, final_png: bytes, stages: Sequence[tuple[str, bytes]]) -> Metrics:
    """From the delivered render and one render for each stage, in order."""
    final, flat = measure(reference, final_png), baseline(reference)
    return Metrics(
        picture=PictureFacts(
            digest=reference.digest,
            kind=reference.kind,
            width_px=reference.width_px,
            height_px=reference.height_px,
            notes=reference.notes,
        ),
        final=final,
        stages=stage_metrics(reference, stages),
        flat_picture=flat,
        above_flat_db=round(final.psnr_db - flat.psnr_db, 6),
    )


def baseline(reference: Reference) -> Baseline:
    flat = measure(reference, encode_png(flat_picture(reference)))
    return Baseline(psnr_db=flat.psnr_db, ssim=flat.ssim)


def stage_metrics(reference: Reference, stages: Sequence[tuple[str, bytes]]) -> tuple[StageMetrics, ...]:
    """The renders of one run's stages, all of one size."""
    results: list[StageMetrics] = []
    for name, png in stages:
        measures = measure(reference, png)
        before = results[-1].measures.psnr_db if results else measures.psnr_db
        results.append(StageMetrics(stage=name, measures=measures, gain_db=round(measures.psnr_db - before, 6)))
    return tuple(results)
