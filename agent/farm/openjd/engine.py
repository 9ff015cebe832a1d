"""Owns the job template of a batch, and the runner that checks and runs it on this machine.

Source: Open Job Description, template schema 2023-09. AWS Deadline Cloud takes the same template; what it calls limits
are the amounts here.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import NodeUnfit, UsageError
from agent.farm.batch import TEMPLATE, Batch
from agent.farm.ranges import ranges
from agent.runs.folder import write_json
from protocol.models import Value
from sandbox.folders import ROOT

NOTIFY_S = 60
"""Between asking a task to stop and killing it."""
DEFAULT_MINUTES = 24 * 60
END_S = 6.0
"""For the runner to end once it is asked to."""
MOST_SAID = 500
"""Characters of what it says when it refuses."""


class Wanted(Value):
    """What each task asks its host for."""

    cpus: int
    memory_mib: int
    minutes: int | None = None
    slots: str = ""
    """Name of the farm's limit on runs that talk to the model's service: "vlm_slots"."""


def write_template(
    batch: Batch, indices: Sequence[int], run: Sequence[str], collect: Sequence[str], wanted: Wanted
) -> Path:
    """The job of these rows as a file, which with the batch's folder makes a job bundle. `run` is the command of a row
    without its --index, `collect` the report's; of both, what follows "-m agent" counts, and the batch's own paths
    become the job's parameters."""
    path = batch.root / TEMPLATE
    write_json(path, template(batch, indices, run, collect, wanted))
    return path


def check(path: Path) -> None:
    """Raises UsageError where the runner refuses the template."""
    done = subprocess.run([_program(), "check", str(path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UsageError(f"openjd refuses {path}: {' '.join((done.stdout + done.stderr).split())[-MOST_SAID:]}")


def run_here(path: Path, indices: Sequence[int]) -> None:
    """Run the rows on this machine, one after the other, in the foreground: each as a session of its own, for the
    runner ends a session at the first task that fails."""
    for index in indices:
        command = [_program(), "run", str(path), "--step", "Run", "--task-param", f"Index={index}"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as runner:
            try:
                runner.wait()
            except BaseException:
                runner.terminate()  # it asks the row to stop, and waits for that
                with contextlib.suppress(subprocess.TimeoutExpired):
                    runner.wait(END_S)
                raise


def template(
    batch: Batch, indices: Sequence[int], run: Sequence[str], collect: Sequence[str], wanted: Wanted
) -> dict[str, Any]:
    host: dict[str, Any] = {
        "amounts": [
            {"name": "amount.worker.vcpu", "min": wanted.cpus},
            {"name": "amount.worker.memory", "min": wanted.memory_mib},
            *([{"name": f"amount.{wanted.slots}", "min": 1}] if wanted.slots else []),
        ],
        "attributes": [{"name": "attr.worker.os.family", "anyOf": ["linux", "macos"]}],
    }
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": f"SEIG {_plain(batch.title)}"[:64],
        "parameterDefinitions": [
            _path("Manifest", "FILE", "IN", batch.manifest.relative_to(batch.root)),
            _path("Out", "DIRECTORY", "INOUT", Path()),
            {"name": "Program", "type": "STRING", "default": str(ROOT)},
            {"name": "Python", "type": "STRING", "default": sys.executable},
        ],
        "steps": [
            {
                "name": "Run",
                "parameterSpace": {
                    "taskParameterDefinitions": [{"name": "Index", "type": "INT", "range": ranges(indices)}]
                },
                "stepEnvironments": [_SCRATCH],
                "hostRequirements": host,
                "script": _script([*_run(batch, run), *_TASK], wanted.minutes),
            },
            {
                "name": "Collect",
                "dependencies": [{"dependsOn": "Run"}],
                "script": _script(_run(batch, collect), 60),
            },
        ],
    }


_TASK = ("--progress", "openjd", "--path-map", "{{Session.PathMappingRulesFile}}", "--index", "{{Task.Param.Index}}")


_SCRATCH = {"name": "Scratch", "variables": {"TMPDIR": "{{Session.WorkingDirectory}}"}}


def _plain(title: str) -> str:
    """A job's name is a format string, and has no control characters."""
    return "".join(each if each.isprintable() else " " for each in title).replace("{{", "{ {").replace("}}", "} }")


def _run(batch: Batch, command: Sequence[str]) -> list[str]:
    """Its arguments, with the job's parameters in the place of paths."""
    places = {
        str(batch.manifest): "{{Param.Manifest}}",
        str(batch.root): "{{Param.Out}}",
        str(batch.config_file): f"{{{{Param.Out}}}}/{batch.config_file.relative_to(batch.root)}",
    }
    return [places.get(word, word) for word in command[command.index("agent") + 1 :]]


def _path(name: str, kind: str, flow: str, default: Path) -> dict[str, Any]:
    """`default` is relative to the template's folder, as it has to be."""
    return {"name": name, "type": "PATH", "objectType": kind, "dataFlow": flow, "default": str(default)}


def _script(arguments: Sequence[str], minutes: int | None) -> dict[str, Any]:
    """The run is the task's own process, so that it is the one that is told to stop."""
    return {
        "actions": {
            "onRun": {
                "command": "{{Param.Python}}",
                "args": ["-c", _START, "{{Param.Program}}", *arguments],
                "timeout": 60 * (minutes or DEFAULT_MINUTES),
                "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": NOTIFY_S},
            }
        }
    }


_START = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('agent', run_name='__main__')"
"""`python -m agent` from a checkout, whatever folder the task begins in."""


def _program() -> str:
    beside = Path(sys.executable).with_name("openjd")
    found = shutil.which("openjd") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise NodeUnfit("Open Job Description's runner is not installed here.", "Install it: pip install openjd-cli")
    return found
