"""Whole experiments: stopped and gone on with, on a cluster, and with a real Blender."""

import json
import os
import signal
import subprocess
import sys

import pytest
from box_helpers import eventually
from farm_batches import QUICK, STUBBED, a_cluster
from scripted_runs import HERE, draw_box

from agent.farm.outcomes import FINAL_STATES
from sandbox.folders import ROOT

TRIAL = 'pictures = ["box.png"]\nmethods = ["staged", "monolithic"]\nmodel = "claude"\n'


@pytest.fixture
def stubbed(tmp_path):
    """Starts an experiment with a scripted model and a stand-in for Blender; see run_stubbed.py."""
    draw_box(tmp_path / "box.png")
    (tmp_path / "trial.toml").write_text(TRIAL)

    def start(*options, **environment):
        names = {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "STAND_IN": tmp_path, "ASKED": tmp_path / "asked"}
        told = {**os.environ, **{name: str(value) for name, value in names.items()}, "HOLD": str(tmp_path / "hold")}
        words = ("experiment", tmp_path / "trial.toml", "--out", tmp_path / "out", *options, "--", *QUICK)
        return subprocess.Popen(
            [sys.executable, str(STUBBED), *map(str, words)],
            cwd=ROOT, env={**told, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def ended(process, timeout_s=100):
    with process:
        out, said = process.communicate(timeout=timeout_s)
    assert "Traceback" not in said, said
    return process.returncode, out, said


def answered(folder, done="answered"):
    """Row's method and key of each reply that a model gave; or was `done="asked"` for."""
    lines = map(str.split, (folder / "asked").read_text().splitlines()) if (folder / "asked").exists() else ()
    return [(name.split(".")[1], key) for name, what, key in lines if what == done]


@pytest.mark.timeout(240)
def test_stopped_at_any_time_it_goes_on_and_pays_nothing_twice(stubbed, tmp_path):
    (tmp_path / "hold").touch()
    process = stubbed("--at-once", "1")
    eventually(lambda: len(answered(tmp_path, "asked")) == 3, 60)
    process.send_signal(signal.SIGTERM)
    code, _, said = ended(process)
    assert code == 75 and "Go on with the same command" in said
    assert not (tmp_path / "out" / "report.md").exists()
    (tmp_path / "hold").unlink()
    code, out, _ = ended(stubbed())
    assert code == 0 and "2 of 2 rows final, 0 of them failed" in out
    replies = answered(tmp_path)
    assert len(replies) == len(set(replies)) and {method for method, _ in replies} == {"staged", "monolithic"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["calls"] == len(replies) + 1, "the call that was under way is booked, and made once more"
    assert report["cost"]["usd"] > 0 and report["cost"]["tokens"] > 0
    assert [method["model_kind"] for method in report["methods"]] == ["claude", "claude"]
    assert len(report["blenders"]) == 1 and report["project"] == "0.1.0"


@pytest.mark.timeout(240)
def test_no_more_rows_run_at_once_than_the_models_service_bears(stubbed, tmp_path):
    (tmp_path / "hold").touch()
    process = stubbed("--at-once", "2", "--requests-per-minute", "4")
    eventually(lambda: len(answered(tmp_path, "asked")) == 3, 60)
    running = list((tmp_path / "out" / "batch").glob("box.*/status.json"))
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 75 and len(running) == 1


@pytest.mark.farm
@pytest.mark.timeout(300)
def test_on_a_cluster_it_is_handed_in_once_and_reported_when_it_is_done(stubbed, tmp_path):
    with a_cluster() as cluster:
        (tmp_path / "hold").touch()
        here = {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "STAND_IN": str(tmp_path), "ASKED": str(tmp_path / "asked")}
        environment = {**cluster.environment, **here}
        slurm = ("--engine", "slurm", "--memory", "512", "--cpus", "1")
        code, out, said = ended(stubbed(*slurm, **environment))
        assert code == 75 and "2 rows submitted as job" in out and "0 of 2 rows final" in out, said
        code, out, said = ended(stubbed(*slurm, **environment))
        assert code == 75 and "still in the queue" in out and "submitted" not in out, said
        (tmp_path / "hold").unlink()
        eventually(lambda: not cluster.call("squeue", "--noheader"), 120)
        code, out, said = ended(stubbed(*slurm, **environment))
        assert code == 0 and "2 of 2 rows final" in out and "submitted" not in out, said
    replies = answered(tmp_path)
    assert len(replies) == len(set(replies)) > 0


@pytest.mark.blender
@pytest.mark.timeout(400)
def test_two_methods_on_a_real_picture_offline(blender, tmp_path):
    picture = ROOT / "examples" / "toy_train.png"
    (tmp_path / "offline.toml").write_text(
        f'pictures = ["{picture}"]\nmethods = ["staged", "monolithic"]\nmodel = "offline"\npreset = "quick"\n'
    )
    command = [
        sys.executable,
        "-m",
        "agent",
        "experiment",
        str(tmp_path / "offline.toml"),
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(
        [*command, "--", "--blender", "wheel"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    code, out, said = ended(process, 380)
    assert code == 0 and "2 of 2 rows final, 0 of them failed" in out, said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {run["method"] for run in report["runs"] if run["state"] in FINAL_STATES} == {"staged", "monolithic"}
    assert report["cost"] == {"usd": 0.0, "tokens": 0} and report["minutes"] > 0
    told = (tmp_path / "out" / "report.md").read_text()
    assert "All 2 rows are final." in told and "| staged |" in told and "averaged before anything else" in told
    assert "no vision-language model" in told and "left out: they are of other pictures" in told
