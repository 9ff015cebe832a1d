"""Owns the soak: many edits with faults mixed in by a seeded dice, and whether anything grew or was lost.

make soak N=1000
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakes"))

import psutil
from box_helpers import eventually

from sandbox.limits import MIB
from tests.faults import levels
from tests.faults.ground import MOVE, Ground
from tests.faults.injected import WIRE
from tests.tables import write_into

SWAPPED = "bpy.data.objects['Cup'].scale.x = 0.5 + (bpy.data.objects['Cup'].location.x % 7) / 7\n"
FAULTS = {
    "reads address zero": ("import ctypes; ctypes.string_at(0)", 15),
    "aborts": ("import os; os.abort()", 15),
    "ends itself": ("import os; os._exit(0)", 15),
    "never returns": ("while True: pass", 1),
    "takes memory": ("kept = []\nwhile True: kept.append(bytearray(b'x') * 50_000_000)", 15),
    "floods its output": ("import os\nwhile True: os.write(1, b'x' * 65536)", 15),
    "answers garbage": (WIRE + "S._socket.send_multipart([b'x', b'y'])\ntime.sleep(600)", 15),
    "answers what was not asked": (WIRE + "while True: reply(MINE + 7, 'execute', DONE)", 15),
    "forks a daemon": (
        MOVE + "import os\nif not os.fork(): os.setsid(); os.execve('/bin/sleep', ['sleep', '600'], {})",
        15,
    ),
    "leaves a thread that works": (
        MOVE
        + "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()",
        15,
    ),
    "dies while it saves": (MOVE + "import os\nbpy.app.handlers.save_pre.append(lambda *a: os.abort())", 15),
}
WARM = 0.2
"""The share of edits after which all that is loaded or started once has been."""


@dataclass(frozen=True)
class Sample:
    edit: int
    descriptors: int
    threads: int
    memory_bytes: int
    processes: int
    nanny_descriptors: int
    nanny_bytes: int


class Figures:
    """What a soak came to; `wrong` says what should not be, and is empty when all is well."""

    def __init__(self, edits, seed, level):
        self.edits, self.seed, self.level = edits, seed, level
        self.kinds, self.samples, self.wrong = Counter(), [], []
        self.states, self.seconds = 0, 0.0

    def text(self):
        first, last = self.samples[0], self.samples[-1]
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        rows = (
            ("descriptors of the agent", first.descriptors, last.descriptors),
            ("threads of the agent", first.threads, last.threads),
            ("memory of the agent, MiB", first.memory_bytes // MIB, last.memory_bytes // MIB),
            ("processes", first.processes, last.processes),
            ("descriptors of a nanny, at most", first.nanny_descriptors, last.nanny_descriptors),
            ("memory of a nanny, MiB, at most", first.nanny_bytes // MIB, last.nanny_bytes // MIB),
        )
        head = f"| | after {first.edit} edits | after {last.edit} edits |\n|---|---|---|\n"
        table = head + "".join(f"| {name} | {before} | {after} |\n" for name, before, after in rows)
        verdict = "; ".join(self.wrong) or "nothing grew, nothing was lost"
        return (
            f"{self.edits} edits at {self.level}, seed {self.seed}, in {self.seconds:.0f} s: {kinds}. "
            f"{self.states} accepted states, each as it was accepted: {verdict}.\n\n{table}"
        )


def soak(edits, seed, folder, level):
    dice, figures, began = random.Random(seed), Figures(edits, seed, level), time.monotonic()
    with Ground(level, folder) as ground:
        for number in range(1, edits + 1):
            figures.kinds[_one(ground, dice).kind] += 1
            if number == int(edits * WARM) or number == edits:
                figures.samples.append(_sample(ground, number))
        ground.goes_on()
        _judge(ground, figures)
    figures.seconds = time.monotonic() - began
    return figures


def _one(ground, dice):
    what = dice.choices(("move", "scale", "raise", "outside", "fault"), (55, 20, 8, 5, 12))[0]
    if what == "fault":
        source, timeout_s = FAULTS[dice.choice(sorted(FAULTS))]
        return ground.edit(source, timeout_s=timeout_s)
    source, scope = {
        "move": (MOVE, {"transform"}),
        "scale": (SWAPPED, {"transform"}),
        "raise": ("1 / 0", {"transform"}),
        "outside": (MOVE, {"material"}),
    }[what]
    return ground.edit(source, scope)


def _sample(ground, number):
    """Once what was ended is gone."""
    us = psutil.Process()
    ground.pool._standby.result()
    eventually(lambda: len(ground._running()) <= ground._usual, 30)
    nannies = [psutil.Process(nanny.pid) for nanny in list(ground.pool._nannies)]
    return Sample(
        edit=number,
        descriptors=us.num_fds(),
        threads=us.num_threads(),
        memory_bytes=us.memory_info().rss,
        processes=len(ground._running()),
        nanny_descriptors=max(nanny.num_fds() for nanny in nannies),
        nanny_bytes=max(nanny.memory_info().rss for nanny in nannies),
    )


def _judge(ground, figures):
    first, last = figures.samples[0], figures.samples[-1]
    for name, allowed in (
        ("descriptors", 4), ("threads", 4), ("memory_bytes", 32 * MIB), ("processes", 0),
        ("nanny_descriptors", 4), ("nanny_bytes", 24 * MIB),
    ):  # fmt: skip
        if getattr(last, name) > getattr(first, name) + allowed:
            figures.wrong.append(f"{name}: {getattr(first, name)} → {getattr(last, name)}")
    states = ground.store.ancestry(ground.scene.head.id)
    figures.states = len(states)
    for state in states:
        ground.store.verify(state.id)
    ground.states_are_true(*states[:: max(1, len(states) // 20)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("edits", type=int, nargs="?", default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", default=levels.offered()[-1], choices=levels.offered())
    parser.add_argument("--write", type=Path, help="a Markdown file to write the figures into")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seig-soak-") as folder:
        figures = soak(options.edits, options.seed, Path(folder), options.level)
    print(figures.text())
    if options.write:
        write_into(options.write, "soak", figures.text())
    sys.exit(bool(figures.wrong))


if __name__ == "__main__":
    main()
