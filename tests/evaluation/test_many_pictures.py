"""Many pictures are measured in processes of their own, with the same figures, and none is left behind."""

import os
import subprocess
import sys

import psutil
import pytest
from box_helpers import eventually
from evaluated_runs import draw_picture, finished

from agent.evaluation import evaluating
from agent.evaluation.data import Dataset, Item, View
from agent.evaluation.evaluating import Question, evaluate
from agent.evaluation.finding import find_runs
from sandbox.folders import ROOT


def workers(pid):
    """The processes that a process measures in; Python's own tracker of resources ends with it."""
    return [one for one in psutil.Process(pid).children(recursive=True) if "spawn_main" in " ".join(one.cmdline())]


@pytest.fixture
def methods(tmp_path):
    for seed in range(5):
        picture = draw_picture(tmp_path / f"p{seed}.png", seed)
        finished(tmp_path / "runs" / f"p{seed}", picture)
    return {"runs": find_runs([tmp_path / "runs"])}


def test_in_processes_of_their_own_pictures_have_the_same_figures(methods, monkeypatch):
    told = []
    many = evaluate(Question(methods=methods, size_px=64, tell=told.append))
    assert not workers(os.getpid())
    assert told[-1].startswith("5 of 5 pictures measured")
    monkeypatch.setattr(evaluating, "FEW", 100)
    here = evaluate(Question(methods=methods, size_px=64))
    assert many == here


def test_an_evaluation_that_is_given_up_leaves_no_process(methods):
    def give_up(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Question(methods=methods, size_px=64, tell=give_up))
    assert not workers(os.getpid())


def test_the_processes_end_with_a_command_that_is_killed(tmp_path, methods):
    command = [
        sys.executable,
        "-m",
        "agent",
        "evaluate",
        tmp_path / "runs",
        "--out",
        tmp_path / "out",
        "--size",
        "1024",
    ]
    found = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: found.extend(workers(process.pid)) or found, 60)
        finally:
            process.kill()
    eventually(lambda: not any(one.is_running() for one in found), 30)


def test_another_scene_is_of_another_group_and_groups_are_resampled_together(tmp_path, methods):
    items = [
        Item(id=f"p{seed}", group="one" if seed < 2 else f"g{seed}",
             reference=View(name="r", picture=tmp_path / f"p{seed}.png"))
        for seed in range(5)
    ]  # fmt: skip
    data = Dataset(name="set", items=tuple(items), notes=("it is odd",))
    report = evaluate(Question(methods=methods, data=data, size_px=64)).report
    same = {row.picture: row.value("psnr_db") for row in report.rows if row.method == "another scene"}
    pair = Dataset(name="set", items=(items[0], items[2]))
    apart = evaluate(Question(methods=methods, data=pair, size_px=64)).report
    other = {row.picture: row.value("psnr_db") for row in apart.rows if row.method == "another scene"}
    assert same["p0"] == other["p0"], "p1 shows the same scene, so p2 is the other one"
    assert report.notes == ("it is odd",) and {row.group for row in report.rows} == {"one", "g2", "g3", "g4"}
    assert len(apart.unmatched) == 3
