"""`run --manifest M --index K --out ROOT`: what a farm may rely on. Each test is a sentence of that contract."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from farm_batches import QUICK, STUBBED
from messages_api import Answer, messages_api
from scripted_runs import ENVIRONMENT, SCRIPTED, draw_box, entries

from agent import console as console_of
from agent.console import Console
from agent.errors import Interrupted
from agent.farm.batch import begin_batch
from agent.farm.manifest import read_manifest
from agent.runs.folder import RunFolder
from agent.runs.lease import STALE_S, read_holder
from sandbox.folders import ROOT

pytestmark = pytest.mark.farm

NO_BLENDER = ("--model", "offline", "--blender", "/nowhere/blender")


@pytest.fixture
def place(tmp_path):
    """A batch's folder beside a manifest of one picture."""
    draw_box(tmp_path / "box.png")
    (tmp_path / "rows.csv").write_text("id,image\nbox,box.png\n")
    (tmp_path / "out").mkdir()
    return tmp_path


def command(place, *more, index=1, program=("-m", "agent")):
    own = ("--manifest", place / "rows.csv", "--index", index, "--out", place / "out", "--preset", "quick")
    return [sys.executable, *map(str, (*program, "run", *own, *more))]


def run(place, *more, index=1, program=("-m", "agent"), **environment):
    environment = {**ENVIRONMENT, "ASKED": str(place / "asked"), **environment}
    return subprocess.run(
        command(place, *more, index=index, program=program),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )


def read(path):
    return json.loads(path.read_text())


def fail_lines(ended):
    return [line for line in ended.stdout.splitlines() if line.startswith("openjd_fail: ")]


def begun(place, events):
    """A run of which the journal tells these events, after its first line."""
    folder = place / "out" / "box"
    (folder / "logs").mkdir(parents=True)
    first = {"event": "run", "version": 1, "config": {}, "source": "box.png", "blender": "4.5.0"}
    (folder / "journal.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (first, *events)))
    return folder


# ── how it ends ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_final_failure_is_in_the_result_and_repeating_it_ends_with_the_same_code_at_once(place):
    picture = (place / "box.png").read_bytes()
    (place / "box.png").unlink()
    first = run(place, "--progress", "openjd", *NO_BLENDER)
    assert (first.returncode, len(fail_lines(first))) == (65, 1)
    assert "box.png" in fail_lines(first)[0] and fail_lines(first)[0].startswith("openjd_fail: input: ")
    result = read(place / "out" / "box" / "result.json")
    assert (result["status"], result["exit_code"], result["failure_class"]) == ("failed", 65, "input")

    (place / "box.png").write_bytes(picture)
    before = (place / "out" / "box" / "result.json").stat().st_mtime_ns
    again = run(place, "--progress", "openjd", *NO_BLENDER)
    assert (again.returncode, fail_lines(again)) == (65, fail_lines(first))
    assert (place / "out" / "box" / "result.json").stat().st_mtime_ns == before

    anew = run(place, "--retry-failed", *NO_BLENDER)
    assert anew.returncode == 69, "it got as far as looking for its Blender"
    assert not (place / "out" / "box" / "result.json").exists()


def test_a_node_that_cannot_is_told_in_the_status_and_not_in_the_result(place):
    ended = run(place, "--progress", "openjd", *NO_BLENDER)
    assert (ended.returncode, len(fail_lines(ended))) == (69, 1)
    status = read(place / "out" / "box" / "status.json")
    assert (status["state"], status["exit_code"], status["failure_class"]) == ("stopped", 69, "node")
    assert "/nowhere/blender" in status["message"]
    assert not (place / "out" / "box" / "result.json").exists()
    assert run(place, *NO_BLENDER).returncode == 69


def test_a_node_where_the_batchs_folder_is_not_mounted_cannot_do_the_row(place):
    """The manifest lies in that folder, as a farm's does."""
    away = place / "away"
    begin_batch(place / "out", place / "rows.csv", read_manifest(place / "rows.csv"))
    own = ("--manifest", place / "out" / "farm" / "manifest.jsonl")
    (place / "out").rename(away)
    ended = run(place, *own, "--progress", "openjd", *NO_BLENDER)
    assert (ended.returncode, len(fail_lines(ended))) == (69, 1) and f"{place / 'out'} is not there" in ended.stderr
    (place / "out").mkdir()  # the place of a mount that is missing
    assert run(place, *own, *NO_BLENDER).returncode == 69
    assert list((place / "out").iterdir()) == []


def test_a_node_where_the_pictures_are_not_mounted_cannot_do_the_row_and_another_may(place):
    (place / "pictures").mkdir()
    (place / "rows.csv").write_text("id,image\nbox,pictures/box.png\n")
    (place / "pictures").rename(place / "away")
    ended = run(place, *NO_BLENDER)
    assert ended.returncode == 69 and f"{place / 'pictures'} is not there" in ended.stderr
    assert read(place / "out" / "box" / "status.json")["failure_class"] == "node"
    (place / "away").rename(place / "pictures")
    assert run(place, *NO_BLENDER).returncode == 65, "the folder is there, and the picture is not"


def test_what_may_be_a_defect_is_tried_once_more_and_is_then_final(place):
    defect = place / "defect"

    def attempt():
        defect.touch()
        return run(place, *QUICK, program=(STUBBED,), STAND_IN=str(place), DEFECT=str(defect))

    first = attempt()
    assert (
        first.returncode == 75 and "ZeroDivisionError: a defect" in first.stderr and "tried once more" in first.stderr
    )
    assert not (place / "out" / "box" / "result.json").exists()
    assert read(place / "out" / "box" / "status.json")["failure_class"] == "bug"
    assert attempt().returncode == 70
    assert read(place / "out" / "box" / "result.json")["exit_code"] == 70
    again = attempt()
    assert again.returncode == 70 and defect.exists(), "it was not begun again"


def test_a_defect_that_the_second_attempt_does_not_meet_costs_nothing_twice(place):
    (place / "defect").touch()
    facts = {"program": (STUBBED,), "STAND_IN": str(place), "DEFECT": str(place / "defect")}
    assert run(place, *QUICK, **facts).returncode == 75
    assert run(place, *QUICK, **facts).returncode == 0
    answered = [line for line in (place / "asked").read_text().splitlines() if " answered " in line]
    assert len(answered) == len(set(answered)) > 0


def test_wrong_usage_is_told_to_the_engine_and_leaves_no_trace(place):
    ended = run(place, "--progress", "openjd", *NO_BLENDER, index=2)
    assert (ended.returncode, len(fail_lines(ended))) == (64, 1)
    assert "no row 2" in ended.stderr
    assert list((place / "out").iterdir()) == []


def test_a_folder_that_is_another_runs_stays_as_it_is(place):
    folder = begun(place, [])
    (folder / "result.json").write_text('{"status": "accepted"}')
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ended = run(place, *NO_BLENDER)
    assert ended.returncode == 64 and "belongs to another run" in ended.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_configuration_that_is_refused_is_final_with_78(place):
    ended = run(place, "--model", "claude", "--progress", "jsonl", ANTHROPIC_API_KEY="", ANTHROPIC_AUTH_TOKEN="")
    assert ended.returncode == 78
    said = json.loads(ended.stdout.splitlines()[-1])
    assert (said["failed"], said["exit_code"]) == ("input", 78)
    assert read(place / "out" / "box" / "result.json")["exit_code"] == 78


def test_interrupted_too_often_a_row_is_given_up_for_good_until_it_is_tried_again(place):
    folder = begun(place, [{"event": "resumed"}] * 4)
    (folder / "status.json").write_text('{"failure_class": "api", "message": "the service is away."}')
    ended = run(place, "--progress", "openjd", *NO_BLENDER)
    assert ended.returncode == 70
    assert fail_lines(ended) == ["openjd_fail: api: given up after 5 attempts: the service is away."]
    assert read(folder / "result.json")["failure_class"] == "api"
    failed = entries(folder)[-1]
    assert (failed["event"], failed["exit_code"], failed["kind"]) == ("failed", 70, "WornOut")
    assert run(place, *NO_BLENDER).returncode == 70

    anew = run(place, "--retry-failed", *NO_BLENDER)
    assert anew.returncode == 64 and "another run" in anew.stderr, "tried again, it has all its attempts anew"


def test_a_row_that_is_given_up_has_booked_what_was_being_asked_when_it_was_killed(place):
    asked = {"rollout": 0, "stage": "geometry", "round": 1, "role": "generator", "ordinal": 0}
    asking = [
        {"event": "asking", "key": f"reply/{number}", "place": asked, "model": "claude",
         "worst": {"input_tokens": 900, "output_tokens": 100, "usd": 0.5}}
        for number in (1, 2, 3)
    ]  # fmt: skip
    folder = begun(place, [*asking, {"event": "unanswered", "key": "reply/1"}, *[{"event": "resumed"}] * 4])
    assert run(place, *NO_BLENDER).returncode == 70
    spent = read(folder / "result.json")["spent"]
    assert (spent["calls"], spent["tokens"], spent["usd"]) == (2, 2000, 1.0)
    assert run(place, *NO_BLENDER).returncode == 70
    assert run(place, "--retry-failed", "--max-attempts", "1", *NO_BLENDER).returncode == 64
    booked = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert [(line["usd"], line["answered"]) for line in booked] == [(0.5, False)] * 2, "once"


def test_more_attempts_may_be_allowed(place):
    begun(place, [{"event": "resumed"}] * 4)
    assert run(place, "--max-attempts", "6", *NO_BLENDER).returncode == 64


@pytest.mark.parametrize("kind", ["openjd", "cgru", "jsonl", "none"])
def test_each_engine_gets_its_own_lines_once_before_a_failure(place, kind):
    ended = run(place, "--progress", kind, *NO_BLENDER)
    first = {"openjd": "openjd_fail: node: ", "cgru": "ACTIVITY: failed, node: ", "jsonl": '{"failed": "node"'}
    lines = ended.stdout.splitlines()
    assert len(lines) == (0 if kind == "none" else 1)
    assert all(line.startswith(first[kind]) for line in lines)


# ── progress ──────────────────────────────────────────────────────────────────────────────────────────────────────────
PERCENT = {
    "openjd": lambda line: re.fullmatch(r"openjd_progress: ([\d.]+)", line),
    "cgru": lambda line: re.fullmatch(r"PROGRESS: (\d+)%", line),
    "jsonl": lambda line: re.fullmatch(r'\{"percent": ([\d.]+), "where": .*\}', line),
}


@pytest.mark.parametrize("kind", PERCENT)
def test_progress_stands_at_the_start_of_lines_and_never_goes_back_across_attempts(tmp_path, kind):
    seen = []
    for percents in ((0, 30, 20), (5, 50)):
        stream = io.StringIO()
        with Console(tmp_path / "status.json", stream, progress=kind) as console:
            for percent in percents:
                console.step("geometry", "generator", percent)
                console.say("by the way")
        seen += [float(found[1]) for line in stream.getvalue().splitlines() if (found := PERCENT[kind](line))]
    assert seen == [0, 30, 30, 99, 99], "the first attempt came to its end"
    assert all(0 <= one <= 100 for one in seen)


def test_a_run_that_was_stopped_goes_on_from_its_percent(tmp_path):
    with pytest.raises(Interrupted), Console(tmp_path / "status.json", io.StringIO()) as console:
        console.step("material", "generator", 65, round=2, rounds=3)
        raise Interrupted("stopped by SIGTERM.")
    status = read(tmp_path / "status.json")
    assert (status["state"], status["stage"], status["round"], status["percent"]) == ("stopped", "material", 2, 65)
    stream = io.StringIO()
    with Console(tmp_path / "status.json", stream, progress="openjd") as console:
        console.step("starting", "the empty scene")
    assert "openjd_progress: 65.0" in stream.getvalue().splitlines()


def test_who_waits_says_so_again_and_again(tmp_path, monkeypatch):
    assert console_of.QUIET_S < 60
    monkeypatch.setattr(console_of, "QUIET_S", 0.5)
    stream = io.StringIO()
    with Console(tmp_path / "status.json", stream, progress="openjd") as console:
        console.step("geometry", "generator")
        with console.waiting("waiting for the model"):
            until = time.monotonic() + 20
            while stream.getvalue().count("waiting for the model") < 4 and time.monotonic() < until:
                time.sleep(0.1)
    said = re.findall(r"(?m)^openjd_status: geometry · generator · waiting for the model, \d+ s$", stream.getvalue())
    assert len(said) >= 2


LATE = """
import sys, time
from pathlib import Path
from agent import opening
from agent.config import Budget, Config
from agent.runs import budget
from agent.runs.budget import Ledger
from agent.runs.stopping import stopping
budget.LEAST_SPARE_MINUTES = 0.0
ledger, config = Ledger(Path(sys.argv[1]), Budget()), Config(budget=Budget(minutes=0.01))
with stopping(), opening._bounded(ledger, config, print):
    time.sleep(20)
"""


def test_a_run_far_beyond_its_time_is_interrupted(tmp_path):
    command = [sys.executable, "-c", LATE, str(tmp_path / "ledger.jsonl")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert "far beyond its 0.01" in ended.stdout and "Interrupted: stopped by SIGUSR1" in ended.stderr


# ── a whole row ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def whole(blender, tmp_path_factory):
    """A row done where there is no home, no display, no terminal, and standard output breaks."""
    place = tmp_path_factory.mktemp("whole")
    draw_box(place / "box.png")
    (place / "rows.csv").write_text("id,image,seed\nbox,/elsewhere/box.png,7\n")
    rule = {"source_path_format": "POSIX", "source_path": "/elsewhere", "destination_path": str(place)}
    (place / "map.json").write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]}))
    for name in ("out", "scratch", "here"):
        (place / name).mkdir()
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(place / "scratch"), "HOME": "/nonexistent",
                   "PYTHONPATH": ENVIRONMENT["PYTHONPATH"], "ASKED": str(place / "asked"),
                   "PYTHONDONTWRITEBYTECODE": "1", "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "1"}  # fmt: skip
    more = ("--path-map", place / "map.json", "--blender", blender.executable, "--progress", "openjd", "--threads", 1)
    reader, writer = os.pipe()
    began = time.time()
    with subprocess.Popen(
        command(place, *more, program=(SCRIPTED,)), env=environment, cwd=place / "here", stdout=writer, stderr=writer
    ) as process:
        os.close(writer)
        os.read(reader, 10)
        os.close(reader)
        assert process.wait(timeout=110) == 0
    return place, more, environment, began


@pytest.mark.blender
def test_a_row_is_done_without_home_or_display_though_its_standard_output_broke(whole):
    folder = whole[0] / "out" / "box"
    assert read(folder / "result.json")["status"] == "accepted"
    assert read(folder / "result.json")["seed"] == 7
    status = read(folder / "status.json")
    assert {"stage", "round", "percent", "psnr_db", "usd", "calls", "eta_s", "attempts", "host", "job", "at"} <= set(
        status
    )
    assert (status["job"], status["attempts"], status["percent"]) == ("17_1", 1, 100)
    assert read_holder(folder).released


@pytest.mark.blender
def test_nothing_is_written_elsewhere(whole):
    place, *_ = whole
    assert list((place / "scratch").iterdir()) == []
    assert list((place / "here").iterdir()) == []
    assert sorted(path.name for path in (place / "out").iterdir()) == ["box"]
    assert sorted(path.name for path in place.iterdir()) == [
        "asked", "box.png", "here", "map.json", "out", "rows.csv", "scratch"
    ]  # fmt: skip


@pytest.mark.blender
def test_a_finished_row_is_told_again_at_once_and_asks_nothing(whole):
    place, more, environment, _ = whole
    asked = (place / "asked").read_text()
    said = place / "out" / "box" / "result.json"
    before = said.stat().st_mtime_ns
    done = subprocess.run(command(place, *more, program=(SCRIPTED,)), env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert ((place / "asked").read_text(), said.stat().st_mtime_ns) == (asked, before)


@pytest.mark.blender
def test_below_the_bar_only_strict_minds(whole, tmp_path):
    """And says it to the engine, as with every code but 0."""
    place, more, environment, _ = whole
    result = place / "out" / "box" / "result.json"
    accepted = result.read_text()
    result.write_text(accepted.replace('"accepted"', '"best_effort"'))
    try:
        for strict, code in (((), 0), (("--strict",), 3)):
            again = command(place, *more, *strict, program=(SCRIPTED,))
            done = subprocess.run(again, env=environment, capture_output=True, text=True, timeout=60)
            assert (done.returncode, len(fail_lines(done))) == (code, code // 3)
    finally:
        result.write_text(accepted)


# ── signals ───────────────────────────────────────────────────────────────────────────────────────────────────────────
PATIENCE_S = 3.0


def stop_when(place, line, kind, *more, program, **environment):
    """Start the row, send a signal once it says that; how long it took to end, and with what code."""
    environment = {**ENVIRONMENT, "ASKED": str(place / "asked"), **environment}
    with subprocess.Popen(
        command(place, "--blender", "wheel", *more, program=program),
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = next((one for one in process.stdout if re.search(line, one)), None)
        assert said is not None, "it ended before it came so far"
        time.sleep(0.3)  # into the midst of it
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGCONT)
        sent = time.monotonic()
        process.send_signal(kind)
        process.stdout.read()
        code = process.wait(timeout=20)
        took_s = time.monotonic() - sent
    _, alive = psutil.wait_procs(children, timeout=3)
    assert not alive
    return took_s, code


@pytest.mark.blender
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_signal_ends_a_row_within_three_seconds_from_any_point_and_it_goes_on_from_there(blender, place):
    folder = place / "out" / "box"
    moments = {
        r"the empty scene": signal.SIGTERM,
        r"initialisation · round 1 of 1 · generator": signal.SIGUSR1,
        r"geometry · stage render": signal.SIGUSR2,
        r"material · round 1 of 1 · verifier": signal.SIGINT,
        r"delivering": signal.SIGHUP,
    }
    for number, (line, kind) in enumerate(moments.items(), 1):
        took_s, code = stop_when(place, line, kind, "--max-attempts", "9", program=(SCRIPTED,))
        assert (code, took_s < PATIENCE_S) == (75, True), (line, took_s)
        status = read(folder / "status.json")
        assert (status["state"], status["failure_class"], status["exit_code"]) == ("stopped", "interrupted", 75)
        assert kind.name in status["message"] and status["attempts"] == number
        assert read_holder(folder).released and not (folder / "result.json").exists()
    ended = run(place, "--blender", "wheel", "--max-attempts", "9", program=(SCRIPTED,))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    keys = (place / "asked").read_text().splitlines()
    assert len(keys) == len(set(keys)), "a stored reply was asked for again"


@pytest.mark.blender
@pytest.mark.parametrize("rollouts", [1, 2])
def test_a_signal_ends_a_row_that_waits_for_a_service_which_does_not_answer(blender, place, rollouts):
    with messages_api() as api:
        api.always = Answer(pings_s=600.0)
        key = {"ANTHROPIC_API_KEY": "sk-test", "ANTHROPIC_BASE_URL": api.url}
        more = ("--model", "claude", "--rollouts", rollouts)
        took_s, code = stop_when(place, "scene graph", signal.SIGTERM, *more, program=("-m", "agent"), **key)
    assert (code, took_s < PATIENCE_S) == (75, True), took_s
    folder = place / "out" / "box"
    assert read(folder / "status.json")["failure_class"] == "interrupted"
    assert read_holder(folder).released


@pytest.mark.blender
def test_the_last_interruption_is_a_failure_for_good(blender, place):
    _, code = stop_when(place, "scene graph|generator", signal.SIGTERM, "--max-attempts", "1", program=(SCRIPTED,))
    assert code == 70
    result = read(place / "out" / "box" / "result.json")
    assert (result["failure_class"], result["attempts"]) == ("interrupted", 1)
    assert "given up after 1 attempts: stopped by SIGTERM" in result["message"]


# ── one row, two attempts ─────────────────────────────────────────────────────────────────────────────────────────────
def written(folder):
    """All that a report, or another attempt, reads."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "logs")
    return {path: path.read_bytes() for path in files}


@pytest.mark.blender
def test_an_attempt_that_was_taken_for_dead_stops_without_writing_or_booking_anything(blender, place):
    """It is stopped in the midst of its work for so long that another takes the row over, and then goes on."""
    folder = place / "out" / "box"
    with subprocess.Popen(
        command(place, "--blender", "wheel", program=(SCRIPTED,)),
        env={**ENVIRONMENT, "ASKED": str(place / "asked")},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert any("geometry · round 1 of 1" in line for line in process.stdout)
        process.send_signal(signal.SIGSTOP)
        until_stopped = time.monotonic() + 10
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED and time.monotonic() < until_stopped:
            time.sleep(0.05)
        elsewhere = {"space": "another machine", "host": "render7", "pid": 1}
        (folder / "lease.json").write_text(read_holder(folder).model_copy(update=elsewhere).model_dump_json())
        long_ago = time.time() - STALE_S - 30
        os.utime(folder / "lease.json", (long_ago, long_ago))
        with RunFolder(folder).lease():
            before = written(folder)
            process.send_signal(signal.SIGCONT)
            process.stdout.read()
            assert process.wait(timeout=60) == 75
            after = written(folder)
    assert before.keys() == after.keys()
    assert [path for path in before if before[path] != after[path]] == []
    ended = run(place, "--blender", "wheel", program=(SCRIPTED,))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len((folder / "ledger.jsonl").read_text().splitlines()) == read(folder / "result.json")["spent"]["calls"]


@pytest.mark.blender
def test_a_row_that_another_process_works_on_is_left_to_it(blender, place):
    folder = place / "out" / "box"
    folder.mkdir()
    with RunFolder(folder).lease():
        before = written(folder)
        ended = run(place, "--blender", "wheel", "--model", "offline", "--progress", "openjd")
        assert (ended.returncode, len(fail_lines(ended))) == (75, 1) and "being worked on by" in ended.stderr
        assert written(folder) == before
