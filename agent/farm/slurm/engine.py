"""Owns what is said to Slurm: the script that is handed in, and its clients sbatch, squeue, scontrol.

Source: Slurm's manual pages of version 22.05, sbatch(1), squeue(1), scontrol(1).
"""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from agent.errors import NodeUnfit, RunError, UsageError
from agent.farm.batch import Batch
from agent.farm.ranges import ranges
from agent.runs.journal import write_atomically
from protocol.models import Value
from sandbox.folders import ROOT

CALL_S = 60.0
REMEDY = "See whether its controller runs: scontrol ping"
WARNING_S = 120
"""Before the time limit; in a short one, a quarter of it."""
WHOSE = r"(--(account|partition|qos|reservation)\b|-[Apq])"
"""Options of sbatch's without which a cluster may refuse any job; what a row needs is the rows' alone."""
MOVED = "moved_to"
"""A file of the batch's, with the number of each job of a row that another node could not do."""
ARRAY_LIMIT = 1001
"""MaxArraySize where a cluster does not say: indices end one below it."""


class Wanted(Value):
    """What each task of a batch asks the cluster for."""

    at_once: int | None = None
    """Most tasks that run at the same time; of several arrays one begins when the one before has ended."""
    licenses: str = ""
    """Of the cluster, one for each run that may talk to the model's service: "vlm:1"."""
    gres: str = ""
    """Of a node: "blender:1", "gpu:1"."""
    memory_mib: int
    cpus: int
    minutes: int | None = None
    """Time limit of a task."""
    restarts: int = 4
    """How often a task that was interrupted starts again, where the job has to see to that itself."""
    more: tuple[str, ...] = ()
    """Further options of sbatch's: "--partition=render"."""


def submit(batch: Batch, indices: Sequence[int], run: Sequence[str], wanted: Wanted) -> list[str]:
    """Hand in the rows with these indices; the numbers of the jobs. `run` is the command, without its --index. Where
    some of the rows are refused, none are handed in."""
    _refuse_absent()
    jobs: list[str] = []
    with _all_or_nothing(jobs):
        for number, offset in enumerate(sorted({index // _chunk() for index in indices})):
            chunk = [index - offset * _chunk() for index in indices if index // _chunk() == offset]
            script = batch.folder / ("run.sbatch" if number == 0 else f"run-{number + 1}.sbatch")
            write_atomically(script, _script(batch, script, chunk, offset * _chunk(), run, wanted))
            in_turn = [f"--dependency=afterany:{jobs[-1]}"] if wanted.at_once and jobs else []
            jobs.append(_call("sbatch", "--parsable", *in_turn, str(script), _avoided(wanted)).split(";")[0])
    return jobs


def submit_after(batch: Batch, jobs: Sequence[str], command: Sequence[str], wanted: Wanted) -> str:
    """Hand in a command that runs once these jobs have ended, however they did; its job's number. Where it is refused,
    the jobs are taken back. That it ends with 75, because rows are not final, is no reason to start it again."""
    options = [f"--dependency=afterany:{':'.join(jobs)}", "--job-name=seig-collect", "--cpus-per-task=1", "--mem=1024"]
    options += [option for option in wanted.more if re.match(WHOSE, option)]
    output = f"--output={_pattern(batch.logs)}/collect-%j.out"
    text = f"cd {shlex.quote(str(ROOT))} && {{ {shlex.join(command)} || [ $? = 75 ]; }}"
    with _all_or_nothing(jobs):
        return _call("sbatch", "--parsable", "--requeue", *options, output, f"--wrap={text}").split(";")[0]


@contextlib.contextmanager
def _all_or_nothing(jobs: Sequence[str]) -> Iterator[None]:
    """What fails inside takes back these jobs, and says so."""
    try:
        yield
    except RunError as error:
        raise type(error)(f"{error.message} {_taken_back(jobs)}".strip(), error.remedy) from None
    except BaseException:
        _taken_back(jobs)
        raise


def _taken_back(jobs: Sequence[str]) -> str:
    if not jobs:
        return ""
    try:
        _call("scancel", *jobs)
    except RunError:
        return f"What was handed in before could not be taken back: scancel {' '.join(jobs)}"
    return f"What was handed in before it was taken back: job {', '.join(jobs)}."


REASONS = {
    "BeginTime": "to be started again",
    "Dependency": "for the rows to end",
    "JobArrayTaskLimit": "for fewer to run at once",
    "Licenses": "for a licence",
    "Priority": "for a node",
    "Resources": "for a node",
}
"""Why a task waits, of the words that squeue has for it."""


def queue(jobs: Sequence[str]) -> dict[str, str]:
    """What each task does that Slurm still knows of: "17_4" → "running", "17_5" → "waiting for a licence"."""
    _refuse_absent()
    if not jobs:
        return {}
    command = ["squeue", "--noheader", "--array", f"--jobs={','.join(jobs)}", "--format=%i|%T|%r"]
    try:
        said = _call(*command)
    except UsageError as error:
        if "Invalid job id" in error.message:  # all of them have ended long ago
            return {}
        raise
    found = {}
    for line in said.splitlines():
        job, state, reason = line.split("|")
        found[job] = f"waiting {REASONS.get(reason, f'({reason})')}" if state == "PENDING" else state.lower()
    return found


def _avoided(wanted: Wanted) -> str:
    """Nodes that no row is to run on, as sbatch's options name them."""
    named = [re.fullmatch(r"(?:--exclude=|-x)(.+)", option) for option in wanted.more]
    return ",".join(found[1] for found in named if found)


def moved_to(batch: Batch) -> list[str]:
    """The jobs of rows that a node could not do, and that were handed in again for other ones."""
    try:
        return (batch.folder / MOVED).read_text().split()
    except FileNotFoundError:
        return []


def _script(batch: Batch, script: Path, indices: Sequence[int], offset: int, run: Sequence[str], wanted: Wanted) -> str:
    most = f"%{wanted.at_once}" if wanted.at_once else ""
    options = [f"--mem={wanted.memory_mib}M", f"--cpus-per-task={wanted.cpus}"]
    options += [f"--licenses={wanted.licenses}"] if wanted.licenses else []
    options += [f"--gres={wanted.gres}"] if wanted.gres else []
    options += [f"--time={wanted.minutes}"] if wanted.minutes else []
    return str(
        _template().render(
            name=f"seig-{batch.title}"[:60],
            array=ranges(indices) + most,
            output=f"{_pattern(batch.logs)}/%A_%a.out",
            options=[*options, *wanted.more],
            working_folder=ROOT,
            offset=offset,
            warning_s=WARNING_S if wanted.minutes is None else min(WARNING_S, 60 * wanted.minutes // 4),
            run=shlex.join(run),
            script=script,
            moved=batch.folder / MOVED,
            requeued_by_slurm=_requeues(75),
            restarts=wanted.restarts,
        )
    )


@functools.cache
def _chunk() -> int:
    """Rows of one array: indices go from 0 to one below MaxArraySize."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _config(), re.MULTILINE)
    return max(1, (int(found[1]) if found else ARRAY_LIMIT) - 1)


def _requeues(code: int) -> bool:
    found = re.search(r"^RequeueExit\s*=\s*(\S+)", _config(), re.MULTILINE)
    ranges = [part.partition("-") for part in found[1].split(",")] if found else []
    return any(first.isdigit() and int(first) <= code <= int(last or first) for first, _, last in ranges)


@functools.cache
def _config() -> str:
    return _call("scontrol", "show", "config")


def _refuse_absent() -> None:
    """Raises NodeUnfit at once; the other clients try for ten seconds to reach a controller that is away."""
    if shutil.which("sbatch") is None:
        remedy = "Go where its clients are installed, or use --engine openjd, or `batch` on this machine alone."
        raise NodeUnfit("Slurm is not installed here: there is no sbatch on PATH.", remedy)
    ping = _ended("scontrol", "ping")
    if ping.returncode != 0:
        said = " ".join((ping.stdout + ping.stderr).split())[-500:]
        raise NodeUnfit(f"Slurm's controller cannot be reached: {said}.", REMEDY)


def _call(*command: str) -> str:
    """What a client printed. Raises UsageError where Slurm refuses, NodeUnfit where it cannot be reached."""
    done = _ended(*command)
    if done.returncode == 0:
        return done.stdout.strip()
    said = " ".join((done.stderr or done.stdout).split())[-500:]
    if "Unable to contact" in said or "Connection refused" in said or "slurm_load_ctl_conf error" in said:
        raise NodeUnfit(f"Slurm's controller cannot be reached: {said}", REMEDY)
    raise UsageError(f"Slurm refuses: {said}", "Correct what it names, and submit again.")


def _ended(*command: str) -> subprocess.CompletedProcess[str]:
    """A client that has ended, however it did. Raises NodeUnfit where it does not within CALL_S."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = " ".join(str(error.stderr or b"", errors="replace").split())[-500:]
        message = f"Slurm does not answer: {command[0]} took more than {CALL_S:g} s. {said}".strip()
        raise NodeUnfit(message, REMEDY) from None


def _directive(text: str) -> str:
    """As a line of sbatch's takes it, with its own quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pattern(path: Path) -> str:
    """A file's name in which Slurm replaces nothing: a percent sign stands for itself."""
    return str(path).replace("%", "%%")


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["quoted"] = lambda value: shlex.quote(str(value))
    environment.filters["directive"] = lambda value: _directive(str(value))
    return environment.from_string(
        resources.files("agent.farm.slurm").joinpath("run.sbatch").read_text(encoding="utf-8")
    )
