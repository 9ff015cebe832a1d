"""Owns a batch on one machine: rows as processes side by side, as memory and cores allow, until every row is final.

A row is the same command that a farm's engine calls, so one that is slow, broken or killed holds up no other, and a
batch that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.errors import NodeUnfit
from agent.exit_codes import NODE_UNFIT, WRONG_USAGE
from agent.farm.batch import Batch
from agent.farm.manifest import Row
from agent.farm.outcomes import Outcome, outcome_of
from agent.farm.task import MAX_ATTEMPTS
from agent.runs.failed import attempts_since_failure
from agent.runs.folder import RunFolder
from sandbox.limits import GIB, MIB
from sandbox.logs import keep_end
from sandbox.machine import available_bytes, processors

ROW_BYTES = 2 * GIB
"""What a run with an active Blender and a standby takes at the default sizes."""
GROWING_S = 60.0
"""In which a row that was started comes to take so much."""
ROW_CORES = 2
CALL_S = 20.0
"""A model call takes this or longer."""
RATE_SHARE = 0.8
"""Of the requests that are allowed: calls are not spread evenly."""
LOOK_S = 0.2
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0
"""Before a row that was interrupted starts again; twice as long each time."""
END_S = 4.0
"""For a row to stop by itself when it is asked to."""
OUTPUT_BYTES = MIB
"""Of a row's output, above which its older half is cut off when the row is started again."""
UNFIT_AT_MOST = 3
"""Rows one after the other that this machine cannot do before the batch starts no more: they would fare no better."""


@dataclass
class Task:
    """A row that is not final yet."""

    row: Row
    starts: int = 0
    most: int = 0
    """Attempts after which it is given up, those of before among them."""
    not_before: float = 0.0
    why: str = ""
    """It was interrupted."""
    process: subprocess.Popen[bytes] | None = None
    began: float = field(default=0.0)


class LocalBatch:
    """Works until every row is final, the machine turns out unfit, or it is asked to stop."""

    def __init__(
        self,
        batch: Batch,
        command: Sequence[str],
        *,
        at_once: int | None = None,
        minutes: float | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        retry_failed: bool = False,
        tell: Callable[[LocalBatch], None] = lambda batch: None,
    ) -> None:
        """`command`: of a row, without its --index. `minutes`: after which a row that did not stop itself is ended.
        `max_attempts`: of a row from now on, for it is no fault of a row's that a batch is stopped and goes on.
        `tell` is called some times a second."""
        self.batch, self._command, self._tell = batch, list(command), tell
        self._minutes, self._max_attempts = minutes, max_attempts
        self.at_once = at_once or at_once_here()
        self._retry_failed = retry_failed
        self.waiting: deque[Task] = deque()
        self.running: list[Task] = []
        self.ended: dict[int, Outcome] = {}
        """By index: rows that are final, or that this batch has given up for now."""
        self._unfit, self._why_unfit = 0, ""

    def run(self) -> None:
        """Raises Interrupted when it is asked to stop, NodeUnfit where this machine can do none of the rows: those
        under way have stopped where they were."""
        for row in self.batch.rows:
            outcome = outcome_of(self.batch.root / row.id, row)
            if outcome.is_final and not (self._retry_failed and outcome.state == "failed"):
                self.ended[row.index] = outcome
            else:
                self.waiting.append(Task(row))
        try:
            while self.waiting or self.running:
                self._start_some()
                self._tell(self)
                time.sleep(LOOK_S)
                self._look()
                if self._unfit >= UNFIT_AT_MOST and not self.running:
                    message = f"this machine could not do {self._unfit} rows one after the other: {self._why_unfit}"
                    raise NodeUnfit(message, "Then give the same command again.")
        finally:
            self._stop_all()
            self._tell(self)

    def resting(self) -> list[Task]:
        """Rows that wait after an interruption, the next first."""
        now = time.monotonic()
        return sorted((task for task in self.waiting if task.not_before > now), key=lambda task: task.not_before)

    def _start_some(self) -> None:
        """The longest waiting first, but for those whose wait after an interruption is not over."""
        now = time.monotonic()
        while len(self.running) < self.at_once and self._unfit < UNFIT_AT_MOST:
            ready = next((task for task in self.waiting if task.not_before <= now), None)
            if ready is None or (self.running and not self._has_room()):
                return
            self.waiting.remove(ready)
            self._start(ready)

    def _has_room(self) -> bool:
        """Beside the rows that have just started, of whose memory most is still counted as free."""
        growing = sum(time.monotonic() - task.began < GROWING_S for task in self.running)
        return available_bytes() > (growing + 1) * ROW_BYTES

    def _start(self, task: Task) -> None:
        folder = RunFolder(self.batch.root / task.row.id)
        if task.starts == 0:
            task.most = attempts_since_failure(folder) + self._max_attempts
        task.starts, task.began = task.starts + 1, time.monotonic()
        retry = ["--retry-failed"] if self._retry_failed and task.starts == 1 else []
        log = self.batch.logs / f"{task.row.id}.out"
        keep_end(log, OUTPUT_BYTES)
        with log.open("ab") as output:
            task.process = subprocess.Popen(
                [*self._command, *retry, "--max-attempts", str(task.most), "--index", str(task.row.index)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
                preexec_fn=_stop_with_us if _LIBC is not None else None,
            )
        self.running.append(task)

    def _look(self) -> None:
        for task in list(self.running):
            assert task.process is not None
            code = task.process.poll()
            if code is not None:
                self.running.remove(task)
                self._take(task, code)
            elif self._minutes is not None and time.monotonic() - task.began > 60 * self._minutes:
                _end(task.process)

    def _take(self, task: Task, code: int) -> None:
        """What a row's exit code means; what its folder says is what counts."""
        outcome = outcome_of(self.batch.root / task.row.id, task.row)
        self._unfit, self._why_unfit = (self._unfit + 1, outcome.message) if code == NODE_UNFIT else (0, "")
        if outcome.is_final or code in (WRONG_USAGE, NODE_UNFIT) or task.starts >= self._max_attempts:
            self.ended[task.row.index] = outcome
        else:
            task.why = outcome.message or f"ended with {code}"
            task.not_before = time.monotonic() + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (task.starts - 1))
            self.waiting.append(task)

    def _stop_all(self) -> None:
        """Ask all rows to stop, and end those that do not within END_S."""
        processes = [task.process for task in self.running if task.process is not None]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + END_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end(process)


def at_once_here() -> int:
    """How many rows this machine bears at the same time."""
    return max(1, min(processors() // ROW_CORES, available_bytes() // ROW_BYTES))


def at_once_by_rate(requests_per_minute: int, calls_at_once: int) -> int:
    """How many rows a model's service bears that allows so many requests, when each makes so many calls at a time."""
    return max(1, int(RATE_SHARE * requests_per_minute * CALL_S / (60.0 * calls_at_once)))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its Blenders die with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _stop_with_us() -> None:
    """In a row's process, before its program: when the batch is killed, the row is asked to stop."""
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def row_command(*options: str) -> list[str]:
    """The command of a row on this machine."""
    return [sys.executable, "-m", "agent", "run", *options]
