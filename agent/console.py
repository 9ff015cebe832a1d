"""Owns what a person sees while a run works: one live line on a terminal, plain lines elsewhere; and status.json.

Says only what it is told, without what would command the terminal; a standard output that is closed, or that nobody
reads, is no error.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from agent.progress import Progress, progress_lines
from agent.runs.journal import write_atomically
from agent.runs.lease import LeaseLost, job_id
from protocol.printable import printable

QUIET_S = 50.0
"""A line appears at least this often, so that a farm does not think the run has stalled."""
STATUS_S = 15.0
LONGEST_LINE = 1000
"""Characters; so much fits whole into a pipe that has any room."""
ONCE_AT_MOST = 20
"""Things that are said once, in a process: what a Blender notes with each picture could be another each time."""
READER_S = 10.0
"""How long a command's answer waits for somebody to read it."""


class Screen(NamedTuple):
    """Where a run tells its story, and how a farm's engine reads it."""

    stream: TextIO
    progress: Progress = "none"


class Console:
    """Where the run is now (stage, round, step, what it waits for), shown and written."""

    def __init__(
        self,
        status: Path | None = None,
        stream: TextIO | None = None,
        spent_s: float = 0.0,
        *,
        progress: Progress = "none",
        facts: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`spent_s`: what the run took before, in other processes; its clock goes on from there, as do its percent.
        `facts` are what else status.json tells; where they raise LeaseLost, it is another process's and left alone."""
        self._stream = stream or sys.stdout
        self._progress, self._facts = progress, facts
        self._live = progress == "none" and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._status = status
        self._started = time.monotonic() - spent_s
        self._stage, self._round, self._where = "", 0, "starting"
        self._waiting, self._waiting_since = "", time.monotonic()
        self._percent = _percent_before(status)
        self._scores: dict[str, float] = {}
        self._said: set[str] = set()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._last_line = time.monotonic()
        self._thread = threading.Thread(target=self._tick, name="console", daemon=True)

    def __enter__(self) -> Console:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._clear()
        if kind is None:
            self._stage, self._round, self._where, self._waiting, self._percent = "", 0, "finished", "", 100.0
        self._write_status("stopped" if kind else "finished")

    def say(self, text: str) -> None:
        """A lasting line."""
        with self._lock:
            self._clear()
            if self._progress != "jsonl":
                self._print(text if text == "" else f"[{self.elapsed()}] {text}")
            elif text:
                self._print(json.dumps({"said": text}, ensure_ascii=False))

    def scored(self, **figures: float | None) -> None:
        """How well the scene matches by now."""
        self._scores.update({name: round(value, 4) for name, value in figures.items() if value is not None})

    def say_once(self, text: str) -> None:
        """A lasting line, the first time that it is said; as long as there are few such lines."""
        with self._lock:
            known = text in self._said or len(self._said) > ONCE_AT_MOST
            if not known:
                self._said.add(text)
            one_more = len(self._said) <= ONCE_AT_MOST
        if not known:
            self.say(text if one_more else "more was noted, which the journal has")

    def step(self, stage: str, what: str, percent: float | None = None, round: int = 0, rounds: int = 0) -> None:
        """The run has come to this step of a stage, in this round; `percent` of the whole never falls."""
        with self._lock:
            self._stage, self._round = stage, round
            self._where = " · ".join((stage, *([f"round {round} of {rounds}"] if round else []), what))
            self._percent = max(self._percent, percent or 0.0)
            self._waiting = ""
            if not self._live:
                self._print_where()

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        before = self._waiting, self._waiting_since
        self._waiting, self._waiting_since = what, time.monotonic()
        try:
            yield
        finally:
            self._waiting, self._waiting_since = before

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _tick(self) -> None:
        next_status = 0.0
        while not self._stop.wait(0.2 if self._live else 1.0):
            now = time.monotonic()
            with self._lock:
                if self._live:
                    self._draw()
                elif now - self._last_line > QUIET_S:
                    self._print_where()
            if now >= next_status:
                self._write_status("running")
                next_status = now + STATUS_S

    def _print_where(self) -> None:
        if self._progress != "jsonl":
            self._print(f"[{self.elapsed()}] {self._line()}")
        for line in progress_lines(self._progress, self._percent, self._line()):
            self._print(line)

    def _line(self) -> str:
        if not self._waiting:
            return self._where
        return f"{self._where} · {self._waiting}, {time.monotonic() - self._waiting_since:.0f} s"

    def _draw(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if not has_reader(self._stream):
                return
            width = os.get_terminal_size(self._stream.fileno()).columns
            text = f"{self.elapsed()}  {self._percent:3.0f} %  {self._line()}"[: width - 1]
            self._stream.write(f"\r\x1b[2K{printable(text)}")
            self._stream.flush()

    def _clear(self) -> None:
        if self._live and has_reader(self._stream):
            with contextlib.suppress(OSError, ValueError):
                self._stream.write("\r\x1b[2K")
                self._stream.flush()

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        print_line(self._stream, text)

    def _write_status(self, state: str) -> None:
        if self._status is None or not self._status.parent.is_dir():
            return
        elapsed_s = time.monotonic() - self._started
        now = {
            "state": state,
            "where": self._where,
            "stage": self._stage or None,
            "round": self._round or None,
            "waiting_for": self._waiting or None,
            "percent": round(self._percent, 1),
            "elapsed_s": round(elapsed_s, 1),
            "eta_s": _eta_s(elapsed_s, self._percent),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": job_id(),
            "at": round(time.time(), 1),
            **self._scores,
        }
        with contextlib.suppress(OSError, LeaseLost):
            write_atomically(self._status, json.dumps({**now, **self._facts()}, indent=2) + "\n")


def _percent_before(status: Path | None) -> float:
    """How far an earlier process came: progress never goes back."""
    try:
        before = json.loads(status.read_bytes())["percent"] if status else 0.0
        return min(99.0, max(0.0, float(before)))
    except (OSError, ValueError, TypeError, KeyError):
        return 0.0


EARLY_PERCENT = 10.0


def _eta_s(elapsed_s: float, percent: float) -> float | None:
    """Seconds that are left if the rest goes as what is done; None where too little is done to say."""
    return round(elapsed_s * (100.0 - percent) / percent, 0) if percent >= EARLY_PERCENT else None


def answer(text: str) -> None:
    """Print what a command was asked for. A reader that has gone, or does not read, is no error; a file that cannot
    take it is told of, and changes nothing of what was done."""
    if not has_reader(sys.stdout, READER_S):
        return
    try:
        print(printable(text), flush=True)
    except BrokenPipeError:
        pass
    except (OSError, ValueError) as error:
        print_line(sys.stderr, f"seig: standard output: {error}")


def print_line(stream: TextIO, text: str) -> None:
    """A line for whoever looks: a stream that is broken, or that nobody reads, does without it."""
    if has_reader(stream):
        with contextlib.suppress(OSError, ValueError):
            print(printable(text[:LONGEST_LINE]), file=stream, flush=True)


def has_reader(stream: TextIO, wait_s: float = 0.0) -> bool:
    """Whether a line can be written without waiting: a full pipe that nobody reads must not hold up a run."""
    try:
        return bool(select.select([], [stream], [], wait_s)[1])
    except (OSError, ValueError, TypeError):  # no descriptor, or closed: writing does not wait
        return True
