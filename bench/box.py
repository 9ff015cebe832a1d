"""Measures what the box costs and how quickly it recovers, each as medians and ratios within one run. Usage:

    make bench [ONLY=recovery,commit]    or    .venv/bin/python bench/box.py [--only …] [--blender wheel] [--level L3]

Clocks differ between machines and moments; the ratio to a new Blender for every edit, taken in the same run, does not.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from protocol.models import InspectRequest, RenderRequest
from sandbox.confinement.choosing import choose
from sandbox.discovery import Blender, find_blender
from sandbox.limits import GIB, Limits
from sandbox.pool import Pool
from sandbox.snapshots import Edit, SnapshotStore
from sandbox.transaction import FACTORS, EditOutcome, SceneSession

SCENE = frozenset(FACTORS) - {"host"}
THINGS = """
import bpy
for n in range({objects}):
    bpy.ops.mesh.primitive_grid_add(x_subdivisions={cuts}, y_subdivisions={cuts}, location=(n % 20 * 3, n // 20 * 3, 0))
    bpy.context.object.name = f"Thing{{n}}"
    bpy.context.object.data.materials.append(bpy.data.materials.new(f"Paint{{n}}"))
bpy.ops.object.light_add(type="SUN")
bpy.ops.object.camera_add(location=(0, -20, 8), rotation=(1.2, 0, 0))
bpy.context.scene.camera = bpy.context.object
"""
MOVE = "bpy.data.objects['Thing0'].location.z += 0.01"


class Bench:
    """One pool and one session that all rows share."""

    def __init__(self, blender: Blender, pool: Pool, session: SceneSession, lost: list[float]) -> None:
        self.blender, self.pool, self.session = blender, pool, session
        self.lost = lost
        """When a Blender was found to be lost."""
        self._edits = 0

    def edit(self, source: str, timeout_s: float = 120) -> EditOutcome:
        self._edits += 1
        fields = {"label": "bench", "stage": f"bench {self._edits}", "round": 1, "seed": 1}
        return self.session.edit(Edit(index=self._edits, source=source, **fields), SCENE, timeout_s=timeout_s)

    def fill(self, objects: int, cuts: int) -> None:
        """A scene of so many grids of cuts × cuts faces."""
        self.session.move_to(self.pool.root())
        assert self.edit(THINGS.format(objects=objects, cuts=cuts)).kind == "committed"


def median_s(call: Callable[[], object], times: int) -> float:
    return statistics.median(_seconds(call) for _ in range(times))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def new_blender_s(bench: Bench, code: str = "import bpy", times: int = 3) -> float:
    """A Blender started for one edit and ended after it, as systems without a server do; unconfined."""
    if bench.blender.kind == "wheel":
        command = [str(bench.blender.executable), "-I", "-c", f"import bpy\n{code}"]
    else:
        command = [str(bench.blender.executable), "-b", "--factory-startup", "--python-expr", code]
    return median_s(lambda: subprocess.run(command, capture_output=True, check=True), times)


def noop(bench: Bench) -> str:
    bench.fill(1, 4)
    with bench.session.temporary():
        ours_s = median_s(lambda: bench.session.execute(""), 500)
    start_s = new_blender_s(bench)
    return f"request to reply {ours_s * 1000:.2f} ms; a new Blender {start_s:.2f} s = {start_s / ours_s:,.0f} ×"


def edit_render(bench: Bench) -> str:
    bench.fill(30, 22)
    request = RenderRequest(width_px=256, height_px=256, samples=16)

    def both() -> None:
        assert bench.edit(MOVE).kind == "committed"
        bench.session.call(request)

    ours_s = median_s(both, 7)
    with tempfile.TemporaryDirectory() as folder:
        file, picture = bench.pool.store.path(bench.session.head.id), Path(folder) / "r.png"
        code = (
            f"import bpy; bpy.ops.wm.open_mainfile(filepath={str(file)!r}); {MOVE}; s = bpy.context.scene; "
            "s.render.resolution_x = s.render.resolution_y = 256; s.cycles.samples = 16; "
            f"s.cycles.use_denoising = {bench.blender.facts.denoiser}; "
            f"s.render.filepath = {str(picture)!r}; bpy.ops.render.render(write_still=True)"
        )
        theirs_s = new_blender_s(bench, code)
        assert picture.exists()
    return f"{ours_s:.2f} s; with a new Blender {theirs_s:.2f} s = {theirs_s / ours_s:.1f} ×"


def commit(bench: Bench) -> str:
    said = []
    for objects, cuts, what in ((30, 22, "30 objects / 15 k faces"), (200, 71, "200 objects / 1 M faces")):
        bench.fill(objects, cuts)
        took_s = median_s(lambda: bench.edit(MOVE), 9)
        busy_s = _processor_s(bench, lambda: [bench.edit(MOVE) for _ in range(5)]) / 5
        said.append(f"{what}: {took_s * 1000:.0f} ms by the clock, {busy_s * 1000:.0f} ms of processor time")
    return "; ".join(said)


def recovery(bench: Bench) -> str:
    """From the moment a Blender is lost to the next successful call, the accepted scene in place."""
    bench.fill(30, 22)
    said = []
    faults = {
        "crash": "import os; os.abort()",
        "deadline": "while True: pass",
        "out of memory": "import time\nheld = []\nwhile True: held.append(b'x' * (8 << 20)); time.sleep(0.01)",
    }
    for name, code in faults.items():
        took = sorted(_recovery_s(bench, code) for _ in range(7))
        said.append(f"{name}: median {statistics.median(took):.2f} s (largest {took[-1]:.2f})")
    return "; ".join(said) + f"; a new Blender takes {new_blender_s(bench):.2f} s to start"


def _recovery_s(bench: Bench, code: str) -> float:
    assert bench.pool._standby is not None
    bench.pool._standby.result()
    bench.lost.clear()
    began, deadline_s = time.perf_counter(), 0.5
    outcome = bench.edit(code, timeout_s=deadline_s if code.endswith("pass") else 60)
    assert outcome.kind in ("crashed", "deadline", "oom"), outcome.message
    bench.session.call(InspectRequest(subject="object", name="Thing0"))
    return time.perf_counter() - (began + deadline_s if outcome.kind == "deadline" else bench.lost[0])


def _processor_s(bench: Bench, call: Callable[[], object]) -> float:
    """Of this process and everything below it."""
    before = _used_s()
    call()
    return _used_s() - before


def _used_s() -> float:
    us = psutil.Process()
    total = 0.0
    for process in (us, *us.children(recursive=True)):
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total


ROWS: dict[str, tuple[Callable[[Bench], str], str]] = {
    "noop": (noop, "≤ 1 ms, and ≥ 1,000 × less than a new Blender"),
    "edit_render": (edit_render, "≥ 3 × faster than a new Blender"),
    "commit": (commit, "≤ 150 ms; ≤ 1 s (2 s before Blender 4.2)"),
    "recovery": (recovery, "median ≤ 0.5 s"),
}
"""Name → row, and the figure to reach."""


@contextmanager
def _bench(options: argparse.Namespace) -> Iterator[Bench]:
    blender, level = find_blender(options.blender), choose(options.level)
    print(f"Blender {blender.version} ({blender.kind}), isolation {level} {level.word}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = SnapshotStore(Path(folder) / "snapshots")
        limits = Limits(memory_bytes=2 * GIB)
        lost: list[float] = []
        logs, note = Path(folder) / "logs", lambda fault: lost.append(time.perf_counter())
        with Pool(blender, limits, store, logs, level=level, on_fault=note) as pool, pool.session() as session:
            yield Bench(blender, pool, session, lost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"some of {', '.join(ROWS)}, separated by commas")
    parser.add_argument("--blender", default="wheel")
    parser.add_argument("--level", default="auto")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    with _bench(options) as bench:
        for name in names:
            row, wanted = ROWS[name]
            print(f"{name}: {row(bench)}\n    to reach: {wanted}", flush=True)


if __name__ == "__main__":
    main()
