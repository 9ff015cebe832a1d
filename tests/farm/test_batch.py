"""A batch on one machine: no row holds up another, it stops at once and goes on at any time, and what cannot be is
refused before anything starts."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ordinary_user
import psutil
import pytest
from scripted_runs import draw_box

from agent.errors import Interrupted, NodeUnfit
from agent.farm import local
from agent.farm.batch import begin_batch
from agent.farm.local import LocalBatch, at_once_by_rate
from agent.farm.manifest import read_manifest
from sandbox.confinement import paths
from sandbox.folders import ROOT
from sandbox.limits import MIB

pytestmark = pytest.mark.farm

STUB = ROOT / "tests" / "fakes" / "stub_row.py"
OFFLINE = ("--preset", "quick", "--model", "offline")
UNPRICED = ("--model", "claude", "--claude-model", "house-model")


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Makes a batch of stubs with these ids."""
    monkeypatch.setattr(local, "FIRST_WAIT_S", 0.3)
    monkeypatch.setattr(local, "LOOK_S", 0.02)
    monkeypatch.setattr(local, "END_S", 1.0)
    monkeypatch.setattr(local, "ROW_BYTES", MIB)

    def batch(*ids, **options):
        rows = tmp_path / "rows.csv"
        rows.write_text("id,image\n" + "".join(f"{id},picture.png\n" for id in ids))
        begun = begin_batch(tmp_path / "out", rows, read_manifest(rows))
        return LocalBatch(begun, [sys.executable, str(STUB), "--out", str(begun.root)], **options)

    return batch


def started(batch, id):
    return [float(line) for line in (batch.batch.root / id / "started").read_text().splitlines()]


def states(batch):
    return {one.id: one.state for one in batch.ended.values()}


def until(true, most_s=30.0):
    deadline = time.monotonic() + most_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class StopOnce:
    """Tells a batch to stop, from within, when that is true."""

    def __init__(self, when):
        self.when = when

    def __call__(self, batch):
        if self.when(batch):
            self.when = lambda batch: False
            raise Interrupted("stopped by SIGTERM.")


def processes(batch):
    return [task.process.pid for task in batch.running]


# ── rows side by side ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_slow_hanging_crashing_and_broken_rows_hold_up_no_other(batch):
    good = [f"done-{number}" for number in range(6)]
    stop = StopOnce(lambda batch: {"crash-1", "broken-1", *good} <= states(batch).keys())
    rows = batch("hang-1", "crash-1", "broken-1", *good, at_once=2, tell=stop)
    with pytest.raises(Interrupted):
        rows.run()
    assert states(rows) == {"crash-1": "accepted", "broken-1": "failed"} | dict.fromkeys(good, "accepted")
    assert len(started(rows, "hang-1")) == 1 and len(started(rows, "crash-1")) == 2
    assert not any(psutil.pid_exists(pid) for pid in processes(rows))


def test_an_unfit_row_holds_up_no_other_and_is_tried_again_by_the_next_batch(batch):
    rows = batch("unfit-1", "done-1", "done-2", at_once=1)
    rows.run()
    assert states(rows) == {"unfit-1": "stopped", "done-1": "accepted", "done-2": "accepted"}
    again = batch("unfit-1", "done-1", "done-2", at_once=1)
    again.run()
    assert len(started(again, "unfit-1")) == 2 and len(started(again, "done-1")) == 1


def test_a_machine_that_can_do_no_row_is_told_after_three(batch):
    rows = batch(*(f"unfit-{number}" for number in range(9)), at_once=1)
    with pytest.raises(NodeUnfit, match="3 rows one after the other: there is no Blender"):
        rows.run()
    assert len(rows.ended) == 3


def test_an_interrupted_row_is_tried_again_after_growing_waits(batch):
    rows = batch("later-1", "done-1", at_once=1)
    rows.run()
    assert states(rows) == {"later-1": "accepted", "done-1": "accepted"}
    first, second, third = started(rows, "later-1")
    assert second - first >= 0.3 and third - second >= 0.6
    assert started(rows, "done-1")[0] < second, "meanwhile the others go on"


def test_no_more_rows_run_at_once_than_are_allowed(batch):
    seen = []
    rows = batch(*(f"done-{number}" for number in range(8)), at_once=3, tell=lambda one: seen.append(len(one.running)))
    rows.run()
    assert max(seen) == 3


@pytest.mark.parametrize(("growing_s", "most"), [(60.0, 2), (0.0, 4)])
def test_free_memory_is_given_to_one_row_only_while_that_has_not_taken_it_yet(batch, monkeypatch, growing_s, most):
    monkeypatch.setattr(local, "available_bytes", lambda: 5 * MIB // 2)
    monkeypatch.setattr(local, "GROWING_S", growing_s)
    seen = []
    rows = batch(*(f"done-{number}" for number in range(8)), at_once=4, tell=lambda one: seen.append(len(one.running)))
    rows.run()
    assert max(seen) == most and len(rows.ended) == 8


@pytest.mark.parametrize(("allowed", "rollouts", "rows"), [(50, 2, 6), (50, 1, 13), (4, 2, 1), (1, 16, 1)])
def test_a_service_bears_as_many_rows_as_make_no_more_calls_than_it_allows(allowed, rollouts, rows):
    """By the formula of docs/farm.md: a run makes 3 calls a minute, for each rollout beside another."""
    assert at_once_by_rate(allowed, rollouts) == rows


def test_a_row_that_hangs_beyond_its_time_is_ended(batch):
    rows = batch("hang-1", at_once=1, minutes=0.02, tell=StopOnce(lambda batch: batch.resting()))
    with pytest.raises(Interrupted):
        rows.run()
    assert len(started(rows, "hang-1")) == 1 and rows.waiting[0].why == "ended with -9"


def test_each_batch_gives_a_row_all_its_attempts_anew(batch, tmp_path):
    rows = batch("later-1", at_once=1)
    folder = tmp_path / "out" / "later-1"
    folder.mkdir()
    (folder / "journal.jsonl").write_text('{"event": "run"}\n' + '{"event": "resumed"}\n' * 6)
    rows.run()
    assert rows.waiting == type(rows.waiting)() and states(rows) == {"later-1": "accepted"}
    assert local.MAX_ATTEMPTS + 7 == 12


# ── stop and go on ────────────────────────────────────────────────────────────────────────────────────────────────────
OF_STUBS = f"""
import sys
from pathlib import Path
from agent.farm.batch import begin_batch
from agent.farm.local import LocalBatch
from agent.farm.manifest import read_manifest
from agent.farm.overview import Overview
from agent.runs.stopping import stopping
rows, minutes = Path(sys.argv[1]), float(sys.argv[2])
begun = begin_batch(rows.parent / "out", rows, read_manifest(rows))
command = [sys.executable, {str(STUB)!r}, "--out", str(begun.root)]
with stopping(patience_s=8.0), Overview() as overview:
    LocalBatch(begun, command, at_once=2, minutes=minutes, tell=overview).run()
"""


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_batch_within_seconds_even_rows_that_do_not_listen(tmp_path, kind):
    (tmp_path / "rows.csv").write_text("id,image\nhang-1,a.png\nsleep-1,b.png\ndone-1,c.png\n")
    command = [sys.executable, "-c", OF_STUBS, str(tmp_path / "rows.csv"), "9"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: all((tmp_path / "out" / id / "started").exists() for id in ("hang-1", "sleep-1")))
        rows = psutil.Process(process.pid).children()
        sent = time.monotonic()
        process.send_signal(kind)
        _, said = process.communicate(timeout=20)
    assert f"Interrupted: stopped by {kind.name}" in said and time.monotonic() - sent < 7
    assert len(rows) == 2 and not any(row.is_running() for row in rows)


@pytest.fixture
def pictures(tmp_path):
    for number in range(3):
        draw_box(tmp_path / f"{number}.png")
    (tmp_path / "rows.csv").write_text("image\n" + "".join(f"{number}.png\n" for number in range(3)))
    return tmp_path


def seig(*arguments, **options):
    ended = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=110, **options,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def whole_batch(pictures, out, at_once):
    """The command of a batch with a real Blender."""
    batch = ["batch", str(pictures / "rows.csv"), "--out", str(out), "--at-once", str(at_once)]
    return [sys.executable, "-m", "agent", *batch, "--", *OFFLINE, "--blender", "wheel"]


@pytest.mark.blender
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_stopped_killed_and_given_again_a_batch_goes_on_to_its_end(blender, pictures):
    out = pictures / "out"
    command = whole_batch(pictures, out, at_once=2)
    for kind, code, under_way in ((signal.SIGTERM, 75, "0"), (signal.SIGKILL, -9, "1")):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until(lambda name=under_way: list(out.glob(f"{name}/snapshots/*")), 60)
            until(psutil.Process(process.pid).children, 60)
            children = psutil.Process(process.pid).children(recursive=True)
            sent = time.monotonic()
            process.send_signal(kind)
            assert process.wait(timeout=20) == code
            assert time.monotonic() - sent < 8
        _, alive = psutil.wait_procs(children, timeout=8)
        assert children and not alive, "rows stop with the batch, even if that is killed"
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 of 3 rows final" in ended.stdout
    assert {path.name for path in out.glob("batch.*")} == {"batch.json", "batch.csv", "batch.html"}
    totals = json.loads((out / "batch.json").read_text())["totals"]
    assert (totals["rows"], totals["final"], totals["failures"]) == (3, 3, {})
    assert len({(out / name / "scene.py").read_bytes() for name in "012"}) == 1, "the same picture, the same program"


@pytest.mark.blender
@pytest.mark.timeout(200)
def test_a_folder_that_vanishes_ends_the_batch_and_is_not_made_anew(blender, pictures):
    out = pictures / "out"
    command = whole_batch(pictures, out, at_once=1)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: list(out.glob("0/snapshots/*")), 60)
        out.rename(pictures / "away")
        _, said = process.communicate(timeout=60)
    assert process.returncode == 69 and "no such file" in said and "Traceback" not in said
    assert not out.exists()


def test_where_a_person_looks_the_rows_under_way_are_drawn(tmp_path):
    (tmp_path / "rows.csv").write_text("id,image\nsleep-long,a.png\nbroken-1,b.png\n")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", OF_STUBS, str(tmp_path / "rows.csv"), "0.04"], cwd=ROOT, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "20"},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = [""]
        try:
            until(
                lambda: (
                    "again in" in (seen.append(seen.pop() + os.read(ours, 4096).decode(errors="replace")) or seen[0])
                )
            )
        finally:
            process.kill()
            os.close(ours)
    assert "sleep-long" in seen[0] and "broken-1: failed: bug: a defect." in seen[0]


@pytest.fixture
def broken_output(request):
    """Standard output that a program starts with, and what breaks it then."""
    breaks = lambda: None  # noqa: E731
    if request.param == "full":
        ours, theirs = None, os.open("/dev/full", os.O_WRONLY)
    elif request.param == "terminal gone":
        ours, theirs = pty.openpty()
        breaks = lambda: (os.read(ours, 1), os.close(ours))  # noqa: E731
    else:
        ours, theirs = os.pipe()
    if request.param == "closed":
        os.close(ours)
    if request.param == "not read":
        os.set_blocking(theirs, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(theirs, b"x" * 4096)
        os.set_blocking(theirs, True)
    yield theirs, breaks
    os.close(theirs)
    if request.param == "not read":
        os.close(ours)


@pytest.mark.parametrize("broken_output", ["closed", "full", "not read", "terminal gone"], indirect=True)
def test_a_standard_output_that_breaks_stops_no_row_and_changes_no_exit_code(broken_output, tmp_path):
    (tmp_path / "rows.csv").write_text("id,image\n" + "".join(f"{id},{id}.png\n" for id in "abc"))
    for id in "abc":
        (tmp_path / f"{id}.png").write_text("no picture")
    theirs, breaks = broken_output
    command = [sys.executable, "-m", "agent", "batch", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [*command, "--at-once", "1", "--", *OFFLINE], cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TERM": "xterm"},
    ) as process:  # fmt: skip
        breaks()
        _, said = process.communicate(timeout=100)
    assert process.returncode == 0 and "Traceback" not in said, said
    totals = json.loads((tmp_path / "out" / "batch.json").read_text())["totals"]
    assert totals["final"] == 3 and totals["failures"] == {"input": 3}


# ── what cannot be is refused before anything starts ──────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 64, "has no rows"),
        ("image\n", 64, "has no rows"),
        ("picture\n0.png\n", 64, "no column 'image'"),
        ("id,image\nx,0.png\nx,1.png\n", 64, "line 3: the id 'x' is taken by line 2"),
        ("image\n0.png\nnone.png\n", 65, "none.png (row 2)"),
        (b"image\nm\xf6bel.png\n", 65, "no UTF-8 text (byte 8)"),
        ("image,presett\n0.png,quick\n", 64, "row 1 (0): the setting 'presett' is not known. Did you mean 'preset'?"),
        (
            "image,rollouts\n0.png,\n1.png,many\n",
            64,
            "row 2 (1): the setting 'rollouts' must be a whole number, not 'many'",
        ),
        ("image,preset\n0.png,\n1.png,slow\n", 64, "row 2 (1): the setting 'preset' must be one of"),
        ("image,recording\n0.png,x\n", 64, "'recording' is no setting of a row"),
        ("image,budget.usd.max\n0.png,5\n", 64, "both the settings 'budget.usd' and 'budget.usd.max'"),
        ("id,image\na," + "x" * 300 + ".png\n", 65, "cannot be found"),
        ("image,seed\n0.png,-1\n", 64, "line 2: the seed -1 is below 0"),
        ("image\n" + "x.png\n" * 100_001, 64, "100,000 is the most"),
        ("image\n" + "".join(f"none{number}.png\n" for number in range(100_000)), 65, "and 99995 more"),
    ],
    ids=lambda value: None if isinstance(value, str | bytes) and len(value) > 40 else str(value),
)
def test_a_bad_manifest_is_refused_and_nothing_is_written(pictures, text, code, said):
    (pictures / "rows.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = seig("batch", pictures / "rows.csv", "--out", pictures / "out", "--", *OFFLINE, "--max-cost", "1")
    assert ended.returncode == code and said in ended.stderr, ended.stderr
    assert not (pictures / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--", "--presett", "quick"], 64, "unrecognized arguments"),
        (["--", "--fresh"], 64, "--fresh cannot be said to the runs of a batch"),
        (["--", "--out", "x"], 64, "--out cannot be said"),
        (["--", "more.png"], 64, "a picture cannot be said"),
        (["--", "--rollouts", "99"], 64, "--rollouts must be at most 16"),
        (["--", "--model", "claude"], 78, "needs a key"),
        (["--at-once", "0"], 64, "'0' is no number of at least 1"),
        (["--batch-max-cost", "2", "--", "--max-cost", "1"], 64, "3 rows at up to $1.00 each may cost $3.00"),
        (["--batch-max-cost", "2", "--"], 64, "needs a bound of each run"),
        (["--batch-max-cost", "9", "--", *UNPRICED, "--max-cost", "1"], 78, "the price of 'house-model' is not known"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_run(pictures, options, code, said):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC")}
    ended = seig("batch", pictures / "rows.csv", "--out", pictures / "out", *options, env=environment)
    assert ended.returncode == code and said in ended.stderr, ended.stderr
    assert not (pictures / "out" / "0").exists()


def test_what_rows_cost_is_reckoned_with_the_bounds_of_their_own(pictures):
    (pictures / "rows.csv").write_text("image,budget.usd\n0.png,5\n1.png,\n2.png,\n")
    submit = ("farm", "submit", pictures / "rows.csv", "--out", pictures / "out", "--engine", "openjd", "--write-only")
    ended = seig(*submit, "--batch-max-cost", "6.9", "--", *OFFLINE, "--max-cost", "1")
    assert ended.returncode == 64 and "may cost $7.00, more than $6.90" in ended.stderr


def test_a_folder_of_other_rows_or_settings_is_refused(pictures):
    submit = ("farm", "submit", pictures / "rows.csv", "--out", pictures / "out", "--engine", "openjd", "--write-only")
    assert seig(*submit, "--", *OFFLINE).returncode == 0
    assert seig(*submit, "--", *OFFLINE, "--max-calls", "9").returncode == 0, "a budget shapes nothing"
    ended = seig(*submit, "--", *OFFLINE, "--seed", "7")
    assert ended.returncode == 64 and "other settings" in ended.stderr
    (pictures / "rows.csv").write_text("image\n0.png\n")
    ended = seig(*submit, "--", *OFFLINE)
    assert ended.returncode == 64 and "folder of another batch" in ended.stderr
    with (pictures / "out" / "farm" / "manifest.jsonl").open("a") as file:
        file.write("\n")
    ended = seig("farm", "collect", pictures / "out")
    assert ended.returncode == 65 and "was changed since the batch began" in ended.stderr


def test_a_read_only_folder_is_told_to_an_ordinary_user(pictures):
    out = pictures / "out"
    out.mkdir()
    out.chmod(0o555)
    home = pictures / "home"
    home.mkdir()
    command = [sys.executable, "-m", "agent", "batch", pictures / "rows.csv", "--out", out, "--", *OFFLINE]
    needed = [*paths.of_python(Path(sys.executable)), ROOT / "prompts", pictures]
    ended = ordinary_user.run(command, home, needed, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 69, ended.stderr
    assert f"the folder {out} cannot be written to: permission denied" in ended.stderr


def test_an_engine_that_is_not_installed_is_told(pictures, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(ROOT / ".venv" / "bin", bare, ignore=lambda folder, names: {*names} - {"python"}, symlinks=True)
    for engine, said in (("openjd", "runner is not installed"), ("slurm", "Slurm is not installed")):
        program = (
            "import sys, runpy; sys.executable = sys.argv.pop(1)\nsys.path.insert(0, '.')\n"
            "runpy.run_module('agent', run_name='__main__')"
        )
        command = ["farm", "submit", pictures / "rows.csv", "--out", pictures / engine, "--engine", engine]
        ended = subprocess.run(
            [sys.executable, "-c", program, str(bare / "python"), *map(str, command), "--", *OFFLINE],
            env={**os.environ, "PATH": str(bare)}, cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ended.returncode == 69 and said in ended.stderr, ended.stderr


def test_the_command_of_a_row_holds_wherever_it_is_called(pictures, monkeypatch):
    from agent.farm.settings import RunsTold

    monkeypatch.chdir(pictures)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    Path("set.toml").write_text("rollouts = 2\n")
    told = RunsTold(["--config", "set.toml", "--blender", "./blender"])
    assert told.config.rollouts == 2
    arguments = told.frozen_as(pictures / "settings.toml")
    said = dict(zip(arguments[4::2], arguments[5::2], strict=True))
    here = {"--config": str(pictures / "settings.toml"), "--blender": str(pictures / "blender")}
    assert said == {"--model": "offline", **here}, "the last of an option holds"


def test_a_configuration_file_that_changes_changes_no_row_of_a_batch_that_has_begun(pictures):
    ours, kept = pictures / "set.toml", pictures / "out" / "farm" / "settings.toml"
    submit = ("farm", "submit", pictures / "rows.csv", "--out", pictures / "out", "--engine", "openjd", "--write-only")
    ours.write_text("rollouts = 2\n")
    assert seig(*submit, "--", *OFFLINE, "--config", ours).returncode == 0
    template = (pictures / "out" / "template.json").read_text()
    assert "{{Param.Out}}/farm/settings.toml" in template and kept.read_text() == "rollouts = 2\n"
    ours.write_text("rollouts = 3\n")
    ended = seig(*submit, "--", *OFFLINE, "--config", ours)
    assert ended.returncode == 64 and "begun with other settings" in ended.stderr
    assert kept.read_text() == "rollouts = 2\n"
    ours.write_text("rollouts = 2\n[budget]\ncalls = 9\n")
    assert seig(*submit, "--", *OFFLINE, "--config", ours).returncode == 0, "a budget shapes nothing"
    assert "calls = 9" in kept.read_text()
