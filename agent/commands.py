"""Owns what the commands run, resume, show and verify do: open a run, hand it to the pipeline, say how it came out."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from agent import prompting
from agent.config import Config, choose_model, load_config
from agent.console import Console, answer
from agent.delivery import Result
from agent.errors import ConfigurationError, NodeUnfit, UsageError
from agent.models.base import Model
from agent.picture import Reference, read_reference
from agent.pipeline import reconstruct
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder, new_run_path
from agent.runs.journal import Journal, write_atomically
from agent.runs.run import Run
from agent.runs.stopping import stopping
from agent.tools.base import tell
from protocol.errors import ProcessFault
from sandbox.discovery import Blender, find_blender, find_blenders
from sandbox.pool import OnFault, Pool
from sandbox.snapshots import SnapshotStore

VERSION = 1
"""Of the run folder's format; a run of another is not resumed."""


def run(options: argparse.Namespace) -> int:
    """Start a run, or go on with the same one where OUT already holds it."""
    config = load_config(_settings(options), options.config)
    config = config.model_copy(update={"model": choose_model(config)})
    reference = read_reference(options.image, config.target_px)
    folder = RunFolder(options.out or new_run_path(options.image))
    if folder.exists() and not options.fresh:
        _same_run(folder, config, reference)
        if result := _finished(folder):
            return _tell(folder, result, options)
    model = make_model(config)
    blender = find_blender(config.blender)
    if folder.exists() and options.fresh:
        folder.move_aside()
    folder.prepare()
    return _work(folder, config, reference, model, blender, options)


def resume(options: argparse.Namespace) -> int:
    """Go on with the run in DIR with the settings it was started with."""
    folder = RunFolder(options.folder)
    entry, config = _begun_as(folder)
    if result := _finished(folder):
        return _tell(folder, result, options)
    reference = read_reference(folder.reference, config.target_px)
    blender = _blender_of(entry, options.blender)
    folder.prepare()
    return _work(folder, config, reference, make_model(config), blender, options)


def show(options: argparse.Namespace) -> int:
    """Print what a run has come to, from its result or its status."""
    folder = RunFolder(options.folder)
    entry = folder.first_entry()
    if result := _finished(folder):
        return _tell(folder, result, options)
    status = {**_status(folder), "state": "running" if folder.held() else "stopped"}
    if options.json:
        answer(json.dumps({"status": "unfinished", "source": entry["source"], **status}, indent=2))
        return 0
    lines = [f"{folder.path} is not finished: {status['state']} at {status.get('where', 'its start')}."]
    if status["state"] == "stopped":
        lines.append(f"Go on with: seig resume {folder.path}")
    answer("\n".join(lines))
    return 0


def _status(folder: RunFolder) -> dict[str, Any]:
    """What the run said last of itself; nothing where that cannot be read."""
    try:
        status = json.loads(folder.status.read_bytes())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def _finished(folder: RunFolder) -> Result | None:
    """The result of a finished run; a damaged one counts as none, for the journal can write it again."""
    try:
        return Result.model_validate_json(folder.result.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _tell(folder: RunFolder, result: Result, options: argparse.Namespace) -> int:
    answer(json.dumps(tell(result), indent=2) if options.json else last_screen(folder, result))
    return 0


def _begun_as(folder: RunFolder) -> tuple[dict[str, Any], Config]:
    """What the run was started with, and its settings."""
    entry = folder.first_entry()
    try:
        return entry, Config.model_validate(entry["config"])
    except ValueError:
        message = f"{folder.journal} begins with settings that this version does not know."
        raise UsageError(message, "Start anew with --fresh, or in another folder.") from None


def verify(options: argparse.Namespace) -> int:
    """The rebuild proof again, of the scene and program as they lie in the folder; 3 when they differ."""
    from agent.rebuild.proof import verify as prove_again

    folder = RunFolder(options.folder)
    entry, config = _begun_as(folder)
    if _finished(folder) is None:
        raise UsageError(f"{folder.path} is not finished, so there is nothing to verify.", "Resume it first.")
    blender = _blender_of(entry, options.blender)
    with _pool(folder, config, blender) as (pool, _):
        proof = prove_again(pool, folder.scene, folder.program.read_text(encoding="utf-8"))
    summary = f"rebuild {proof.outcome}, by Blender {proof.blender} in {proof.duration_s:.1f} s"
    lines = [summary, *(f"  {name}" for name in proof.names)]
    answer(json.dumps(tell(proof), indent=2) if options.json else "\n".join(lines))
    return 3 if proof.outcome == "different" else 0


def make_model(config: Config) -> Model:
    """The model that the settings name; raises ConfigurationError where it cannot be used."""
    if config.model == "offline":
        from agent.models.offline import OfflineModel

        return OfflineModel()
    if config.model == "recorded":
        from agent.models.recorded import RecordedModel
        from agent.runs.recording import read_replies

        if config.recording is None:
            raise ConfigurationError("the recorded model needs a recording.", "Name a run folder with --recording.")
        return RecordedModel(read_replies(config.recording))
    from agent.models.claude import Claude, ClaudeSettings, key_present

    if not key_present():
        raise ConfigurationError("the claude model needs a key.", "Set ANTHROPIC_API_KEY, or use --model offline.")
    settings = ClaudeSettings(model=config.claude_model) if config.claude_model else ClaudeSettings()
    return Claude(settings)


def _blender_of(entry: dict[str, Any], wanted: str | None) -> Blender:
    """The Blender that a run was made with: scenes of another version can be neither gone on with nor compared."""
    version = str(entry["blender"])
    if wanted is None:
        found = [one for one in find_blenders() if isinstance(one, Blender) and one.version == version]
        if found:
            return found[0]
    blender = find_blender(wanted or entry["config"]["blender"])
    if blender.version != version:
        raise NodeUnfit(
            f"the run was made with Blender {version}; here is {blender.version}.", "Name it with --blender."
        )
    return blender


def _work(
    folder: RunFolder,
    config: Config,
    reference: Reference,
    model: Model,
    blender: Blender,
    options: argparse.Namespace,
) -> int:
    with folder.lease():
        result = _finished(folder)
        if result is None:
            journal = _begun(folder, config, reference, blender, getattr(options, "image", folder.path).name)
            stream = sys.stderr if options.json else sys.stdout
            result = _reconstruct(folder, config, reference, model, blender, journal, stream)
    return _tell(folder, result, options)


def _begun(folder: RunFolder, config: Config, reference: Reference, blender: Blender, source: str) -> Journal:
    """The run's journal; a new one begins with what the run is."""
    journal = Journal(folder.path)
    if not folder.reference.exists():
        write_atomically(folder.reference, reference.png)
    if journal.begun:
        journal.note("resumed", blender=blender.version, pid=os.getpid())
        return journal
    write_atomically(folder.reference, reference.png)
    journal.note("run", **_identity(config, reference), config=tell(config), source=source, blender=blender.version)
    return journal


def _reconstruct(
    folder: RunFolder,
    config: Config,
    reference: Reference,
    model: Model,
    blender: Blender,
    journal: Journal,
    stream: TextIO,
) -> Result:
    with contextlib.ExitStack() as lifetime:
        lifetime.callback(journal.close)
        lifetime.enter_context(stopping(f"Go on with: seig resume {folder.path}"))
        lifetime.enter_context(_log(folder))
        console = lifetime.enter_context(Console(folder.status, stream))
        pool, store = lifetime.enter_context(_pool(folder, config, blender, _recording(journal)))
        run = Run(
            config=config,
            reference=reference,
            folder=folder,
            journal=journal,
            ledger=Ledger(folder.ledger, config.budget),
            console=console,
            model=model,
            blender=blender,
            store=store,
            pool=pool,
        )
        console.say(f"{folder.path}: {model.name} model, Blender {blender.version} ({blender.kind})")
        for note in reference.notes:
            console.say(f"picture: {note}")
        return reconstruct(run)


@contextlib.contextmanager
def _pool(
    folder: RunFolder, config: Config, blender: Blender, on_fault: OnFault | None = None
) -> Iterator[tuple[Pool, SnapshotStore]]:
    store, limits = SnapshotStore(folder.snapshots), config.limits.of_any_process()
    with Pool(blender, limits, store, folder.logs, standby=config.standby, on_fault=on_fault) as pool:
        yield pool, store


def _recording(journal: Journal) -> OnFault:
    """Every Blender that is lost is an event of the run."""

    def note(fault: ProcessFault) -> None:
        journal.note("fault", kind=fault.kind, method=fault.method, message=fault.message)

    return note


@contextlib.contextmanager
def _log(folder: RunFolder) -> Iterator[None]:
    """What happens in detail goes to logs/agent.log."""
    handler = logging.FileHandler(folder.logs / "agent.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def _identity(config: Config, reference: Reference) -> dict[str, Any]:
    return {
        "version": VERSION,
        "image": reference.digest,
        "settings": config.digest(),
        "prompts": prompting.prompts_digest(),
    }


def _same_run(folder: RunFolder, config: Config, reference: Reference) -> None:
    """Raises UsageError when the folder holds another run than the one that is asked for."""
    entry = folder.first_entry()
    differing = [name for name, value in _identity(config, reference).items() if entry.get(name) != value]
    if differing:
        raise UsageError(
            f"{folder.path} belongs to another run ({', '.join(differing)} differ).",
            "Choose another OUT, resume it with: seig resume DIR, or start anew with --fresh.",
        )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "preset": options.preset,
        "model": options.model,
        "claude_model": options.claude_model,
        "recording": options.recording,
        "blender": options.blender,
        "seed": options.seed,
        "rollouts": options.rollouts,
        "side_by_side": options.side_by_side,
        "budget.calls": options.max_calls,
        "budget.tokens": options.max_tokens,
        "budget.minutes": options.max_minutes,
        "budget.usd": options.max_cost,
        "limits.threads": options.threads,
        "standby": False if options.no_standby else None,
    }


def last_screen(folder: RunFolder, result: Result) -> str:
    """Where the scene is, what it scored, how long it took, and whether the rebuild was identical."""
    measures, spent = result.measures, result.spent
    score = f"PSNR {measures.psnr_db:.2f} dB, SSIM {measures.ssim:.3f}"
    score += f", IoU {measures.iou:.3f}" if measures.iou is not None else ""
    cost = "unknown price" if spent.usd is None else f"${spent.usd:.2f}"
    ended = f" ({result.stopped_by})" if result.stopped_by else ""
    minutes, seconds = divmod(round(spent.minutes * 60), 60)
    return "\n".join(
        (
            "",
            f"scene      {folder.scene}",
            f"program    {folder.program}",
            f"render     {folder.render}",
            f"score      {score}; {result.above_flat_db:+.2f} dB over a flat picture",
            f"rebuild    {result.proof.outcome} (largest deviation {result.proof.largest_deviation:g})",
            f"took       {minutes}:{seconds:02d} min, {spent.calls} model calls, {cost}",
            f"model      {result.model}, Blender {result.blender}, isolation level: {result.isolation}",
            f"status     {result.status}{ended}",
        )
    )
