"""Owns what `batch` and `farm submit|status|collect|retry` do: call the engine, read the folders, print."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from agent.console import answer
from agent.errors import NodeUnfit, UsageError
from agent.exit_codes import BELOW_THE_BAR, GO_ON_LATER
from agent.farm.batch import Batch, begin_batch, open_batch
from agent.farm.collecting import collect as write_report
from agent.farm.collecting import totals_of
from agent.farm.local import row_command
from agent.farm.manifest import read_manifest, refuse_missing_pictures
from agent.farm.openjd import engine as openjd
from agent.farm.outcomes import outcomes
from agent.farm.slurm import engine as slurm
from agent.farm.task import MAX_ATTEMPTS
from agent.runs.budget import longest_minutes
from agent.runs.failed import forget
from agent.runs.folder import RunFolder, write_json
from protocol.models import Value
from sandbox.calling import command
from sandbox.machine import processors

if TYPE_CHECKING:
    from agent.farm.settings import Bounds, RunsTold

SUBMISSION = "submission.json"
START_MINUTES = 5.0
"""An engine's time limit is so much longer than what a run allows itself: it starts, and is warned early."""
BESIDE_MIB = 1024
"""An engine is asked for so much more memory than a run's Blender may take: for the agent, and what stands by."""
OPTIONS_OF = {"slurm": ("at_once", "licenses", "gres", "sbatch"), "openjd": ("slots", "write_only")}
"""What only one engine knows."""


class Submission(Value):
    """What was handed to an engine last; the engine itself knows what has become of it."""

    engine: str
    jobs: tuple[str, ...] = ()
    command: tuple[str, ...]
    """Of a row, without its --index."""
    wanted: dict[str, Any]


def batch(options: argparse.Namespace) -> int:
    """Every row of a manifest on this machine; 0 when each is final."""
    from agent.commands import make_model

    told, bounds, begun = _begun(options)
    make_model(told.config)  # raises what each row would fail with
    work_here(begun, told, bounds, options)
    return _collected(begun, options.strict)


def work_here(begun: Batch, told: RunsTold, bounds: Bounds, options: argparse.Namespace) -> None:
    """Until every row is final, on this machine; `bounds`: of the rows. Raises as `LocalBatch.run` does."""
    from agent.farm.local import LocalBatch, at_once_by_rate, at_once_here
    from agent.farm.overview import Overview

    at_once = options.at_once or at_once_here()
    if options.requests_per_minute and bounds.calls_at_once:
        at_once = min(at_once, at_once_by_rate(options.requests_per_minute, bounds.calls_at_once))
    threads = () if told.options.threads else ("--threads", str(max(1, processors() // at_once)))
    most = {"max_attempts": told.options.max_attempts} if told.options.max_attempts else {}
    with Overview() as overview:
        rows = LocalBatch(
            begun,
            [*_row(begun, told), *threads],
            at_once=at_once,
            minutes=longest_minutes(bounds.minutes) + START_MINUTES,
            retry_failed=options.retry_failed,
            tell=overview,
            **most,
        )
        rows.run()


def submit(options: argparse.Namespace) -> int:
    """Hand in the rows of a batch that are not final, and with --retry-failed those that have failed for good."""
    refuse_strange_options(options, options.engine)
    told, bounds, begun = _begun(options)
    _refuse_queued(begun)
    return _hand_in(begun, submission_of(begun, told, bounds, options), options.retry_failed, options)


def submission_of(begun: Batch, told: RunsTold, bounds: Bounds, options: argparse.Namespace) -> Submission:
    """What an engine is to be told; `bounds`: of the rows."""
    threads = () if told.options.threads else ("--threads", str(options.cpus))
    wanted = _wanted(options, told, bounds)
    return Submission(engine=options.engine, command=(*_row(begun, told), *threads), wanted=wanted)


def retry(options: argparse.Namespace) -> int:
    """Hand in again what is not final, and with --failed what has failed for good."""
    begun, before = open_batch(options.root), _submission(options.root)
    refuse_strange_options(options, before.engine)
    _refuse_queued(begun)
    return _hand_in(begun, before, options.failed, options)


def left(batch: Batch, failed: bool) -> list[int]:
    """The indices of the rows that are not final; `failed`: and of those that have failed for good."""
    found = outcomes(batch.root, batch.rows)
    return [each.index for each in found if not each.is_final or (failed and each.state == "failed")]


def forget_failures(batch: Batch, indices: Iterable[int]) -> None:
    """So that these rows are tried again; a batch may hold only some of those that its manifest numbers."""
    wanted = set(indices)
    for row in batch.rows:
        if row.index in wanted:
            forget(RunFolder(batch.root / row.id))


def queued(batch: Batch) -> str:
    """The jobs in which rows of a batch still wait or run on a cluster; nothing where there are none."""
    if not (batch.folder / SUBMISSION).exists():
        return ""
    before = _submission(batch.root)
    return " ".join(_without_tasks(slurm.queue(_jobs(batch, before)))) if before.engine == "slurm" else ""


def _refuse_queued(batch: Batch) -> None:
    """Raises UsageError where rows would be handed in a second time."""
    if jobs := queued(batch):
        raise UsageError(f"rows of {batch.root} are still in the queue.", f"Wait for them, or: scancel {jobs}")


def status(options: argparse.Namespace) -> int:
    """What has become of each row, and what the engine says of those that wait; 0 if all are final."""
    begun = open_batch(options.root)
    found = outcomes(begun.root, begun.rows)
    totals = totals_of(found)
    queue = _queue(begun)
    if options.json:
        rows = [each.model_dump(mode="json") for each in found]
        answer(
            json.dumps(
                {"totals": totals.model_dump(mode="json"), "queue": queue.model_dump(mode="json"), "rows": rows},
                indent=1,
            )
        )
    else:
        answer("\n".join([_summary(begun, found), *_under_way(found), *_queue_lines(queue)]))
    return 0 if totals.is_final else GO_ON_LATER


def collect(options: argparse.Namespace) -> int:
    """Write batch.json, batch.csv and batch.html; 0 only if every row is final. With --follow, which a job of Slurm's
    is told, it is done again once rows have ended that were handed in again for other nodes."""
    begun = open_batch(options.root)
    code = _collected(begun, options.strict)
    if options.follow and (left := _without_tasks(slurm.queue(slurm.moved_to(begun)))):
        slurm.submit_after(begun, left, _report(begun, "--follow"), slurm.Wanted(**_submission(begun.root).wanted))
    return code


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _begun(options: argparse.Namespace) -> tuple[RunsTold, Bounds, Batch]:
    """Nothing is written for a batch that cannot be run, or costs too much."""
    from agent.farm.settings import RunsTold

    manifest = read_manifest(options.manifest)
    told = RunsTold(options.run)
    bounds = told.bounds(options.manifest, manifest.rows)
    _refuse_too_dear(options.batch_max_cost, bounds.usd, len(manifest.rows))
    refuse_missing_pictures(options.manifest, manifest.rows)
    return told, bounds, begin_batch(options.out, options.manifest, manifest, told.digest)


def _row(batch: Batch, told: RunsTold) -> list[str]:
    return row_command("--manifest", str(batch.manifest), "--out", str(batch.root), *told.frozen_as(batch.config_file))


def _refuse_too_dear(bound: float | None, most: float | None, rows: int) -> None:
    """Raises UsageError where the rows together might cost more than the batch may."""
    if bound is None:
        return
    if most is None:
        message = "--batch-max-cost needs a bound of each run to reckon with."
        raise UsageError(message, f"Give one: -- --max-cost {bound / rows:.2f}")
    if most > bound:
        message = f"{rows} rows at up to ${most / rows:.2f} each may cost ${most:.2f}, more than ${bound:.2f}."
        raise UsageError(message, f"Lower --max-cost to {bound / rows:.2f}, or raise --batch-max-cost.")


def refuse_strange_options(options: argparse.Namespace, engine: str) -> None:
    """Raises UsageError for what only another engine knows."""
    for other, names in OPTIONS_OF.items():
        if other != engine and (given := [name for name in names if getattr(options, name, None)]):
            option = given[0].replace("_", "-")
            raise UsageError(f"--{option} is for --engine {other}.", f"Leave it out with {engine}.")


def _wanted(options: argparse.Namespace, told: RunsTold, bounds: Bounds) -> dict[str, Any]:
    minutes = options.minutes or math.ceil(longest_minutes(bounds.minutes) + START_MINUTES)
    memory_mib = options.memory or bounds.memory_mib + BESIDE_MIB
    shared = {"memory_mib": memory_mib, "cpus": options.cpus, "minutes": minutes}
    if options.engine == "openjd":
        return openjd.Wanted(**shared, slots=options.slots).model_dump()
    own = {"at_once": options.at_once, "licenses": options.licenses, "gres": options.gres}
    restarts = (told.options.max_attempts or MAX_ATTEMPTS) - 1
    return slurm.Wanted(**shared, **own, restarts=restarts, more=tuple(options.sbatch)).model_dump()


def _hand_in(batch: Batch, submission: Submission, failed: bool, options: argparse.Namespace) -> int:
    """Hand in what is left, and see to the report where all is done here."""
    indices = left(batch, failed)
    if not indices:
        answer(f"All {len(batch.rows)} rows of {batch.root} are final.")
        return 0
    forget_failures(batch, indices)
    return _collected(batch, strict=False) if hand_in(batch, submission, indices, options) else 0


def hand_in(batch: Batch, submission: Submission, indices: Sequence[int], options: argparse.Namespace) -> bool:
    """Give an engine the rows with these indices; whether they have been done meanwhile."""
    run = submission.command
    if submission.engine == "slurm":
        wanted = slurm.Wanted(**submission.wanted)
        jobs = slurm.submit(batch, indices, run, wanted)
        report = slurm.submit_after(batch, jobs, _report(batch, "--follow"), wanted)
        write_json(batch.folder / SUBMISSION, submission.model_copy(update={"jobs": tuple(jobs)}).model_dump())
        answer(f"{len(indices)} rows submitted as job {', '.join(jobs)}; job {report} will write the report.\n"
               f"How it goes: {command('farm status', batch.root)}")  # fmt: skip
        return False
    write_json(batch.folder / SUBMISSION, submission.model_dump())
    path = openjd.write_template(batch, indices, run, _report(batch), openjd.Wanted(**submission.wanted))
    openjd.check(path)
    if options.write_only:
        answer(f"The job is described in {path}. Run it: openjd run {shlex.quote(str(path))}, or submit it to a farm.")
        return False
    openjd.run_here(path, indices)
    return True


def _report(batch: Batch, *options: str) -> list[str]:
    """The command that writes it, as an engine calls it."""
    return [sys.executable, "-m", "agent", "farm", "collect", *options, str(batch.root)]


def _jobs(batch: Batch, submission: Submission) -> list[str]:
    return [*submission.jobs, *slurm.moved_to(batch)]


def _without_tasks(queue: Iterable[str]) -> list[str]:
    """The jobs whose tasks are still in the queue."""
    return list(dict.fromkeys(task.partition("_")[0] for task in queue))


def _submission(root: Path) -> Submission:
    try:
        return Submission.model_validate_json((root / "farm" / SUBMISSION).read_bytes())
    except (OSError, ValueError):
        raise UsageError(f"nothing of {root} was submitted yet.", "Submit it: farm submit MANIFEST --out …") from None


def _collected(batch: Batch, strict: bool) -> int:
    found = outcomes(batch.root, batch.rows)
    totals = write_report(batch.root, batch.title, found)
    answer(f"{_summary(batch, found)}\nreport     {batch.root / 'batch.html'}")
    if not totals.is_final:
        return GO_ON_LATER
    return BELOW_THE_BAR if strict and totals.states.keys() - {"accepted"} else 0


def _summary(batch: Batch, found: Sequence[Any]) -> str:
    totals = totals_of(found)
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(totals.states.items()))
    price = "unknown price" if totals.usd is None else f"${totals.usd:.2f}"
    score = f", mean PSNR {totals.psnr_db} dB" if totals.psnr_db is not None else ""
    failed = ", ".join(f"{count} {name}" for name, count in sorted(totals.failures.items()))
    return (
        f"batch      {batch.root}: {totals.final} of {totals.rows} rows final ({states}){score}\n"
        f"spent      {totals.calls} model calls, {price}, {totals.minutes:.1f} minutes of runs"
        + (f"\nfailures   {failed}" if failed else "")
    )


def _under_way(found: Sequence[Any]) -> list[str]:
    shown = [each for each in found if each.state in ("running", "lost", "stopped")]
    return [
        f"  row {each.index} {each.id}: {each.state}, {each.where or '…'}, {each.percent:.0f} %"
        + (f" on {each.host}" if each.host else "")
        + (f" as job {each.job}" if each.job else "")
        for each in shown
    ]


class Queue(Value):
    """What the engine says of the rows that it still knows; those of which it no longer knows have ended."""

    jobs: tuple[str, ...] = ()
    rows: dict[str, int] = Field(default_factory=dict)
    """What they do, "running" or "waiting for a licence" → how many."""
    unknown: str = ""
    """Why the engine could not be asked."""


def _queue(batch: Batch) -> Queue:
    try:
        submission = _submission(batch.root)
        if submission.engine != "slurm":
            return Queue()
        queue = slurm.queue(_jobs(batch, submission))
        return Queue(jobs=tuple(_without_tasks(queue)), rows=dict(Counter(queue.values())))
    except UsageError:  # nothing was submitted
        return Queue()
    except NodeUnfit as error:
        return Queue(unknown=error.message)


def _queue_lines(queue: Queue) -> list[str]:
    if queue.unknown:
        return [f"queue      unknown: {queue.unknown}"]
    rows = ", ".join(f"{count} {what}" for what, count in queue.rows.items())
    return [f"queue      job {', '.join(queue.jobs)}: {rows}"] if rows else []
