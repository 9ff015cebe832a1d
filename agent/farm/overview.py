"""Owns what a person sees of a batch on one machine: a live table on a terminal, a line now and then elsewhere.

A standard output that is closed or full, or that nobody reads, holds up no row.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType

from rich import box
from rich.console import Console as Screen
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from agent.console import has_reader, print_line
from agent.farm.local import LocalBatch
from agent.farm.outcomes import outcome_of

DRAW_S, LINE_S = 0.5, 30.0
BAR = 16
"""Characters."""


class _Terminal(Screen):
    def on_broken_pipe(self) -> None:
        """Else the program would end."""
        self.quiet = True


class Overview:
    """Called by the batch some times a second; a context manager."""

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._screen = _Terminal(file=self._stream, highlight=False, soft_wrap=True)
        self._live = (
            Live(console=self._screen, auto_refresh=False, transient=True) if self._screen.is_terminal else None
        )
        self._began = self._drawn = time.monotonic()
        self._said = 0.0
        self._begun = False
        self._told: set[int] = set()

    def __enter__(self) -> Overview:
        if self._live is not None:
            with self._drawn_if_seen():
                self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._screen.quiet = self._screen.quiet or not has_reader(self._stream)
            with self._drawn_if_seen():
                self._live.stop()

    def __call__(self, batch: LocalBatch) -> None:
        if not self._begun and batch.ended:
            self._say(f"{len(batch.ended)} of {len(batch.batch.rows)} rows were final before")
            self._told.update(batch.ended)
        self._begun = True
        for index in sorted(batch.ended.keys() - self._told):
            self._told.add(index)
            self._say(f"[{self._elapsed()}] {_said_of(batch, index)}")
        now = time.monotonic()
        if self._live is not None and now - self._drawn > DRAW_S:
            self._drawn, drawing = now, self._drawing(batch)
            with self._drawn_if_seen():
                self._live.update(drawing, refresh=has_reader(self._stream))
        elif self._live is None and now - self._said > LINE_S:
            self._said = now
            self._say(f"[{self._elapsed()}] {self._line(batch)}")

    def _say(self, text: str) -> None:
        if self._live is None:
            print_line(self._stream, text)
        elif has_reader(self._stream):
            with self._drawn_if_seen():
                self._screen.print(text, markup=False)

    @contextlib.contextmanager
    def _drawn_if_seen(self) -> Iterator[None]:
        """A terminal that has gone does without."""
        try:
            yield
        except (OSError, ValueError):
            self._screen.quiet = True

    def _drawing(self, batch: LocalBatch) -> Group:
        rows = len(batch.batch.rows)
        whole = ProgressBar(total=rows, completed=len(batch.ended), width=None)
        return Group(f"{self._elapsed()}  {self._line(batch)}", whole, self._table(batch))

    def _table(self, batch: LocalBatch) -> Table:
        table = Table(box=box.SIMPLE_HEAD, expand=True)
        table.add_column("row", justify="right")
        table.add_column("id", overflow="ellipsis", no_wrap=True, max_width=24)
        table.add_column("where", overflow="ellipsis", no_wrap=True, ratio=1)
        table.add_column("", width=BAR)
        for name in ("PSNR", "calls", "cost"):
            table.add_column(name, justify="right")
        for task in batch.running:
            now = outcome_of(batch.batch.root / task.row.id, task.row)
            bar = ProgressBar(total=100, completed=now.percent, width=BAR)
            score = "" if now.psnr_db is None else f"{now.psnr_db:.2f} dB"
            table.add_row(str(now.index), now.id, now.where or "starting", bar, score, str(now.calls), _price(now.usd))
        for task in batch.resting():
            wait_s = max(0.0, task.not_before - time.monotonic())
            table.add_row(str(task.row.index), task.row.id, f"again in {wait_s:.0f} s: {task.why}", "", "", "", "")
        return table

    def _line(self, batch: LocalBatch) -> str:
        states = Counter(each.state for each in batch.ended.values())
        parts = [f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items())]
        rows = len(batch.batch.rows)
        done = f"{len(batch.ended)} of {rows} rows ended" + (f" ({', '.join(parts)})" if parts else "")
        return f"{done}; {len(batch.running)} running, {len(batch.waiting)} waiting"

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _said_of(batch: LocalBatch, index: int) -> str:
    one = batch.ended[index]
    score = f", PSNR {one.psnr_db:.2f} dB" if one.psnr_db is not None else ""
    failed = f": {one.failure_class}: {one.message}" if one.failure_class else ""
    return f"row {one.index} {one.id}: {one.state.replace('_', ' ')}{score}{failed}"


def _price(usd: float | None) -> str:
    return "?" if usd is None else f"${usd:.2f}"
