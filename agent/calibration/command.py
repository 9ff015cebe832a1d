"""Owns what the calibrate command does in its folder: build the scenes, ask about them, write the report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from agent import prompting
from agent.calibration.building import Builder
from agent.calibration.desk import DESK
from agent.calibration.judging import Judgement, judge
from agent.calibration.kit import KIT
from agent.calibration.report import Report, report_of, write
from agent.calibration.scenes import ALL, Case, Scene, cases_of
from agent.calibration.still_life import STILL_LIFE
from agent.config import Config
from agent.console import Screen
from agent.errors import BudgetExhausted, UsageError
from agent.models.base import Model
from agent.opening import VERSION, opened
from agent.picture import Reference
from agent.runs.budget import BudgetReached
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal, digest_of, read_journal
from agent.runs.run import Opened
from agent.tools.base import tell
from sandbox.discovery import Blender
from sandbox.snapshots import Snapshot

SCENES = (STILL_LIFE, DESK)
CASES = cases_of(SCENES)

Question = tuple[Case, Snapshot]
Group = tuple[Reference, Scene, str, list[Question]]
"""What is asked of one stage's verifier about one scene."""


def cases_for(stages: str | None) -> tuple[Case, ...]:
    """The cases of the stages named, with commas between; None: of all. Raises UsageError for an unknown one."""
    wanted = ALL if stages is None else tuple(name.strip() for name in stages.split(","))
    if unknown := [name for name in wanted if name not in ALL]:
        raise UsageError(f"--stages: {unknown[0]!r} is no stage with a verifier.", f"There are: {', '.join(ALL)}.")
    return tuple(case for case in CASES if case.stage in wanted)


def identity(config: Config) -> dict[str, Any]:
    """What must be the same where a calibration goes on."""
    scenes = digest_of(KIT, [scene.model_dump(mode="json") for scene in SCENES])
    return {
        "version": VERSION,
        "settings": config.digest(),
        "prompts": prompting.prompts_digest(),
        "scenes": scenes,
    }


def same_calibration(folder: RunFolder, config: Config, blender: Blender) -> None:
    """Raises UsageError when the folder holds anything but the calibration that is asked for."""
    entry = next(read_journal(folder.journal), {})
    ours = {"event": "calibration", **identity(config), "blender": blender.version}
    if differing := [name for name, value in ours.items() if entry.get(name) != value]:
        other = "a run" if entry.get("event") == "run" else f"another calibration ({', '.join(differing)} not the same)"
        raise UsageError(f"{folder.path} belongs to {other}.", "Choose another OUT, or start anew with --fresh.")


def calibrate_in(
    folder: RunFolder, config: Config, cases: Sequence[Case], model: Model, blender: Blender, stream: TextIO
) -> Report:
    """Ask what is not answered yet, and write the report. Raises BudgetExhausted when a budget left cases out."""
    journal = Journal(folder.path)
    if journal.begun:
        journal.note("resumed", blender=blender.version, pid=os.getpid(), budget=tell(config.budget))
    else:
        journal.note("calibration", **identity(config), config=tell(config), blender=blender.version)
    go_on = f"Go on with the same command and OUT={folder.path}"
    with opened(folder, config, journal, model, blender, Screen(stream), go_on) as all_of_it:
        report = report_of(all_of_it, cases, _judged(all_of_it, cases))
        write(all_of_it, report)
        if report.unanswered:
            _stop(all_of_it, report)
    return report


def _stop(all_of_it: Opened, report: Report) -> None:
    """The report is written; the exit code says that it is not whole."""
    done = f"{len(report.judgements)} of {report.asked} cases are judged"
    try:
        all_of_it.ledger.check()
    except BudgetReached as reached:
        go_on = f"Go on with the same command, OUT={all_of_it.folder.path} and {' '.join(reached.larger())}."
        raise BudgetExhausted(f"{reached}; {done}.", go_on) from None
    raise BudgetExhausted(f"what is left of the budget is too little for a call; {done}.", "Go on with a larger one.")


def _judged(all_of_it: Opened, cases: Sequence[Case]) -> list[Judgement]:
    """All judgements, in the order of the cases; several stages' at a time."""
    with Builder(all_of_it) as builder:
        groups = [group for scene in SCENES for group in _groups(builder, scene, cases)]
    config = all_of_it.config
    threads = ThreadPoolExecutor(all_of_it.pool.side_by_side(min(len(groups), config.side_by_side)), "calibration")
    try:
        judged = threads.map(lambda group: judge(all_of_it.run(group[0]), *group[1:]), groups)
        found = {one.id: one for judgements in judged for one in judgements}
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # a signal must not wait for a model's reply
    return [found[case.id] for case in cases if case.id in found]


def _groups(builder: Builder, scene: Scene, cases: Sequence[Case]) -> list[Group]:
    """What is asked of this scene: of each stage in one go."""
    variants = {variant.name: variant for variant in scene.variants}
    questions = [(case, builder.variant(scene, variants[case.variant])) for case in cases if case.scene == scene.name]
    reference = builder.reference(scene)
    return [
        (reference, scene, stage, asked)
        for stage in ALL
        if (asked := [question for question in questions if question[0].stage == stage])
    ]
