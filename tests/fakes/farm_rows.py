"""Rows with a scripted model and a stand-in for Blender (run_stubbed.py), as an engine calls them: what is left is the
program's own work."""

import os
import sys

from farm_batches import QUICK, STUBBED
from scripted_runs import ENVIRONMENT, draw_box

from agent.farm.batch import begin_batch
from agent.farm.manifest import read_manifest

FINISHED = '{"status": "accepted", "measures": {"psnr_db": 20}, "spent": {}}'


def begun(folder, rows, to_run=None):
    """A batch of so many rows, all finished but the last `to_run` of them."""
    folder.mkdir()
    draw_box(folder / "box.png")
    (folder / "rows.csv").write_text("id,image\n" + "".join(f"r{number},box.png\n" for number in range(1, rows + 1)))
    batch = begin_batch(folder / "out", folder / "rows.csv", read_manifest(folder / "rows.csv"))
    for row in batch.rows[: 0 if to_run is None else rows - to_run]:
        (batch.root / row.id).mkdir()
        (batch.root / row.id / "result.json").write_text(FINISHED)
    return batch


def environment(folder):
    """What the rows of a batch in this folder need."""
    return {**ENVIRONMENT, "STAND_IN": str(folder), "ASKED": str(folder / "asked")}


def command(batch):
    """Of a row, without its index."""
    return [sys.executable, str(STUBBED), "run", "--manifest", str(batch.manifest), "--out", str(batch.root), *QUICK]


def processor_s(processes):
    """Processor time of each process and all it has waited for, once they have ended, which must be with 0."""
    used = []
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        used.append(usage.ru_utime + usage.ru_stime)
    assert not any(process.returncode for process in processes)
    return used
