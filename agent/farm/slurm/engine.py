"""Owns what is said to Slurm: the script that is handed in, and its clients sbatch, squeue, scontrol.

Source: Slurm's manual pages of version 22.05, sbatch(1), squeue(1), scontrol(1).
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from typing import Any

from agent.errors import NodeUnfit, UsageError
from agent.farm.batch import Batch
from agent.farm.ranges import ranges
from agent.runs.journal import write_atomically
from protocol.models import Value
from sandbox.folders import ROOT

CALL_S = 60.0
ARRAY_LIMIT = 1001
"""MaxArraySize where a cluster does not say: indices end one below it."""


class Wanted(Value):
    """What each task of a batch asks the cluster for."""

    at_once: int | None = None
    """Most tasks that run at the same time."""
    licenses: str = ""
    """Of the cluster, one for each run that may talk to the model's service: "vlm:1"."""
    gres: str = ""
    """Of a node: "blender:1", "gpu:1"."""
    memory_mib: int = 4096
    cpus: int = 2
    minutes: int | None = None
    """Time limit of a task."""
    restarts: int = 4
    """How often a task that was interrupted starts again, where the job has to see to that itself."""
    more: tuple[str, ...] = ()
    """Further options of sbatch's: "--partition=render"."""


def submit(batch: Batch, indices: Sequence[int], run: Sequence[str], wanted: Wanted) -> list[str]:
    """Hand in the rows with these indices; the numbers of the jobs. `run` is the command, without its --index."""
    _refuse_missing()
    jobs = []
    for number, offset in enumerate(sorted({index // _chunk() for index in indices})):
        chunk = [index - offset * _chunk() for index in indices if index // _chunk() == offset]
        script = batch.folder / ("run.sbatch" if number == 0 else f"run-{number + 1}.sbatch")
        write_atomically(script, _script(batch, chunk, offset * _chunk(), run, wanted))
        jobs.append(_call("sbatch", "--parsable", str(script)).split(";")[0])
    return jobs


def submit_after(batch: Batch, jobs: Sequence[str], command: Sequence[str]) -> str:
    """Hand in a command that runs once these jobs have ended, however they did; its job's number."""
    options = [f"--dependency=afterany:{':'.join(jobs)}", "--job-name=seig-collect", "--cpus-per-task=1", "--mem=1024"]
    output = f"--output={batch.logs / 'collect-%j.out'}"
    text = f"cd {shlex.quote(str(ROOT))} && {shlex.join(command)}"
    return _call("sbatch", "--parsable", "--requeue", *options, output, f"--wrap={text}").split(";")[0]


def queue(jobs: Sequence[str]) -> dict[str, str]:
    """State, and for a waiting task the reason, of each task that Slurm still knows of: "17_4" → "PENDING Licenses"."""
    _refuse_missing()
    if not jobs:
        return {}
    command = ["squeue", "--noheader", "--array", f"--jobs={','.join(jobs)}", "--format=%i|%T|%r"]
    try:
        said = _call(*command)
    except UsageError:  # all of them have ended long ago
        return {}
    found = {}
    for line in said.splitlines():
        job, state, reason = (*line.split("|"), "", "")[:3]
        found[job] = f"{state} {reason}" if state == "PENDING" and reason not in ("None", "") else state
    return found


def _script(batch: Batch, indices: Sequence[int], offset: int, run: Sequence[str], wanted: Wanted) -> str:
    most = f"%{wanted.at_once}" if wanted.at_once else ""
    options = [f"--mem={wanted.memory_mib}M", f"--cpus-per-task={wanted.cpus}"]
    options += [f"--licenses={wanted.licenses}"] if wanted.licenses else []
    options += [f"--gres={wanted.gres}"] if wanted.gres else []
    options += [f"--time={wanted.minutes}"] if wanted.minutes else []
    return str(
        _template().render(
            name=f"seig-{batch.title}"[:60],
            array=ranges(indices) + most,
            logs=batch.logs,
            options=[*options, *wanted.more],
            working_folder=ROOT,
            offset=offset,
            run=shlex.join(run),
            requeued_by_slurm=_requeues(75),
            restarts=wanted.restarts,
        )
    )


@functools.cache
def _chunk() -> int:
    """Rows of one array: indices go from 0 to one below MaxArraySize."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _config(), re.MULTILINE)
    return (int(found[1]) if found else ARRAY_LIMIT) - 1


def _requeues(code: int) -> bool:
    found = re.search(r"^RequeueExit\s*=\s*(\S+)", _config(), re.MULTILINE)
    return found is not None and str(code) in found[1].split(",")


@functools.cache
def _config() -> str:
    return _call("scontrol", "show", "config")


def _refuse_missing() -> None:
    if shutil.which("sbatch") is None:
        remedy = "Go where its clients are installed, or use --engine openjd, or `batch` on this machine alone."
        raise NodeUnfit("Slurm is not installed here: there is no sbatch on PATH.", remedy)


def _call(*command: str) -> str:
    """What a client printed. Raises UsageError where Slurm refuses, NodeUnfit where it cannot be reached."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"Slurm does not answer: {command[0]} took more than {CALL_S:g} s."
        raise NodeUnfit(message, "See whether its controller runs: scontrol ping") from None
    if done.returncode == 0:
        return done.stdout.strip()
    said = " ".join((done.stderr or done.stdout).split())[-500:]
    if "Unable to contact" in said or "Connection refused" in said or "slurm_load_ctl_conf error" in said:
        raise NodeUnfit(f"Slurm's controller cannot be reached: {said}", "See whether it runs: scontrol ping")
    raise UsageError(f"Slurm refuses: {said}", "Correct what it names, and submit again.")


def _directive(text: str) -> str:
    """As a line of sbatch's takes it: its own quotes, and a percent sign that stands for itself."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["quoted"] = lambda value: shlex.quote(str(value))
    environment.filters["directive"] = lambda value: _directive(str(value))
    return environment.from_string(
        resources.files("agent.farm.slurm").joinpath("run.sbatch").read_text(encoding="utf-8")
    )
