"""The job template is valid, and does what it says when Open Job Description's own runner executes it."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from scripted_runs import draw_box

from sandbox.folders import ROOT

pytestmark = pytest.mark.farm

ENVIRONMENT = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
OFFLINE = ("--preset", "quick", "--model", "offline", "--blender", "wheel")


def seig(*arguments, **options):
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, **options)


def openjd(*arguments, **options):
    return subprocess.run(
        ["openjd", *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=200, **options
    )


@pytest.fixture
def place(tmp_path):
    for number in range(2):
        draw_box(tmp_path / f"{number}.png")
    (tmp_path / "rows.csv").write_text("image\n0.png\n1.png\n")
    return tmp_path


@pytest.fixture
def template(place):
    """The job of two rows, as a file."""
    ended = submit(place, "--write-only")
    assert ended.returncode == 0, ended.stderr
    return place / "out" / "template.json"


def submit(place, *options, run=OFFLINE):
    own = ("farm", "submit", place / "rows.csv", "--out", place / "out", "--engine", "openjd")
    return seig(*own, *options, "--", *run)


def changed(template, **action):
    """The template with this said of its first step's action."""
    said = json.loads(template.read_text())
    said["steps"][0]["script"]["actions"]["onRun"].update(action)
    template.write_text(json.dumps(said))


def status(place, id):
    return json.loads((place / "out" / id / "status.json").read_text())


def processes_of(place):
    """Whose command names the place, or whose scratch is below a session's folder."""
    return [one for one in psutil.process_iter(["cmdline"]) if str(place) in " ".join(one.info["cmdline"] or ())]


def until(true, most_s=60.0):
    deadline = time.monotonic() + most_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_template_is_valid_and_asks_for_what_was_said(place):
    more = ("--slots", "vlm_slots", "--minutes", "90", "--memory", "6000", "--cpus", "3", "--write-only")
    assert submit(place, *more).returncode == 0
    path = place / "out" / "template.json"
    ended = openjd("check", path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(path.read_text())
    run, collect = said["steps"]
    amounts = {one["name"]: one["min"] for one in run["hostRequirements"]["amounts"]}
    assert amounts == {"amount.worker.vcpu": 3, "amount.worker.memory": 6000, "amount.vlm_slots": 1}
    action = run["script"]["actions"]["onRun"]
    assert action["timeout"] == 90 * 60 and action["args"][-2:] == ["--index", "{{Task.Param.Index}}"]
    assert action["args"][action["args"].index("--threads") + 1] == "3"
    assert collect["dependencies"] == [{"dependsOn": "Run"}]
    flows = {one["name"]: one.get("dataFlow") for one in said["parameterDefinitions"]}
    assert flows == {"Manifest": "IN", "Out": "INOUT", "Program": None, "Python": None}


def test_a_host_is_asked_for_what_a_blender_may_take_and_what_is_beside_it(place):
    (place / "rows.csv").write_text("image,limits.memory_mib\n0.png,\n1.png,6000\n")
    assert submit(place, "--write-only").returncode == 0
    said = json.loads((place / "out" / "template.json").read_text())
    amounts = {one["name"]: one["min"] for one in said["steps"][0]["hostRequirements"]["amounts"]}
    assert amounts["amount.worker.memory"] == 6000 + 1024


def test_a_title_that_looks_like_a_reference_is_only_a_title(place):
    (place / "rows.csv").rename(place / "{{Param.X}}.csv")
    own = ("farm", "submit", place / "{{Param.X}}.csv", "--out", place / "out", "--engine", "openjd", "--write-only")
    ended = seig(*own, "--", *OFFLINE)
    assert ended.returncode == 0, ended.stderr


def test_what_the_runner_refuses_is_told(place):
    ended = submit(place, "--slots", "no such name!", "--write-only")
    assert ended.returncode == 64 and "openjd refuses" in ended.stderr


def test_no_template_holds_a_key(place, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret-of-mine")
    assert submit(place, "--write-only", run=("--preset", "quick")).returncode == 0
    for path in (place / "out").rglob("*"):
        assert path.is_dir() or b"secret-of-mine" not in path.read_bytes(), path


@pytest.mark.blender
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_rows_run_to_their_end_with_the_pictures_where_the_farm_has_them(blender, place, template):
    """Of two rows one is handed in as on the farm's own disks, with rules that say where these are here."""
    manifest = place / "out" / "farm" / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace(str(place / "1.png"), "/farm/pictures/1.png"))
    rule = {"source_path_format": "POSIX", "source_path": "/farm/pictures", "destination_path": str(place)}
    rules = json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]})
    ended = openjd("run", template, "--step", "Run", "--path-mapping-rules", rules)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr
    for id in "01":
        assert json.loads((place / "out" / id / "result.json").read_text())["proof"]["outcome"] == "identical"
        assert status(place, id)["percent"] == 100
    progress = [float(line.split()[-1]) for line in ended.stdout.splitlines() if "openjd_progress:" in line]
    assert len(progress) > 20 and all(0 <= one <= 100 for one in progress)
    assert not processes_of(place)


@pytest.mark.blender
@pytest.mark.timeout(200)
@pytest.mark.parametrize("through", ["openjd", "farm submit"])
def test_asked_to_stop_the_runner_stops_the_row_and_leaves_nothing_behind(blender, place, template, through):
    command = ["openjd", "run", str(template), "--step", "Run"]
    if through == "farm submit":
        own = ("farm", "submit", place / "rows.csv", "--out", place / "out", "--engine", "openjd", "--", *OFFLINE)
        command = [sys.executable, "-m", "agent", *map(str, own)]
    with subprocess.Popen(
        command, env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout:
            if b"initialisation" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.wait(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=3)
    assert len(children) > 3 and not alive
    said = status(place, "0")
    assert (said["exit_code"], said["failure_class"]) == (75, "interrupted")
    assert not (place / "out" / "0" / "result.json").exists() and not (place / "out" / "1").exists()


@pytest.mark.blender
@pytest.mark.timeout(200)
def test_beyond_its_time_a_row_is_killed_and_leaves_nothing_behind(blender, place, template):
    """The runner kills the task's process group; Blenders are in others, and die with their parents."""
    changed(template, timeout=7)
    began = time.monotonic()
    ended = openjd("run", template, "--step", "Run")
    assert ended.returncode != 0 and time.monotonic() - began < 60
    until(lambda: not processes_of(place), 10)
    until(lambda: not [one for one in psutil.process_iter(["environ"]) if _is_of(one, place)], 10)
    assert not (place / "out" / "0" / "result.json").exists()


def _is_of(process, place):
    return str(place) in str((process.info["environ"] or {}).get("TMPDIR", ""))


def test_the_retry_of_a_row_that_failed_for_good_is_free(place):
    (place / "rows.csv").write_text("image\n0.png\n")
    (place / "more.png").write_bytes(b"no picture")
    (place / "0.png").write_bytes(b"no picture")
    ended = submit(place)
    assert ended.returncode == 0, "the only row is final"
    assert "1 of 1 rows final (1 failed)" in ended.stdout and "1 input" in ended.stdout
    again = openjd("run", place / "out" / "template.json", "--step", "Run")
    assert [said.stdout.count("openjd_fail: input:") for said in (ended, again)] == [1, 1]
    assert "All 1 rows" in submit(place).stdout, "and it is not handed in a second time"
