"""Owns what the commands do: open a run (or a calibration), hand it on, say how it came out."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from agent.config import Config, load_config, with_budget, with_model
from agent.console import Screen, answer
from agent.delivery import Result
from agent.errors import ConfigurationError, InputUnreadable, UsageError
from agent.exit_codes import BELOW_THE_BAR
from agent.last_screen import last_screen
from agent.models.base import Model
from agent.opening import begun_as, identity, ledger_of, pool_of, work_in
from agent.picture import Reference, read_reference
from agent.progress import failure_lines
from agent.rebuild.elsewhere import verify_elsewhere
from agent.rebuild.program import made_with
from agent.rebuild.proof import Proof
from agent.rebuild.proof import verify as prove_again
from agent.runs.branching import branch, branch_path
from agent.runs.failed import failed_before
from agent.runs.folder import RunFolder, new_run_path
from agent.runs.recording import recorded_settings
from agent.runs.room import refuse_little_room
from agent.stages.table import CAMERA, REFINING
from agent.tools.base import tell
from agent.which_blender import to_go_on, to_verify
from sandbox.calling import command
from sandbox.confinement.choosing import choose
from sandbox.discovery import Blender, find_blender
from sandbox.scratch import parent as scratch_parent
from sandbox.scratch import temporary_folder

AFTER_SCAFFOLD = tuple(stage.name for stage in (*REFINING, CAMERA))


def run(options: argparse.Namespace) -> int:
    """Start a run, or go on with the same one where OUT already holds it; with --manifest, that of a batch's row."""
    if options.manifest is not None:
        from agent.farm.task import run_row

        return run_row(options, run_picture)
    if options.image is None:
        raise UsageError("no picture is named.", "Give the path of one picture file, or a --manifest.")
    return run_picture(options)


def run_picture(options: argparse.Namespace) -> int:
    """The run of one picture."""
    recorded = recorded_settings(options.recording) if options.recording else None
    own = getattr(options, "row_settings", None)
    config = with_model(load_config(settings_of(options), options.config, recorded, own))
    reference = read_reference(options.image, config.target_px)
    folder = RunFolder(options.out or new_run_path(options.image))
    going_on = folder.exists() and not options.fresh
    if going_on:
        _same_run(folder, config, reference)
        if result := _nothing_left_to_do(folder, config):
            return _tell(folder, result, options)
    folder.try_out()
    model = make_model(config)
    blender = to_go_on(folder, config.blender) if going_on else find_blender(config.blender)
    choose(config.level, config.require_level)  # refused before anything is written
    _make_room(folder, options)
    return _work(folder, config, reference, model, blender, options)


def _make_room(folder: RunFolder, options: argparse.Namespace) -> None:
    """Make the folder, with what it holds moved aside where that is asked for."""
    if folder.exists() and options.fresh:
        aside = folder.move_aside()
        with contextlib.suppress(OSError):
            print(f"The run that was in {folder.path} is now in {aside}", file=_stream(options), flush=True)
    folder.prepare()


def calibrate(options: argparse.Namespace) -> int:
    """Ask the verifiers about scenes of known worth, and say how often they err."""
    from agent.calibration.command import calibrate_in, cases_for, same_calibration
    from agent.calibration.report import summary

    cases = cases_for(options.judged)
    config = with_model(load_config(settings_of(options), options.config))
    folder = RunFolder(options.out or new_run_path(Path(f"calibration-{config.model}")))
    folder.try_out()
    model = make_model(config)
    blender = find_blender(config.blender)
    choose(config.level, config.require_level)
    if folder.exists() and not options.fresh:
        same_calibration(folder, config, blender)
    _make_room(folder, options)
    refuse_little_room(config.disk, folder.path, scratch_parent())
    with folder.lease():
        report = calibrate_in(folder, config, cases, model, blender, _stream(options))
    answer(json.dumps(tell(report), indent=2) if options.json else summary(report, folder.path))
    return 0


def resume(options: argparse.Namespace) -> int:
    """Go on with the run in DIR with the settings it was started with, and the budget that is given now."""
    folder = RunFolder(options.folder)
    if options.from_stage:
        folder = _branched(folder, options)
    elif options.out:
        raise UsageError("--out is for --from-stage.", "A run goes on in its own folder.")
    entry, config = begun_as(folder)
    config = with_budget(config, _budget(options))
    if result := _nothing_left_to_do(folder, config):
        return _tell(folder, result, options)
    reference = _reference_of(folder, entry, config)
    choose(config.level, config.require_level)
    folder.prepare()
    blender = to_go_on(folder, options.blender)
    return _work(folder, config, reference, make_model(config), blender, options)


def _branched(folder: RunFolder, options: argparse.Namespace) -> RunFolder:
    """A copy of the run as it stood when the stage began."""
    folder.first_entry()
    target = RunFolder(options.out or branch_path(folder.path, options.from_stage))
    branch(folder, options.from_stage, target)
    with contextlib.suppress(OSError):
        print(f"{folder.path} stays as it is; from {options.from_stage} on it is done again in {target.path}",
              file=_stream(options), flush=True)  # fmt: skip
    return target


def show(options: argparse.Namespace) -> int:
    """Print what a run has come to, from its result or its status."""
    folder = RunFolder(options.folder)
    entry = folder.first_entry()
    if result := _finished(folder):
        return _tell(folder, result, options)
    if failed := failed_before(folder):
        answer(json.dumps(tell(failed), indent=2) if options.json else f"{folder.path} has failed: {failed.message}")
        return 0
    status = {**folder.last_status(), "state": "running" if folder.held() else "stopped"}
    if options.json:
        answer(json.dumps({"status": "unfinished", "source": entry["source"], **status}, indent=2))
        return 0
    lines = [f"{folder.path} is not finished: {status['state']} at {status.get('where', 'its start')}."]
    if status["state"] == "stopped":
        lines.append(f"Go on with: {command('resume', folder.path)}")
    answer("\n".join(lines))
    return 0


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
    may_go_on = result.status == "budget_stopped" and ledger_of(folder, config).reached() is None
    return None if may_go_on else result


def _tell(folder: RunFolder, result: Result, options: argparse.Namespace) -> int:
    answer(json.dumps(tell(result), indent=2) if options.json else last_screen(folder, result))
    if not getattr(options, "strict", False) or result.status == "accepted":
        return 0
    said = f"finished as {result.status}, and only accepted will do."
    answer("\n".join(failure_lines(options.progress, result.status, BELOW_THE_BAR, said)))
    return BELOW_THE_BAR


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
    folder = RunFolder(options.folder)
    _, config = begun_as(folder)
    result = _finished(folder)
    if result is None:
        message = f"{folder.path} is not finished, so there is nothing to verify."
        raise UsageError(message, f"Go on with it first: {command('resume', folder.path)}")
    program = _delivered(folder)
    maker = made_with(program) or result.blender
    proof = _proved_again(folder, config, program, maker, to_verify(folder, maker, options.blender))
    answer(json.dumps(tell(proof), indent=2) if options.json else "\n".join(proof.told()))
    return 3 if proof.outcome == "different" else 0


def _proved_again(
    folder: RunFolder, config: Config, program: str, maker: str, blenders: tuple[Blender | None, Blender]
) -> Proof:
    """The proof in the Blender that made the scene, or in another, beside the one that reads it where there is one."""
    reader, builder = blenders
    with contextlib.ExitStack() as lifetime:
        aside = lifetime.enter_context(temporary_folder())  # DIR may be read-only
        pool, _ = lifetime.enter_context(pool_of(RunFolder(aside / "builder"), config, builder))
        if reader == builder:
            return prove_again(pool, folder.scene, program)
        alone = config.model_copy(update={"standby": False})
        reading = lifetime.enter_context(pool_of(RunFolder(aside / "reader"), alone, reader))[0] if reader else None
        return verify_elsewhere(reading, pool, folder.scene, program, maker)


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
    named = {"model": config.claude_model} if config.claude_model else {}
    by_role = {"model_by_role": config.claude_models, "effort_by_role": config.claude_efforts}
    return Claude(ClaudeSettings.model_validate({**named, **by_role}))


def _work(
    folder: RunFolder,
    config: Config,
    reference: Reference,
    model: Model,
    blender: Blender,
    options: argparse.Namespace,
) -> int:
    refuse_little_room(config.disk, folder.path, scratch_parent())
    with folder.lease():
        result = _nothing_left_to_do(folder, config)
        if result is None:
            source = getattr(options, "image", folder.path).name
            screen = Screen(_stream(options), getattr(options, "progress", "none"))
            result = work_in(folder, config, reference, model, blender, source, screen)
    return _tell(folder, result, options)


def _stream(options: argparse.Namespace) -> TextIO:
    """Where the run tells its story: beside a result that a program reads."""
    return sys.stderr if options.json else sys.stdout


def _same_run(folder: RunFolder, config: Config, reference: Reference) -> None:
    """Raises UsageError when the folder holds another run than the one that is asked for."""
    entry = folder.first_entry()
    differing = [name for name, value in identity(config, reference).items() if entry.get(name) != value]
    if differing:
        differ = "differs" if len(differing) == 1 else "differ"
        raise UsageError(
            f"{folder.path} belongs to another run ({', '.join(differing)} {differ}).",
            f"Choose another OUT, start anew with --fresh, or go on with that one: {command('resume', folder.path)}",
        )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line says of settings: dotted name → value, None where it says nothing."""
    return {
        "preset": options.preset,
        "model": options.model or ("recorded" if options.recording else None),
        **dict(options.claude_model),
        "recording": options.recording,
        "blender": options.blender,
        "seed": options.seed,
        "rollouts": options.rollouts,
        "side_by_side": options.side_by_side,
        **_budget(options),
        **_left_out(options.stages),
        "limits.threads": options.threads,
        "standby": False if options.no_standby else None,
        "level": options.level,
        "require_level": options.require_level,
        "gpu": options.gpu,
    }


def _left_out(stages: Sequence[str] | None) -> dict[str, Any]:
    """No rounds for the stages after the scaffold that are not named."""
    return {f"rounds.{name}": 0 for name in AFTER_SCAFFOLD if stages is not None and name not in stages}


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "budget.calls": options.max_calls,
        "budget.tokens": options.max_tokens,
        "budget.minutes": options.max_minutes,
        "budget.usd": options.max_cost,
    }
