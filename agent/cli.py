"""Owns the command line: parse, call, print, exit code. Imports the heavy parts only when a command needs them."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

from agent.progress import FORMATS
from protocol.gpu import GpuKind
from protocol.printable import printable

if TYPE_CHECKING:
    from agent.progress import Progress

STAGES = ("geometry", "material", "composition", "lighting", "camera")
"""That come after the scaffold."""

EXIT_CODES = """exit codes:
  0   finished (result.json says: accepted, best_effort or budget_stopped); of a batch or an
      experiment: every row is final
  3   verify: the rebuilt scene differs; with --strict: not every stage, or not every row, was accepted
  10  a budget is used up and there is no usable scene: resume with a larger one
  64  wrong usage; an output folder that belongs to another run
  65  the picture, or the scene to verify, cannot be read
  69  this machine cannot do it: no Blender, disk full, folder not writable
  70  a defect of this program, a scene that Blender cannot bear, or a row that was interrupted too often
  75  interrupted, in use, the service is out of reach, or Blender fails to start again and again: resume later;
      of a batch or an experiment: not every row is final
  78  a setting in a file, a key or a model is refused"""

FARM_COMMANDS = {
    "status": "what has become of each row",
    "collect": "write a batch's report: batch.json, batch.csv, batch.html",
    "retry": "hand in again what is not final",
}
BATCH_STOP_S = 8.0
"""For what runs rows, which need some seconds to stop themselves."""
STRICT = "exit with 3 unless every row is accepted"
ENGINES = ("slurm", "openjd")
SMALLEST_PX, LARGEST_PX = 32, 4096
"""Of the longer side of what is evaluated."""
ROLES = ("generator", "verifier", "selector", "decomposer")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its documented code; no traceback for anything that a user can cause."""
    _open_streams()
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if not hasattr(options, "command"):
        _parser().print_help()
        sys.exit(64)
    try:
        code = options.command(options)
    except (Exception, KeyboardInterrupt) as error:
        code = _tell(error, getattr(options, "progress", "none"))
    _leave(code)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command line asks for; ends with a usage message (exit code 64) where it cannot be understood."""
    own: list[str] = list(arguments)
    run: list[str] = []
    if own[:1] in (["batch"], ["experiment"]) or own[:2] == ["farm", "submit"]:  # what follows "--" is for each run
        own, run = (own[: own.index("--")], own[own.index("--") + 1 :]) if "--" in own else (own, [])
    options = _parser().parse_args(own)
    options.run = run
    return options


def _tell(error: BaseException, progress: Progress = "none") -> int:
    """Say what ended the command, to a farm's engine too where it listens, and the exit code for it."""
    from agent.failures import failure_of  # takes a while, and --help needs none of it
    from agent.progress import failure_lines

    failure = failure_of(error)
    with contextlib.suppress(OSError):
        for line in failure_lines(progress, failure.failure_class, failure.exit_code, failure.message):
            print(line, flush=True)
    with contextlib.suppress(OSError):
        if failure.is_defect:
            traceback.print_exception(error)
        print(f"seig: {printable(failure.message.strip())}", file=sys.stderr, flush=True)
    return failure.exit_code


def _open_streams() -> None:
    """Standard streams that exist, so that no file of ours takes their place, and that can say any name."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdout, sys.stderr = sys.stdout or os.fdopen(1, "w"), sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave(code: int) -> NoReturn:
    """Exit without waiting for threads that may hang in a call; everything that counts is on disk."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"seig: {message}", file=sys.stderr)
        sys.exit(64)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="seig",
        description="Turn one picture into an editable Blender scene and the program that builds it.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_run(commands)
    _add_batch(commands)
    _add_farm(commands)
    _add_experiment(commands)
    _add_calibrate(commands)
    _add_evaluate(commands)
    resume = _add(
        commands, "resume", "go on with a run that was stopped or killed, or whose budget was used up", "resume"
    )
    resume.add_argument("folder", type=_folder, metavar="DIR")
    resume.add_argument("--blender", help="Blender to use: a path, a version, or 'wheel'")
    resume.add_argument("--from-stage", choices=STAGES, help="do this stage and those after it again, in a copy of DIR")
    resume.add_argument("--out", type=_folder, metavar="DIR", help="where to, with --from-stage")
    _add_budget(resume)
    resume.add_argument("--json", action="store_true", help="print the result as JSON")
    show = _add(commands, "show", "say what a run has come to", "show")
    show.add_argument("folder", type=_folder, metavar="DIR")
    show.add_argument("--json", action="store_true", help="print result and spending as JSON")
    verify = _add(commands, "verify", "rebuild a finished run's scene from its program and compare", "verify")
    verify.add_argument("folder", type=_folder, metavar="DIR")
    verify.add_argument("--blender", help="Blender to build it in; default: the one that made the scene")
    verify.add_argument("--json", action="store_true", help="print the proof as JSON")
    doctor = _add(commands, "doctor", "what this machine has and lacks, with a fix for each thing missing", "doctor")
    doctor.add_argument("--json", action="store_true")
    blenders = _add(commands, "blenders", "the Blenders of this machine and what each can do", "blenders")
    blenders.add_argument("--json", action="store_true")
    return parser


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    run = _add(commands, "run", "turn a picture into a scene", "run")
    run.add_argument("image", type=_picture, nargs="?", metavar="IMAGE", help="PNG, JPEG, WebP, … of any size")
    run.add_argument("--rollouts", type=int, help="independent candidates of scene graph and scaffold")
    run.add_argument(
        "--stages", type=_stages, metavar="A,B", help=f"only these of {', '.join(STAGES)}; the scaffold is always made"
    )
    run.add_argument("--strict", action="store_true", help="exit with 3 unless every stage was approved")
    run.add_argument(
        "--progress", choices=FORMATS, default="none", help="print lines by which a farm's engine follows the run"
    )
    _add_settings(run, "runs/<picture's name>")
    farm = run.add_argument_group("one row of a batch, as a farm calls it")
    farm.add_argument("--manifest", type=Path, metavar="FILE", help="CSV or JSON lines, a row per picture")
    farm.add_argument("--index", type=int, metavar="K", help="the row of the manifest, from 1")
    farm.add_argument("--path-map", type=Path, metavar="FILE", help="where this machine has the paths: JSON")
    farm.add_argument("--max-attempts", type=_positive, metavar="N", help="give up a row interrupted so often (5)")
    farm.add_argument("--retry-failed", action="store_true", help="try again what has failed for good")


def _add_batch(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "every row of a manifest on this machine; what follows -- is for each run"
    batch = _add(commands, "batch", text, "batch")
    _add_manifest(batch)
    _add_rate(batch)
    batch.add_argument("--strict", action="store_true", help=STRICT)


def _add_farm(commands: argparse._SubParsersAction[_Parser]) -> None:
    farm = commands.add_parser("farm", help="a batch on a farm: submit, status, collect, retry")
    kinds = farm.add_subparsers(title="commands", metavar="COMMAND", required=True)
    submit = _add(kinds, "submit", "hand a batch to a farm's engine; what follows -- is for each run", "submit")
    _add_manifest(submit)
    submit.add_argument("--engine", choices=ENGINES, default="slurm")
    _add_engine(submit)
    for name, text in FARM_COMMANDS.items():
        parser = _add(kinds, name, text, name)
        parser.add_argument("root", type=_folder, metavar="DIR", help="the batch's folder")
        if name == "status":
            parser.add_argument("--json", action="store_true")
        if name == "collect":
            parser.add_argument("--strict", action="store_true", help=STRICT)
            text = "Slurm: do it again when rows that were handed in again for other nodes have ended"
            parser.add_argument("--follow", action="store_true", help=text)
        if name == "retry":
            parser.add_argument("--failed", action="store_true", help="what has failed for good too")
            parser.add_argument("--write-only", action="store_true", help="OpenJD: write the template, run nothing")


def _add_engine(parser: argparse._ActionsContainer) -> None:
    """What an engine is asked for."""
    parser.add_argument("--minutes", type=_positive, help="time limit of a row; default: --max-minutes and a tenth")
    text = "of a row; default: limits.memory_mib, which is that of one Blender, and 1024"
    parser.add_argument("--memory", type=_positive, metavar="MIB", help=text)
    parser.add_argument("--cpus", type=_positive, default=2, help="of a row (2)")
    parser.add_argument("--licenses", default="", metavar="NAME:1", help="Slurm: of the cluster, for each row")
    parser.add_argument("--gres", default="", metavar="NAME:1", help="Slurm: of a node, for each row")
    parser.add_argument("--sbatch", action="append", default=[], metavar="OPTION", help="Slurm: further ones of sbatch")
    parser.add_argument("--slots", default="", metavar="NAME", help="OpenJD: name of the farm's limit on runs")
    parser.add_argument("--write-only", action="store_true", help="OpenJD: write the template, run nothing")


def _add_experiment(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "pictures by methods by seeds: run what is missing, evaluate, report; what follows -- is for each run"
    parser = _add(commands, "experiment", text, "experiment")
    parser.add_argument(
        "file", metavar="FILE", help="TOML file, or the name of one that is shipped: table1, ablations, …"
    )
    text = "the pictures, in the place of the file's: a data set as `evaluate --data` takes it"
    parser.add_argument("--data", default="", metavar="DATA", help=text)
    parser.add_argument("--out", type=_folder, metavar="DIR", help="its folder; default: runs/experiment-<file's name>")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be run and what it may cost; run nothing"
    )
    parser.add_argument("--at-once", type=_positive, metavar="N", help="most rows that run at the same time")
    _add_rate(parser)
    parser.add_argument("--retry-failed", action="store_true", help="try again what has failed for good")
    parser.add_argument("--strict", action="store_true", help=STRICT)
    _add_measuring(parser)
    farm = parser.add_argument_group("on a farm")
    farm.add_argument("--engine", choices=ENGINES, help="hand the rows in; default: run them on this machine")
    _add_engine(farm)


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="CSV or JSON lines, a row per picture")
    parser.add_argument("--out", type=_folder, metavar="DIR", required=True, help="the batch's folder")
    parser.add_argument("--at-once", type=_positive, metavar="N", help="most rows that run at the same time")
    parser.add_argument("--retry-failed", action="store_true", help="try again what has failed for good")
    parser.add_argument("--batch-max-cost", type=float, metavar="USD", help="refuse a batch that may cost more")


def _add_rate(parser: argparse._ActionsContainer) -> None:
    text = "that the model's service allows: no more rows run at the same time than that bears"
    parser.add_argument("--requests-per-minute", type=_positive, metavar="N", help=text)


def _add_calibrate(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "measure how often the verifiers err, on scenes of known worth"
    calibrate = _add(commands, "calibrate", text, "calibrate")
    text = "only these stages' verifiers; default: all that have one"
    calibrate.add_argument("--stages", dest="judged", metavar="A,B", help=text)
    calibrate.set_defaults(rollouts=None, stages=None)
    _add_settings(calibrate, "runs/calibration-<model>")


def _add_evaluate(commands: argparse._SubParsersAction[_Parser]) -> None:
    evaluate = _add(
        commands, "evaluate", "measure runs beside their references, and write tables and a page", "evaluate"
    )
    text = "a run's folder, a batch's, or a folder of either"
    evaluate.add_argument("runs", nargs="*", type=_folder, metavar="RUNS", help=text)
    text = "methods to compare on the same pictures, each with a folder as RUNS are; a name may be given several times"
    evaluate.add_argument("--compare", nargs="+", type=_method, default=[], metavar="NAME=DIR", help=text)
    text = "data set with the references; default: the picture that each run was made from"
    evaluate.add_argument("--data", metavar="DATASET", help=text)
    _add_measuring(evaluate)
    evaluate.add_argument("--stages", action="store_true", help="measure after each stage too: what each one earns")
    text = "result of a calibration, whose rates stand beside what each stage earns"
    evaluate.add_argument("--calibration", type=_folder, metavar="DIR", help=text)
    evaluate.add_argument("--out", type=_folder, metavar="DIR", help="result folder; default: runs/evaluation")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    text = "networks of the learned metrics; default: SEIG_WEIGHTS, else where their libraries look"
    parser.add_argument("--weights", type=_folder, metavar="DIR", help=text)
    text = "longer side of all pictures when they are measured (512)"
    parser.add_argument("--size", type=_size, default=512, metavar="N", help=text)
    parser.add_argument("--weight-free", action="store_true", help="only metrics that need no trained networks")
    text = "measure renders only: open no scene for its shape and for other views"
    parser.add_argument("--renders-alone", action="store_true", help=text)


def _add_settings(parser: argparse.ArgumentParser, out: str) -> None:
    """What a run and a calibration can be told."""
    parser.add_argument("--out", type=_folder, metavar="DIR", help=f"result folder; default: {out}")
    parser.add_argument(
        "--model", choices=("claude", "offline", "recorded"), help="default: claude with a key, else offline"
    )
    parser.add_argument(
        "--claude-model",
        type=_model_of_role,
        action="append",
        default=[],
        metavar="[ROLE=]ID",
        help="model id that the service is asked for; with a role (generator, verifier, selector, decomposer) for that "
        "role alone; may be given several times",
    )
    parser.add_argument(
        "--recording", type=_folder, metavar="DIR", help="folder whose replies the recorded model gives"
    )
    text = "Blender to use: a path, a version, or 'wheel'; default: PATH, usual places, the wheel"
    parser.add_argument("--blender", help=text)
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument("--preset", choices=("quick", "default", "fine"), help="how much work to put in")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--side-by-side", type=int, metavar="N", help="most Blenders that work at the same time")
    _add_budget(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="threads of one Blender; default: all cores")
    parser.add_argument(
        "--no-standby", action="store_true", help="keep no spare Blender ready: less memory, slower recovery"
    )
    parser.add_argument(
        "--level", metavar="L", help="isolation of Blender: L0 to L3; default: the best that holds here"
    )
    parser.add_argument("--require-level", metavar="L", help="do not run below this isolation level")
    parser.add_argument("--gpu", action="store_const", const=True, help="render with the graphics cards")
    text = "the same, by one way to use them alone"
    parser.add_argument("--gpu-kind", dest="gpu", choices=get_args(GpuKind), help=text)
    parser.add_argument("--fresh", action="store_true", help="move what is in DIR aside and start anew")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-calls", type=int, metavar="N", help="most model calls")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="most tokens, input and output together")
    parser.add_argument("--max-minutes", type=float, metavar="M", help="longest time")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="most dollars, by prices that are known")


def _model_of_role(text: str) -> tuple[str, str]:
    """The setting that is meant, and the model id."""
    role, named, model = text.rpartition("=")
    if not model or (named and role not in ROLES):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a model id nor ROLE=ID; roles are {', '.join(ROLES)}.")
    return (f"claude_models.{role}" if named else "claude_model"), model


def _method(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name.strip() or not folder or not name.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=DIR. RUNS without a name come before --compare.")
    return name.strip(), Path(folder)


def _size(text: str) -> int:
    if not text.isdecimal() or not SMALLEST_PX <= int(text) <= LARGEST_PX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels from {SMALLEST_PX} to {LARGEST_PX}.")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1.")
    return int(text)


def _picture(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("no picture is named. Give the path of one picture file.")
    if re.match(r"(?i)[a-z][a-z0-9+.-]*://", text):
        raise argparse.ArgumentTypeError(f"{text} is an address. Download it first, and give the path of the file.")
    return Path(text)


def _stages(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in STAGES]:
        raise argparse.ArgumentTypeError(f"there is no stage {unknown[0]!r}; there are {', '.join(STAGES)}.")
    return names


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("no folder is named.")
    return Path(text)


def _add(commands: argparse._SubParsersAction[_Parser], name: str, text: str, command: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=lambda options: _call(command, options))
    return parser


def _call(name: str, options: argparse.Namespace) -> int:
    if name == "doctor":
        from agent.doctor import doctor

        return doctor(options.json)
    if name == "blenders":
        from agent.blenders import blenders

        return blenders(options.json)
    from agent.runs.stopping import PATIENCE_S, stopping

    runs_rows = name in ("batch", "submit", "retry", "experiment")
    go_on = "Go on with the same command." if name in ("batch", "experiment") else ""
    with stopping(go_on, BATCH_STOP_S if runs_rows else PATIENCE_S):
        if name in ("batch", "submit", *FARM_COMMANDS):
            from agent.farm import commands as farm

            return int(getattr(farm, name)(options))
        if name == "experiment":
            from agent.experiments.command import experiment

            return experiment(options)
        if name == "evaluate":
            from agent.evaluation.command import evaluate

            return evaluate(options)
        from agent import commands  # takes a second or more

        return int(getattr(commands, name)(options))
