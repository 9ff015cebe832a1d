"""What becomes of a batch is read from its rows' folders alone, and reported at any time in files that stand alone."""

import csv
import json
import os
import re
import subprocess
import sys
import time

import pytest
from PIL import Image
from scripted_runs import draw_box

from agent.farm.batch import begin_batch
from agent.farm.collecting import collect
from agent.farm.manifest import read_manifest
from agent.farm.outcomes import outcomes
from agent.runs.failed import attempts_since_failure, worn_out
from agent.runs.folder import RunFolder
from agent.runs.lease import STALE_S, Lease, read_holder
from sandbox.folders import ROOT

FAILED = {"status": "failed", "exit_code": 70, "failure_class": "oom", "attempts": 2, "spent": {"minutes": 3.0}}


def seig(*arguments):
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def done(folder, status="accepted", psnr_db=21.5, usd=0.25, **more):
    folder.mkdir(exist_ok=True)
    measures = {"psnr_db": psnr_db, "ssim": 0.8, "iou": 0.9}
    result = {"status": status, "measures": measures, "spent": {"minutes": 2.0}, "proof": {"outcome": "identical"}}
    write(folder / "result.json", {**result, **more})
    call = {"tokens": {"input_tokens": 100, "output_tokens": 20}, "usd": usd, "minutes": 1.0}
    (folder / "ledger.jsonl").write_text(2 * (json.dumps(call) + "\n"))
    draw_box(folder / "reference.png")
    Image.new("RGB", (512, 384), (200, 40, 40)).save(folder / "render.png")


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def held(folder, age_s):
    """As if a process elsewhere worked in it, that gave its last sign of life so long ago."""
    folder.mkdir()
    with Lease(folder):
        pass
    there = {"host": "render7", "space": "elsewhere", "released": False, "heartbeat": time.time() - age_s}
    (folder / "lease.json").write_text(read_holder(folder).model_copy(update=there).model_dump_json())
    os.utime(folder / "lease.json", (time.time() - age_s, time.time() - age_s))
    status = {"state": "running", "where": "geometry · round 2 of 3 · generator", "percent": 40, "psnr_db": 18.0}
    write(folder / "status.json", {**status, "at": time.time() - age_s})
    (folder / "journal.jsonl").write_text("{}\n")
    write(folder / "logs" / "agent.log", "the last words")


@pytest.fixture
def batch(tmp_path):
    """One row in each state that there is."""
    (tmp_path / "rows.csv").write_text("id,image\n" + "".join(f"{id},{id}.png\n" for id in STATES))
    root = tmp_path / "out"
    begun = begin_batch(root, tmp_path / "rows.csv", read_manifest(tmp_path / "rows.csv"))
    done(root / "fine")
    done(root / "dear", "budget_stopped", psnr_db=18.5, stopped_by="the budget of 2 dollars is used up")
    write(root / "crashed" / "result.json", {**FAILED, "message": "=cmd() <script>alert(1)</script> & more"})
    held(root / "alive", age_s=5)
    held(root / "silent", age_s=STALE_S + 30)
    (root / "halted").mkdir()
    stopped = {"state": "stopped", "failure_class": "api", "message": "the service is away.", "exit_code": 75}
    write(root / "halted" / "status.json", {**stopped, "percent": 65, "where": "material", "attempts": 3})
    write(root / "garbled" / "status.json", ["no", "object"])
    (root / "garbled" / "result.json").write_text("{")
    (root / "garbled" / "ledger.jsonl").write_text('no json\n{"tokens": {"input_tokens": 5}, "usd": null}\n')
    (root / "garbled" / "journal.jsonl").write_text("{}\n")
    return begun


STATES = {"fine": "accepted", "dear": "budget_stopped", "crashed": "failed", "alive": "running", "silent": "lost",
          "halted": "stopped", "new": "not_begun", "garbled": "stopped"}  # fmt: skip


def test_each_row_has_a_state_whatever_its_folder_holds(batch):
    found = {one.id: one for one in outcomes(batch.root, batch.rows)}
    assert {id: one.state for id, one in found.items()} == STATES
    assert found["silent"].host == "render7" and "the last words" in found["silent"].log_tail
    assert (found["halted"].failure_class, found["halted"].attempts, found["halted"].percent) == ("api", 3, 65)
    assert (found["fine"].calls, found["fine"].tokens, found["fine"].usd) == (2, 240, 0.5)
    assert found["garbled"].usd is None, "the price of a call is not known"
    assert found["alive"].psnr_db == 18.0


WRONG: list = ["x", 5, [1], {"a": {}}, None, True, -1.5, float("nan"), float("inf"), 10**400]
NAMES = ("status", "state", "percent", "measures", "spent", "proof", "psnr_db", "tokens", "usd", "minutes", "calls",
         "where", "failure_class", "message", "exit_code", "attempts", "host", "job", "elapsed_s", "blender",
         "stopped_by", "event", "pid", "heartbeat", "epoch", "iou", "outcome")  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:9])
def test_a_row_whose_files_hold_values_of_other_kinds_has_its_state_all_the_same(batch, wrong):
    folder = batch.root / "new"
    tables = {"measures": dict.fromkeys(NAMES, wrong), "spent": dict.fromkeys(NAMES, wrong), "status": "accepted"}
    for said, state in (({}, "stopped"), (tables, "accepted")):
        for name in ("status.json", "result.json", "lease.json"):
            write(folder / name, dict.fromkeys(NAMES, wrong) | said)
        for name in ("ledger.jsonl", "journal.jsonl"):
            (folder / name).write_text(json.dumps(dict.fromkeys(NAMES, wrong)) + "\n" + "[" * 100_000 + "\n")
        found = {one.id: one for one in outcomes(batch.root, batch.rows)}
        assert {id: one.state for id, one in found.items()} == STATES | {"new": state}
        collect(batch.root, batch.title, list(found.values()))
        run = RunFolder(folder)
        assert (worn_out(run, 5).failure_class, attempts_since_failure(run)) == ("interrupted", 0)


def test_what_is_of_the_right_kind_is_read_beside_what_is_not(batch):
    write(batch.root / "new" / "status.json", {"percent": "x", "where": "material", "attempts": [2]})
    found = next(one for one in outcomes(batch.root, batch.rows) if one.id == "new")
    assert (found.state, found.percent, found.where, found.attempts) == ("stopped", 0.0, "material", 0)


def test_the_report_is_three_files_that_agree(batch):
    totals = collect(batch.root, batch.title, outcomes(batch.root, batch.rows))
    said = json.loads((batch.root / "batch.json").read_text())
    assert said["totals"] == totals.model_dump()
    assert (totals.rows, totals.final, totals.failures) == (8, 3, {"oom": 1, "api": 1})
    assert totals.psnr_db == 20.0, "of the rows that have a scene"
    rows = list(csv.DictReader((batch.root / "batch.csv").read_text().splitlines()))
    assert [(row["id"], row["state"]) for row in rows] == list(STATES.items())
    assert rows[0]["scene"] == "fine/scene.blend"
    assert rows[2]["message"].startswith("'=cmd()"), "no formula to a spreadsheet"


def test_the_page_stands_alone_and_runs_nothing(batch):
    collect(batch.root, batch.title, outcomes(batch.root, batch.rows))
    page = (batch.root / "batch.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', page) == []
    assert "url(" not in page and "@import" not in page and "default-src 'none'" in page
    assert page.count("data:image/jpeg;base64,") == 4, "picture and render of the two rows that have them"
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.index("<h2>Failed</h2>") < page.index("oom: 1") < page.index("<h2>Not final yet</h2>")


def test_a_report_may_be_made_at_any_time_and_reads_no_picture_twice(batch, monkeypatch):
    opened = []
    monkeypatch.setattr(Image, "open", lambda path, real=Image.open: opened.append(path) or real(path))
    for _ in range(2):
        collect(batch.root, batch.title, outcomes(batch.root, batch.rows))
    assert len(opened) == 4
    Image.new("RGB", (64, 64)).save(batch.root / "fine" / "render.png")
    collect(batch.root, batch.title, outcomes(batch.root, batch.rows))
    assert opened[4:] == [batch.root / "fine" / "render.png"], "but for one that is new"


def test_the_exit_code_says_whether_all_is_final_and_strict_whether_all_is_accepted(batch):
    ended = seig("farm", "collect", batch.root)
    assert ended.returncode == 75 and "3 of 8 rows final" in ended.stdout
    ended = seig("farm", "status", batch.root)
    assert ended.returncode == 75 and "silent: lost" in ended.stdout and "on render7" in ended.stdout
    for id, state in STATES.items():
        if state not in ("accepted", "failed", "budget_stopped"):
            done(batch.root / id)
    assert seig("farm", "collect", batch.root).returncode == 0
    assert seig("farm", "collect", batch.root, "--strict").returncode == 3
    assert seig("farm", "status", batch.root, "--json").returncode == 0


def test_a_folder_without_a_batch_is_told(tmp_path):
    for name in ("status", "collect", "retry"):
        ended = seig("farm", name, tmp_path)
        assert ended.returncode == 64 and f"{tmp_path} holds no batch" in ended.stderr


def test_only_what_is_not_final_is_handed_in_again(tmp_path):
    for number in range(6):
        draw_box(tmp_path / f"{number}.png")
    (tmp_path / "rows.csv").write_text("image\n" + "".join(f"{number}.png\n" for number in range(6)))
    out = tmp_path / "out"
    engine = ("--engine", "openjd", "--write-only")
    ended = seig("farm", "submit", tmp_path / "rows.csv", "--out", out, *engine, "--", "--model", "offline")
    assert ended.returncode == 0, ended.stderr
    assert indices(out) == "1-6"
    done(out / "0")
    done(out / "3", "best_effort")
    write(out / "5" / "result.json", {**FAILED, "message": "too large"})
    ended = seig("farm", "retry", out, "--write-only")
    assert ended.returncode == 0 and indices(out) == "2-3,5"
    ended = seig("farm", "retry", out, "--write-only", "--failed")
    assert ended.returncode == 0 and indices(out) == "2-3,5-6"
    assert not (out / "5" / "result.json").exists(), "a failure is forgotten once: each later start keeps a new one"
    for number in (1, 2, 4, 5):
        done(out / str(number))
    ended = seig("farm", "retry", out)
    assert ended.returncode == 0 and "All 6 rows" in ended.stdout


def step(out):
    return json.loads((out / "template.json").read_text())["steps"][0]


def indices(out):
    return step(out)["parameterSpace"]["taskParameterDefinitions"][0]["range"]
