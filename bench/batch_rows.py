"""Measures what the program's own work on a row takes, with a scripted model and a stand-in for Blender, in a batch of
few rows and in one of many. Usage:

    .venv/bin/python bench/batch_rows.py [--few 25] [--many 200] [--at-once 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "fakes"))

from farm_rows import begun, command, environment  # type: ignore[import-not-found]

from agent.farm.collecting import collect
from agent.farm.local import LocalBatch
from agent.farm.outcomes import outcomes


class Meter:
    """Told of a batch some times a second: the processor time that its rows have taken by when so many had ended."""

    def __init__(self, rows: int) -> None:
        self.marks = {0: _used(resource.RUSAGE_CHILDREN)}
        self._quarters = [rows // 4, rows - rows // 4, rows]

    def __call__(self, batch: LocalBatch) -> None:
        ended = len(batch.ended)
        if self._quarters and ended >= self._quarters[0]:
            self._quarters.pop(0)
            self.marks[ended] = _used(resource.RUSAGE_CHILDREN)

    def per_row_s(self) -> list[float]:
        """In the first quarter of the batch, its middle, its last quarter."""
        marks = list(self.marks.items())
        return [(used - before) / (rows - rows_before) for (rows_before, before), (rows, used) in pairwise(marks)]


def measure(folder: Path, rows: int, at_once: int) -> str:
    batch = begun(folder, rows)
    os.environ.update(environment(folder))
    meter, began, own = Meter(rows), time.monotonic(), _used(resource.RUSAGE_SELF)
    LocalBatch(batch, command(batch), at_once=at_once, tell=meter).run()
    took_s = time.monotonic() - began
    totals = collect(batch.root, batch.title, outcomes(batch.root, batch.rows))
    assert totals.states == {"accepted": rows}, totals
    own_ms = 1000 * (_used(resource.RUSAGE_SELF) - own) / rows
    whole = (list(meter.marks.values())[-1] - meter.marks[0]) / rows
    parts = " | ".join(f"{each:.2f}" for each in meter.per_row_s())
    return f"| {rows} | {took_s / rows:.2f} | {whole:.2f} | {parts} | {own_ms:.0f} |"


def _used(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=25)
    parser.add_argument("--many", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    print("| rows | wall clock s a row | processor s a row | first quarter | middle | last quarter | batch, ms a row |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="rows-") as name:
        for which, rows in (("few", options.few), ("many", options.many)):
            print(measure(Path(name) / which, rows, options.at_once), flush=True)


if __name__ == "__main__":
    main()
