"""Owns `evaluate`: what the command line asks for, the files that it leaves, what it prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.console import answer
from agent.errors import InputUnreadable, NodeUnfit, UsageError
from agent.evaluation.data import Dataset
from agent.evaluation.datasets import read_dataset
from agent.evaluation.evaluating import Evaluation, Question
from agent.evaluation.evaluating import evaluate as evaluated
from agent.evaluation.finding import Run, find_runs
from agent.evaluation.learned.metrics import LEARNED, STAND_INS
from agent.evaluation.other_systems import other_system
from agent.evaluation.scene_scores import SceneScores
from agent.evaluation.score import Weights
from agent.evaluation.sheet import page
from agent.evaluation.stagewise import Calibration, read_calibration
from agent.evaluation.weight_free import weight_free
from agent.evaluation.writers import csv_text, json_text, latex, markdown, summary
from agent.runs.folder import new_run_path
from agent.runs.journal import write_atomically
from protocol.printable import printable

ALONE = "runs"
"""What the runs are called that are given without a method's name."""
REPORT = "evaluation.json"
OURS = {REPORT, *(f"evaluation.{end}" for end in ("md", "csv", "tex", "html")), "kept", "renders"}
"""What an evaluation's folder holds: one of these alone is an evaluation that was stopped."""


def evaluate(options: argparse.Namespace) -> int:
    methods = methods_of(options.runs, options.compare)
    data = read_dataset(options.data) if options.data else None
    calibration = read_calibration(options.calibration) if options.calibration else None
    weights_of(options)
    out = prepared(options.out or new_run_path(Path("evaluation")))
    evaluation = evaluate_in(out, methods, data, options, by_stage=options.stages, calibration=calibration)
    if options.json:
        answer(json.dumps(evaluation.report.model_dump(mode="json"), indent=2))
    else:
        answer(
            f"{summary(evaluation.report)}\n\npage       {out / 'evaluation.html'}\ntables     {out / 'evaluation.md'}"
        )
    return 0


def evaluate_in(
    out: Path,
    methods: Mapping[str, Sequence[Run]],
    data: Dataset | None,
    options: argparse.Namespace,
    *,
    by_stage: bool = False,
    calibration: Calibration | None = None,
) -> Evaluation:
    """Measure, and write the files into a folder; `options`: size, weights, weight_free, renders_alone."""
    learned = () if options.weight_free else (*LEARNED, *STAND_INS)
    facts = [one.facts for one in (*weight_free(options.size), *learned)]
    question = Question(
        methods=methods,
        data=data,
        size_px=options.size,
        learned=learned,
        weights=weights_of(options),
        additions=() if options.renders_alone else (SceneScores(tuple(facts), options.size, out),),
        by_stage=by_stage,
        calibration=calibration,
        tell=_teller(),
    )
    evaluation = evaluated(question)
    write(evaluation, out)
    return evaluation


def methods_of(runs: Sequence[Path], compared: Sequence[tuple[str, Path]]) -> dict[str, tuple[Run, ...]]:
    """By method. Raises UsageError where there is nothing to evaluate."""
    folders: dict[str, list[Path]] = {ALONE: list(runs)} if runs else {}
    for method, folder in compared:
        if system := other_system(method):
            message = f"--compare {method}=…: these runs would carry the name of another system, {system}."
            raise UsageError(message, "Runs are by a setting of this program: call it by what it changes.")
        folders.setdefault(method, []).append(folder)
    if not folders:
        raise UsageError("no run is named.", "Give run folders, a batch's, or --compare A=DIR B=DIR.")
    return {method: find_runs(some) for method, some in folders.items()}


def weights_of(options: argparse.Namespace) -> Weights:
    """Raises InputUnreadable for a folder that is not there."""
    named = os.environ.get("SEIG_WEIGHTS", "")
    folder = options.weights or (Path(named) if named else None)
    if folder is not None and not folder.is_dir():
        raise InputUnreadable(f"there is no folder {folder} with weights.", "Check the path.")
    return Weights(folder)


def _teller() -> Callable[[str], None]:
    """Tells of progress on a terminal, on one line."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda text: print(f"\r\x1b[2K{printable(text)[:100]}", end="", file=sys.stderr, flush=True)


# ── the folder ────────────────────────────────────────────────────────────────────────────────────────────────────────
def prepared(out: Path) -> Path:
    """Made where it is missing; raises before anything is measured where the files cannot go there."""
    try:
        if out.is_dir() and not (out / REPORT).exists() and any(each.name not in OURS for each in out.iterdir()):
            raise UsageError(f"output folder {out} is not empty and holds no evaluation.", "Choose another with --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".write", "")
        (out / ".write").unlink()
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"output folder {out} is, or lies below, a file.", "Choose another with --out.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NodeUnfit(f"output folder {out} cannot be written to: {reason}.", "Choose another with --out.") from None
    return out


def write(evaluation: Evaluation, out: Path) -> None:
    """The report last: it marks a folder that is whole."""
    report = evaluation.report
    texts = {
        "evaluation.md": markdown(report),
        "evaluation.csv": csv_text(report),
        "evaluation.tex": latex(report),
        "evaluation.html": page(evaluation),
        REPORT: json_text(report),
    }
    for name, text in texts.items():
        write_atomically(out / name, text)
