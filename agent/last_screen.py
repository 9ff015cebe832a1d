"""Owns the last screen: where the scene is, what it scored, how long it took, and what would go on with it."""

from __future__ import annotations

import contextlib

from agent.delivery import Result
from agent.errors import UsageError
from agent.opening import begun_as
from agent.rebuild.proof import Proof
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from sandbox.calling import command


def last_screen(folder: RunFolder, result: Result) -> str:
    """Where the scene is, what it scored, how long it took, and whether the rebuild was identical."""
    measures, spent = result.measures, result.spent
    score = f"PSNR {measures.psnr_db:.2f} dB, SSIM {measures.ssim:.3f}"
    score += f", IoU {measures.iou:.3f}" if measures.iou is not None else ""
    cost = "unknown price" if spent.usd is None else f"${spent.usd:.2f}"
    place = "over" if result.above_flat_db >= 0 else "under"
    blenders = ", then ".join(result.blenders) or result.blender
    ended = f" ({result.stopped_by})" if result.stopped_by else ""
    more = [f"replay     {result.recording.told()}"] if result.recording else []
    more += [f"go on      with a larger one: {_with_more(folder, result)}"] if result.stopped_by else []
    minutes, seconds = divmod(round(spent.minutes * 60), 60)
    return "\n".join(
        (
            "",
            f"scene      {folder.scene}",
            f"program    {folder.program}",
            f"render     {folder.render}",
            f"score      {score}; {abs(result.above_flat_db):.2f} dB {place} a flat picture",
            f"rebuild    {_rebuilt(result.proof)}",
            f"took       {minutes}:{seconds:02d} min, {spent.calls} model calls, {cost}",
            f"model      {result.model}, Blender {blenders}, isolation {result.isolation}",
            *([f"picture    {result.render.told()}"] if result.render else []),
            f"status     {result.status}{ended}",
            *more,
        )
    )


def _rebuilt(proof: Proof) -> str:
    if proof.outcome == "equivalent" and not proof.largest_deviation:
        return "equivalent (mesh elements in another order, nothing else)"
    return f"{proof.outcome} (largest deviation {proof.largest_deviation:g})"


def _with_more(folder: RunFolder, result: Result) -> str:
    """The command that goes on with a run that its budget ended."""
    reached = None
    with contextlib.suppress(UsageError):  # settings of another version
        reached = Ledger(folder.ledger, begun_as(folder)[1].budget, result.spent.minutes).reached()
    return command("resume", folder.path, *(reached.larger() if reached else ()))
