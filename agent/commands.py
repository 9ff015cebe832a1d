"""Owns what the commands run, resume, show and verify do: open a run, hand it to the pipeline, say how it came out."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from agent import prompting
from agent.config import Config, choose_model, load_config, with_budget
from agent.console import Console, answer
from agent.conversation import book_lost
from agent.delivery import Result, isolation
from agent.errors import ConfigurationError, InputUnreadable, Interrupted, NodeUnfit, RunError, UsageError
from agent.models.base import Model
from agent.picture import Reference, read_reference
from agent.pipeline import reconstruct
from agent.rebuild.proof import Proof
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder, new_run_path
from agent.runs.journal import Journal, write_atomically
from agent.runs.run import Run
from agent.runs.stopping import stopping
from agent.tools.base import tell
from protocol.errors import ProcessFault
from sandbox.calling import command
from sandbox.confinement.choosing import choose
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
        if result := _nothing_left_to_do(folder, config):
            return _tell(folder, result, options)
    folder.try_out()
    model = make_model(config)
    blender = find_blender(config.blender)
    choose(config.level, config.require_level)  # refused before anything is written
    if folder.exists() and options.fresh:
        aside = folder.move_aside()
        with contextlib.suppress(OSError):
            print(f"The run that was in {folder.path} is now in {aside}", file=_stream(options), flush=True)
    folder.prepare()
    return _work(folder, config, reference, model, blender, options)


def resume(options: argparse.Namespace) -> int:
    """Go on with the run in DIR with the settings it was started with, and the budget that is given now."""
    folder = RunFolder(options.folder)
    entry, config = _begun_as(folder)
    config = with_budget(config, _budget(options))
    if result := _nothing_left_to_do(folder, config):
        return _tell(folder, result, options)
    reference = _reference_of(folder, entry, config)
    choose(config.level, config.require_level)
    folder.prepare()
    blender = _blender_of(entry, options.blender)
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
        lines.append(f"Go on with: {command('resume', folder.path)}")
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


def _nothing_left_to_do(folder: RunFolder, config: Config) -> Result | None:
    """The result of a run that is finished, unless a larger budget lets it go on or what it handed over is gone."""
    result = _finished(folder)
    if result is None or not all(path.exists() for path in (folder.scene, folder.program, folder.render)):
        return None
    may_go_on = result.status == "budget_stopped" and _ledger(folder, config).reached() is None
    return None if may_go_on else result


def _ledger(folder: RunFolder, config: Config) -> Ledger:
    return Ledger(folder.ledger, config.budget, folder.history().minutes)


def _tell(folder: RunFolder, result: Result, options: argparse.Namespace) -> int:
    answer(json.dumps(tell(result), indent=2) if options.json else last_screen(folder, result))
    return 0


def _begun_as(folder: RunFolder) -> tuple[dict[str, Any], Config]:
    """What the run was started with, and its settings, with the budget that it was last given."""
    entry = folder.first_entry()
    try:
        config = Config.model_validate(entry["config"])
        return entry, config.model_copy(update={"budget": folder.history().budget or config.budget})
    except ValueError:
        message = f"{folder.journal} begins with settings that this version does not know."
        raise UsageError(message, "Start anew with --fresh, or in another folder.") from None


def _reference_of(folder: RunFolder, entry: dict[str, Any], config: Config) -> Reference:
    """The picture that the run was started with, as it lies in its folder."""
    run_again = command("run", entry["source"], out=folder.path)
    again = f"Give the picture again, with the options of then, and the run goes on: {run_again}"
    try:
        reference = read_reference(folder.reference, config.target_px)
    except InputUnreadable as error:
        raise InputUnreadable(error.message, again) from error
    if reference.digest != entry.get("image"):
        raise InputUnreadable(f"{folder.reference} is not the picture that the run was started with.", again)
    return reference


def verify(options: argparse.Namespace) -> int:
    """The rebuild proof again, of the scene and program as they lie in the folder; 3 when they differ."""
    from agent.rebuild.proof import verify as prove_again

    folder = RunFolder(options.folder)
    entry, config = _begun_as(folder)
    if _finished(folder) is None:
        message = f"{folder.path} is not finished, so there is nothing to verify."
        raise UsageError(message, f"Go on with it first: {command('resume', folder.path)}")
    program = _delivered(folder)
    blender = _blender_of(entry, options.blender)
    with tempfile.TemporaryDirectory(prefix="seig-verify-") as aside:  # the run's own folder may be read-only
        with _pool(RunFolder(Path(aside)), config, blender) as (pool, _):
            proof = prove_again(pool, folder.scene, program)
    summary = f"rebuild {proof.outcome}, by Blender {proof.blender} in {proof.duration_s:.1f} s"
    lines = [summary, *(f"  {name}" for name in proof.names)]
    answer(json.dumps(tell(proof), indent=2) if options.json else "\n".join(lines))
    return 3 if proof.outcome == "different" else 0


def _delivered(folder: RunFolder) -> str:
    """The program of a finished run. Raises InputUnreadable where it or the scene cannot be read."""
    try:
        with folder.scene.open("rb"):
            return folder.program.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{error.filename} cannot be read: {(error.strerror or str(error)).lower()}."
        again = f"The run writes it again from its record: {command('resume', folder.path)}"
        remedy = again if isinstance(error, FileNotFoundError) else "See to its rights."
        raise InputUnreadable(message, remedy) from None
    except UnicodeDecodeError:
        message = f"{folder.program} was changed from outside: it is no UTF-8 text."
        raise InputUnreadable(message, f"Remove it, then: {command('resume', folder.path)}") from None


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
        result = _nothing_left_to_do(folder, config)
        if result is None:
            source = getattr(options, "image", folder.path).name
            result = _reconstruct(folder, config, reference, model, blender, source, _stream(options))
    return _tell(folder, result, options)


def _stream(options: argparse.Namespace) -> TextIO:
    """Where the run tells its story: beside a result that a program reads."""
    return sys.stderr if options.json else sys.stdout


def _begun(folder: RunFolder, config: Config, reference: Reference, blender: Blender, source: str) -> Journal:
    """The run's journal; a new one begins with what the run is."""
    journal = Journal(folder.path)
    write_atomically(folder.reference, reference.png)
    if journal.begun:
        folder.result.unlink(missing_ok=True)  # it is written when the run has finished, anew
        journal.note("resumed", blender=blender.version, pid=os.getpid(), budget=tell(config.budget))
    else:
        identity = _identity(config, reference)
        journal.note("run", **identity, config=tell(config), source=source, blender=blender.version)
    return journal


def _reconstruct(
    folder: RunFolder,
    config: Config,
    reference: Reference,
    model: Model,
    blender: Blender,
    source: str,
    stream: TextIO,
) -> Result:
    with contextlib.ExitStack() as lifetime:
        ledger = _ledger(folder, config)
        journal = _begun(folder, config, reference, blender, source)
        lifetime.callback(journal.close)
        lifetime.enter_context(stopping(f"Go on with: {command('resume', folder.path)}"))
        lifetime.enter_context(_log(folder))
        console = lifetime.enter_context(Console(folder.status, stream, ledger.spent().minutes * 60))
        lifetime.enter_context(_failure_noted(journal, ledger))
        pool, store = lifetime.enter_context(_pool(folder, config, blender, _recording(journal)))
        journal.note("box", level=str(pool.level), word=pool.level.word, blender=blender.version)
        run = Run(
            config=config,
            reference=reference,
            folder=folder,
            journal=journal,
            ledger=ledger,
            console=console,
            model=model,
            blender=blender,
            store=store,
            pool=pool,
        )
        blenders = f"Blender {blender.version} ({blender.kind})"
        console.say(f"{folder.path}: {model.name} model, {blenders}, isolation {isolation(pool)}")
        for note in reference.notes:
            console.say(f"picture: {note}")
        journal.tell_of_damage(console.say)
        if lost := book_lost(journal, ledger):
            console.say(f"{lost} model calls were under way when the run was killed; booked at the most they can cost")
        return reconstruct(run)


@contextlib.contextmanager
def _failure_noted(journal: Journal, ledger: Ledger) -> Iterator[None]:
    """What ends a run without a result is an event of it; not being asked to stop, which leaves no time."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk may well be the failure
            code = error.exit_code if isinstance(error, RunError) else None
            kind, minutes = type(error).__name__, ledger.spent().minutes
            journal.note("failed", kind=kind, message=str(error), exit_code=code, minutes=minutes)
        raise


@contextlib.contextmanager
def _pool(
    folder: RunFolder, config: Config, blender: Blender, on_fault: OnFault | None = None
) -> Iterator[tuple[Pool, SnapshotStore]]:
    store, limits = SnapshotStore(folder.snapshots), config.limits.of_any_process()
    level = choose(config.level, config.require_level)
    with Pool(blender, limits, store, folder.logs, config.standby, on_fault, level, config.gpu) as pool:
        yield pool, store


def _recording(journal: Journal) -> OnFault:
    """Every Blender that is lost is an event of the run."""

    def note(fault: ProcessFault) -> None:
        journal.note("fault", kind=fault.kind, method=fault.method, message=fault.message, level=fault.level)

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
        differ = "differs" if len(differing) == 1 else "differ"
        raise UsageError(
            f"{folder.path} belongs to another run ({', '.join(differing)} {differ}).",
            f"Choose another OUT, start anew with --fresh, or go on with that one: {command('resume', folder.path)}",
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
        **_budget(options),
        "limits.threads": options.threads,
        "standby": False if options.no_standby else None,
        "level": options.level,
        "require_level": options.require_level,
        "gpu": True if options.gpu else None,
    }


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "budget.calls": options.max_calls,
        "budget.tokens": options.max_tokens,
        "budget.minutes": options.max_minutes,
        "budget.usd": options.max_cost,
    }


def last_screen(folder: RunFolder, result: Result) -> str:
    """Where the scene is, what it scored, how long it took, and whether the rebuild was identical."""
    measures, spent = result.measures, result.spent
    score = f"PSNR {measures.psnr_db:.2f} dB, SSIM {measures.ssim:.3f}"
    score += f", IoU {measures.iou:.3f}" if measures.iou is not None else ""
    cost = "unknown price" if spent.usd is None else f"${spent.usd:.2f}"
    place = "over" if result.above_flat_db >= 0 else "under"
    ended = f" ({result.stopped_by})" if result.stopped_by else ""
    more = [f"go on      with a larger one: {_with_more(folder, result)}"] if result.stopped_by else []
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
            f"model      {result.model}, Blender {result.blender}, isolation {result.isolation}",
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
        reached = Ledger(folder.ledger, _begun_as(folder)[1].budget, result.spent.minutes).reached()
    return command("resume", folder.path, *(reached.larger() if reached else ()))
