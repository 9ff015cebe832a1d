"""Owns what `experiment` does: read the file, run what is missing through a batch, evaluate, report.

OUT/experiment.json   whose folder it is
OUT/batch/            the batch: every row that was ever asked for; see agent/farm/batch.py
OUT/evaluation/       tables of the rows that are final
OUT/report.md, report.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.config import is_live
from agent.console import answer
from agent.errors import InputUnreadable, NodeUnfit, UsageError
from agent.evaluation.command import evaluate_in, weights_of
from agent.evaluation.finding import find_runs, of_items
from agent.evaluation.writers import markdown
from agent.exit_codes import BELOW_THE_BAR, GO_ON_LATER
from agent.experiments.costs import Cost, dollars, refuse_too_dear, spent, worst_case
from agent.experiments.file import ExperimentFile, find_file, read_file
from agent.experiments.pictures import Pictures, pictures_of
from agent.experiments.report import Found, Report, report_of, write_report
from agent.experiments.rows import Asked, Stale, asked_for, each_once, key_of, stale
from agent.farm import commands as farm
from agent.farm.batch import Batch, begin_batch, grow_batch, open_batch
from agent.farm.collecting import collect
from agent.farm.manifest import MOST_ROWS, Manifest, Row, refuse_missing_pictures
from agent.farm.outcomes import Outcome, outcomes
from agent.farm.settings import Bounds, RunsTold
from agent.runs.folder import write_json
from protocol.models import Value

RECORD = "experiment.json"
BATCH, EVALUATION = "batch", "evaluation"
OF_AN_ENGINE = ("minutes", "licenses", "gres", "sbatch", "slots", "write_only")


class _Record(Value):
    name: str
    """Of the file that it was begun with."""
    begun: float


@dataclass(frozen=True)
class Experiment:
    """A file, the rows that it asks for, and what there is of them."""

    file: ExperimentFile
    pictures: Pictures
    told: RunsTold
    out: Path
    """Absolute."""
    asked: tuple[Asked, ...]
    batch: Batch | None
    """None before the first row was run."""

    @property
    def known(self) -> dict[str, Row]:
        """By key, every row that was ever asked for."""
        return {key_of(row.id): row for row in self.batch.rows} if self.batch else {}

    @property
    def missing(self) -> list[Asked]:
        """Rows that the batch has not got yet."""
        known = self.known
        return [row for row in each_once(self.asked) if row.key not in known]

    @property
    def rows(self) -> list[Row]:
        """Of the batch, those that are asked for."""
        known = self.known
        return [known[row.key] for row in each_once(self.asked) if row.key in known]

    def found(self) -> list[Found]:
        """What has become of each row that is asked for."""
        by_key = {key_of(one.id): one for one in self._outcomes(self.rows)}
        return [Found(asked=row, outcome=by_key.get(row.key) or self._not_begun(row)) for row in self.asked]

    def stale(self) -> list[tuple[Stale, Outcome]]:
        left = stale(self.asked, self.batch.rows if self.batch else ())
        return list(zip(left, self._outcomes([one.row for one in left]), strict=True))

    def _outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        return outcomes(self.out / BATCH, rows)

    def _not_begun(self, row: Asked) -> Outcome:
        folder = self.out / BATCH / row.id
        return Outcome(index=0, id=row.id, image=row.image, folder=folder, state="not_begun")


def experiment(options: argparse.Namespace) -> int:
    """Run what is missing, evaluate, report; 0 when every row is final."""
    _refuse_strange_options(options)
    weights_of(options)
    asked = _opened(options)
    found, left = asked.found(), asked.stale()
    most = _most(found, left, options.retry_failed)
    for one, _ in left:
        answer(f"stale      {one.row.id}: {one.why}")
    if options.dry_run:
        answer(_overview(asked, found, most))
    refuse_too_dear(most, asked.file.written.budget.total)
    if options.dry_run:
        return 0
    return _reported(_worked(asked, found, options), options)


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _refuse_strange_options(options: argparse.Namespace) -> None:
    """Raises UsageError for what only another engine knows, or only one."""
    if options.engine:
        if options.requests_per_minute:
            raise UsageError(
                "--requests-per-minute is for rows on this machine.", "On a farm: --licenses, or --at-once."
            )
        farm.refuse_strange_options(options, options.engine)
    elif given := [name for name in OF_AN_ENGINE if getattr(options, name)]:
        raise UsageError(f"--{given[0].replace('_', '-')} is for rows that are handed in.", "Name the --engine.")


def _opened(options: argparse.Namespace) -> Experiment:
    """Nothing is written for an experiment that cannot be."""
    file = read_file(find_file(options.file))
    pictures = pictures_of(file, options.data)
    told = RunsTold([*file.told, *options.run])
    asked = asked_for(file, pictures.dataset.items, told)
    if len(asked) > MOST_ROWS:
        raise UsageError(f"{file.path} asks for {len(asked):,} rows, and {MOST_ROWS:,} is the most.", "Split it.")
    out = (options.out or Path("runs") / f"experiment-{file.name}").absolute()
    return Experiment(file, pictures, told, out, asked, _batch_in(out, file))


def _batch_in(out: Path, file: ExperimentFile) -> Batch | None:
    """Raises UsageError for a folder that is not this experiment's."""
    try:
        record = _Record.model_validate_json((out / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(f"the folder {out} is not empty and holds no experiment.", "Choose another.") from None
        return None
    except (OSError, ValueError) as error:
        raise InputUnreadable(f"{out / RECORD} cannot be read: {str(error)[:200]}.", "Choose another folder.") from None
    if record.name != file.name:
        message = f"{out} is the folder of another experiment, {record.name!r}."
        raise UsageError(message, "Choose another folder, or give the file that it was begun with.")
    return open_batch(out / BATCH) if (out / BATCH / "farm" / "batch.json").exists() else None


def _most(found: Sequence[Found], left: Sequence[tuple[Stale, Outcome]], again: bool) -> Cost:
    """What the experiment can come to: what final rows have cost, and what those that are to run may."""
    once = {one.outcome.id: one for one in found}.values()
    to_run = [worst_case(one.asked.config) for one in once if _is_to_run(one, again)]
    live = [one.outcome for one in once if not _is_to_run(one, again) and is_live(one.asked.config)]
    return sum(to_run, spent(live) + spent(outcome for _, outcome in left))


def _is_to_run(one: Found, again: bool) -> bool:
    """`again`: those that have failed are tried again."""
    return not one.outcome.is_final or (again and one.outcome.state == "failed")


def _worked(asked: Experiment, found: Sequence[Found], options: argparse.Namespace) -> Experiment:
    """Whatever is not final is run here, or handed in; nothing while rows of it wait or run on a cluster."""
    if asked.batch and (jobs := farm.queued(asked.batch)):
        answer(f"rows are still in the queue, as job {jobs}: this is how it stands")
        return asked
    to_run = [one for one in found if _is_to_run(one, options.retry_failed)]
    if not to_run:
        return asked
    _refuse_unusable_models(to_run)
    asked = _grown(asked)
    assert asked.batch is not None
    ids = {one.outcome.id for one in to_run}
    refuse_missing_pictures(asked.batch.manifest, [row for row in asked.rows if row.id in ids])
    bounds = Bounds.of([row.config for row in asked.asked])
    batch = asked.batch.model_copy(update={"rows": tuple(asked.rows)})
    if options.engine is None:
        farm.work_here(batch, asked.told, bounds, options)
    else:
        _hand_in(batch, asked, bounds, options)
    return asked


def _hand_in(batch: Batch, asked: Experiment, bounds: Bounds, options: argparse.Namespace) -> None:
    indices = farm.left(batch, options.retry_failed)
    submission = farm.submission_of(batch, asked.told, bounds, options)
    farm.forget_failures(batch, indices)
    farm.hand_in(batch, submission, indices, options)


def _refuse_unusable_models(to_run: Sequence[Found]) -> None:
    """Raises what rows would fail with, for each model once."""
    from agent.commands import make_model

    configs = {one.asked.config.model: one.asked.config for one in to_run}
    for config in configs.values():
        make_model(config)


def _grown(asked: Experiment) -> Experiment:
    """With every row that is asked for in the batch."""
    if not asked.missing:
        return asked
    rows = [row.row() for row in asked.missing]
    if asked.batch is not None:
        batch = grow_batch(asked.batch, rows)
    else:
        rows = [row.model_copy(update={"index": number}) for number, row in enumerate(rows, start=1)]
        digest = json.dumps([row.id for row in rows])
        _begin(asked.out, asked.file.name)
        batch = begin_batch(asked.out / BATCH, asked.file.path, Manifest(rows=tuple(rows), digest=digest))
    return Experiment(asked.file, asked.pictures, asked.told, asked.out, asked.asked, batch)


def _begin(out: Path, name: str) -> None:
    """Say whose folder it is, before anything else lies there. Raises UsageError or NodeUnfit."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / RECORD, _Record(name=name, begun=time.time()).model_dump())
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"the folder {out} is, or lies below, a file.", "Choose another folder.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NodeUnfit(f"the folder {out} cannot be written to: {reason}.", "Choose another folder.") from None


def _reported(asked: Experiment, options: argparse.Namespace) -> int:
    found = asked.found()
    if asked.batch is not None:
        collect(asked.batch.root, asked.file.title, outcomes(asked.batch.root, asked.rows))
    report = report_of(asked.file, asked.pictures, found, asked.stale(), _scores(asked, found, options))
    write_report(asked.out, report)
    answer(_summary(asked, report))
    if not report.is_final:
        return GO_ON_LATER
    return BELOW_THE_BAR if options.strict and any(run.state != "accepted" for run in report.runs) else 0


def _scores(asked: Experiment, found: Sequence[Found], options: argparse.Namespace) -> str:
    """Of the rows that are final, failed ones among them: tables in Markdown. A method whose runs are another's is no
    row of its own: it would be compared with itself."""
    final: dict[str, list[Path]] = {}
    taken: set[str] = set()
    for method in asked.file.methods:
        own = [one.outcome for one in found if one.asked.method == method.name]
        if folders := [one.folder for one in own if one.is_final and one.id not in taken]:
            final[method.name] = folders
        taken |= {one.id for one in own}
    if not final:
        return ""
    out = asked.out / EVALUATION
    out.mkdir(exist_ok=True)
    items = {one.outcome.folder: one.asked.item for one in found}
    methods = {name: of_items(find_runs(folders), items) for name, folders in final.items()}
    return markdown(evaluate_in(out, methods, asked.pictures.dataset, options).report)


# ── what is said ──────────────────────────────────────────────────────────────────────────────────────────────────────
def _overview(asked: Experiment, found: Sequence[Found], most: Cost) -> str:
    """Of a dry run."""
    runs: dict[str, list[Found]] = {}
    for one in found:
        runs.setdefault(one.outcome.id, []).append(one)
    left = sum(not some[0].outcome.is_final for some in runs.values())
    shared = f" ({len(found)} rows: some come to the same settings)" if len(found) > len(runs) else ""
    return "\n".join(
        [
            f"{asked.file.title}: {len(asked.pictures.dataset.items)} pictures, {len(asked.file.methods)} methods, "
            f"{len(asked.file.written.seeds)} seeds: {len(runs)} runs{shared} in {asked.out}",
            *map(_told, runs.values()),
            f"missing    {left} of {len(runs)} runs",
            f"at most    {most.told()}, with what was spent before",
        ]
    )


def _told(some: Sequence[Found]) -> str:
    """One run, by all methods that it is of."""
    asked, outcome = some[0].asked, some[0].outcome
    methods = " = ".join(one.asked.method for one in some)
    price = dollars(outcome.usd if outcome.is_final else worst_case(asked.config).usd)
    cost = f"has cost {price}" if outcome.is_final else f"at most {price}"
    return f"  {asked.item}  {methods}  seed {asked.seed}  {outcome.state.replace('_', ' ')}, {cost}"


def _summary(asked: Experiment, report: Report) -> str:
    failed = sum(run.state == "failed" for run in report.runs)
    lines = [
        f"experiment {asked.out}: {report.final} of {report.rows} rows final, {failed} of them failed",
        f"spent      {report.cost.told()}, {report.calls} model calls, {report.minutes:.1f} minutes of runs",
        f"report     {asked.out / 'report.md'}",
    ]
    return "\n".join(lines)
