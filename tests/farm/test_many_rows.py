"""Hundreds of rows cost each what few do: our own work on a row does not grow with the batch."""

import json
import statistics
import subprocess
import sys

import farm_rows
import pytest
from PIL import Image

from agent.farm import local, manifest, outcomes
from agent.farm.batch import begin_batch
from agent.farm.collecting import collect
from agent.farm.local import LocalBatch
from agent.farm.manifest import read_manifest, read_row
from agent.runs import journal
from sandbox.folders import ROOT

pytestmark = pytest.mark.farm

STUB = ["/bin/sh", "-c", """
index=$(($4)); id=r$index
mkdir -p "$0/$id" && echo '{"status": "accepted", "measures": {"psnr_db": 20}, "spent": {}}' > "$0/$id/result.json"
"""]  # fmt: skip
"""A row whose model and Blender take no time: what is left is our own work. Its index is its last word."""

FEW, MANY = 25, 200
PAIRS = 3
"""Of whole runs, five seconds each."""
READS_OF_A_ROW = 18
"""Most files that are opened for a row, or looked for in vain, from a batch's beginning to its report."""


def begun(folder, rows):
    folder.mkdir()
    (folder / "rows.csv").write_text("id,image\n" + "".join(f"r{number},a.png\n" for number in range(1, rows + 1)))
    return begin_batch(folder / "out", folder / "rows.csv", read_manifest(folder / "rows.csv"))


class Opened:
    """Counts the files below a folder that this process opens, or looks for in vain."""

    def __init__(self):
        self.folder, self.count = None, 0
        sys.addaudithook(self.hook)  # for good, so it counts only where a folder is named

    def hook(self, event, arguments):
        if self.folder is not None and event == "open" and str(arguments[0]).startswith(self.folder):
            self.count += 1


OPENED = Opened()


def work_on(folder, rows, monkeypatch):
    """How many files were opened for the rows, from begin to report."""
    monkeypatch.setattr(local, "LOOK_S", 0.005)
    batch = begun(folder, rows)
    OPENED.folder, OPENED.count = str(batch.root), 0
    done = LocalBatch(batch, [*STUB[:3], str(batch.root)], at_once=8)
    done.run()
    assert {one.state for one in done.ended.values()} == {"accepted"} and len(done.ended) == rows
    totals = collect(batch.root, batch.title, outcomes.outcomes(batch.root, batch.rows))
    assert totals.final == rows
    OPENED.folder = None
    return OPENED.count


def test_our_own_work_on_a_row_is_small_and_does_not_grow_with_the_batch(tmp_path, monkeypatch):
    few, many = (work_on(tmp_path / str(rows), rows, monkeypatch) / rows for rows in (FEW, MANY))
    assert many < 1.02 * few and few <= READS_OF_A_ROW, (few, many)


def test_a_row_reads_its_own_line_of_a_long_manifest_and_no_other(tmp_path, monkeypatch):
    parsed = []
    batch = begun(tmp_path / "batch", MANY)
    monkeypatch.setattr(manifest.json, "loads", lambda text, real=json.loads: parsed.append(text) or real(text))
    assert read_row(batch.manifest, 117).id == "r117"
    assert len(parsed) == 1


def finished(folder, rows):
    """Rows as runs leave them: pictures of 512 px, a ledger of forty calls."""
    batch = begun(folder, rows)
    picture = Image.effect_noise((512, 512), 40).convert("RGB")
    call = {"tokens": {"input_tokens": 100, "output_tokens": 20}, "usd": 0.01, "minutes": 1.0}
    for row in batch.rows:
        at = batch.root / row.id
        at.mkdir()
        measures, proof = {"psnr_db": 20.0, "ssim": 0.8}, {"outcome": "identical"}
        result = {"status": "accepted", "measures": measures, "spent": {"minutes": 2.0}, "proof": proof}
        (at / "result.json").write_text(json.dumps(result))
        (at / "status.json").write_text(json.dumps({"state": "finished", "attempts": 1}))
        (at / "ledger.jsonl").write_text(40 * (json.dumps(call) + "\n"))
        for name in ("reference.png", "render.png"):
            picture.save(at / name, compress_level=1)
    return batch


def test_two_hundred_finished_rows_are_told_and_reported_in_seconds(tmp_path):
    """Told by processor time, which other work on the machine does not lengthen; pictures are made small once."""
    batch = finished(tmp_path / "batch", MANY)
    took_s = {}
    for name in ("collect", "collect", "status"):
        program = (
            "import resource, sys\nfrom agent import cli\nfrom agent.cli import _call\n"
            "code = _call(sys.argv[1], cli.parse(['farm', *sys.argv[1:]]))\n"
            "used = resource.getrusage(resource.RUSAGE_SELF)\nprint(code, used.ru_utime + used.ru_stime)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, name, str(batch.root)], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        code, took = ended.stdout.splitlines()[-1].split()
        assert code == "0", ended.stderr
        took_s[name] = float(took)
    assert max(took_s.values()) < 2, took_s


def test_a_journal_is_read_once_for_a_row(tmp_path, monkeypatch):
    """A long run's is long: it is not read again and again while a batch looks after its rows."""
    monkeypatch.setattr(local, "LOOK_S", 0.005)
    batch = begun(tmp_path / "batch", FEW)
    read = []
    monkeypatch.setattr(journal, "read_lines", lambda path, real=journal.read_lines: read.append(path) or real(path))
    LocalBatch(batch, [*STUB[:3], str(batch.root)], at_once=4).run()
    assert len(read) == FEW


def test_a_row_of_a_thousand_takes_no_more_work_than_one_of_a_few(tmp_path):
    """Whole runs as an engine calls them, with a scripted model and a stand-in for Blender. Told by processor time, of
    one of each side by side, so that other work on the machine slows both."""
    few, many = (farm_rows.begun(tmp_path / str(rows), rows, to_run=PAIRS) for rows in (FEW, 1000))
    took_s = []
    for back in range(PAIRS):
        pair = [
            subprocess.Popen(
                [*farm_rows.command(batch), "--index", str(len(batch.rows) - back)],
                env=farm_rows.environment(batch.root.parent), cwd=ROOT, stdout=subprocess.DEVNULL,
            )
            for batch in (few, many)
        ]  # fmt: skip
        took_s.append(farm_rows.processor_s(pair))
    in_few, in_many = (statistics.median(each) for each in zip(*took_s, strict=True))
    assert in_many < 1.25 * in_few, took_s
