"""A batch on a real Slurm, small and on loopback: what ends is done once, what is interrupted goes on where it was."""

import contextlib
import json
import os
import re
import shutil
import sys

import psutil
import pytest
from box_helpers import eventually
from farm_batches import QUICK, a_cluster

from agent.errors import NodeUnfit
from agent.farm.slurm import engine
from sandbox.folders import ROOT

pytestmark = pytest.mark.farm

AWKWARD = "ro%w 'of' \"Straßen\" & $x"


def test_a_batch_runs_from_submission_to_report_within_its_licences_and_wherever_it_lies(a_batch, tmp_path):
    (tmp_path / AWKWARD).mkdir()
    batch = a_batch(rows=3, folder=tmp_path / AWKWARD, picture="Stuhl Nº 1.png")
    (job,) = batch.submit("--licenses", "vlm:1", "--gres", "blender:1")
    seen = []
    batch.until_ended(look=lambda queue: seen.append(sorted(queue.values())))
    assert max(states.count("RUNNING None") for states in seen) == 2
    assert ["PENDING Dependency", "PENDING Licenses", "RUNNING None", "RUNNING None"] in seen
    batch.assert_all_accepted()
    batch.assert_each_paid_once()
    report = json.loads((batch.root / "batch.json").read_text())
    assert report["totals"]["states"] == {"accepted": 3}
    assert [row["job"] for row in report["rows"]] == [f"{job}_{index}" for index in (1, 2, 3)]
    assert (batch.root / "batch.html").exists() and (batch.root / "batch.csv").exists()
    status = batch.farm("status", batch.root)
    assert status.returncode == 0 and "3 of 3 rows final" in status.stdout


def test_what_was_cancelled_stays_so_until_it_is_retried_and_then_goes_on(a_batch):
    batch = a_batch()
    batch.hold()
    (job,) = batch.submit()
    batch.until_held()
    assert batch.states() == ["running"]
    status = batch.farm("status", batch.root).stdout
    assert f"job {job}: 1 running" in status and "row 1 row1: running" in status and f"as job {job}_1" in status
    batch.cluster.call("scancel", job)
    batch.until_ended()
    assert batch.states() == ["stopped"] and len(batch.calls()) == 2
    report = json.loads((batch.root / "batch.json").read_text())
    assert report["totals"]["states"] == {"stopped": 1}
    batch.let_go()
    retried = batch.farm("retry", batch.root)
    assert retried.returncode == 0, retried.stderr
    assert batch.jobs() != [job]
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once(interrupted=1)
    assert "final" in batch.farm("retry", batch.root).stdout and not batch.queue()


def test_what_is_still_in_the_queue_is_not_handed_in_a_second_time(a_batch):
    batch = a_batch()
    batch.hold()
    (job,) = batch.submit()
    batch.until_held()
    before = batch.queue()
    submit = ("submit", batch.manifest, "--out", batch.root, "--", *QUICK)
    for command in (submit, ("retry", batch.root)):
        ended = batch.farm(*command)
        assert ended.returncode == 64 and f"still in the queue. Wait for them, or: scancel {job}" in ended.stderr
    assert batch.queue() == before and batch.jobs() == [job]


def test_a_run_that_is_killed_is_started_again_and_goes_on(a_batch):
    batch = a_batch()
    batch.hold()
    (job,) = batch.submit()
    batch.until_held()
    batch.process().kill()
    eventually(lambda: batch.queue()[f"{job}_1"] == "PENDING BeginTime")
    assert batch.states() == ["lost"]
    assert f"job {job}: 1 waiting to be started again" in batch.farm("status", batch.root).stdout
    batch.let_go()
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once(interrupted=1)
    assert batch.outcomes()[0].attempts == 2


def test_a_run_on_a_node_that_dies_is_started_again_elsewhere(a_batch):
    batch = a_batch()
    batch.hold()
    batch.submit()
    batch.until_held()
    with batch.node_killed():
        assert not batch.cluster.job_processes() and batch.states() == ["lost"]
        batch.let_go()
        batch.until_ended()
        batch.assert_all_accepted()
        batch.assert_each_paid_once(interrupted=1)


def test_a_run_that_outlives_its_node_is_not_done_by_two(a_batch):
    batch = a_batch()
    batch.hold()
    (job,) = batch.submit()
    batch.until_held()
    first = batch.process()
    with batch.node_killed(with_jobs=False):
        assert works(first) and batch.states() == ["running"]
        held = "is being worked on by process"
        batch.until(lambda: held in str(batch.log()), 60)  # the second attempt has met the first one's lease …
        eventually(lambda: batch.queue()[f"{job}_1"] == "PENDING BeginTime")  # … and waits to try again
        assert works(first) and len(batch.calls(what="asked")) == 3
        batch.let_go()
        eventually(lambda: not works(first), 60)
        assert batch.states() == ["accepted"]
        batch.until_ended()
        batch.assert_all_accepted()
        batch.assert_each_paid_once()
        assert len(batch.calls(what="asked")) == len(batch.calls())
        assert batch.outcomes()[0].attempts == 1


def test_a_run_is_stopped_in_good_order_before_its_time_limit_and_goes_on(a_batch):
    batch = a_batch()
    batch.hold()
    (job,) = batch.submit("--minutes", "10")
    batch.until_held()
    batch.cluster.call("scontrol", "update", f"jobid={job}_1", "TimeLimit=2")  # so that the warning is due
    eventually(lambda: batch.queue()[f"{job}_1"] == "PENDING BeginTime", 60)
    assert batch.states() == ["stopped"] and "SIGUSR1" in batch.outcomes()[0].message
    batch.let_go()
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once(interrupted=1)


def test_a_row_that_one_node_cannot_do_is_done_by_another(a_batch):
    batch = a_batch(rows=2, title="moved", UNFIT="node1")
    jobs = batch.submit()
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once()
    assert sorted(batch.ends()) in (["0:0", "0:0", "69:0"], ["0:0", "0:0", "69:0", "69:0"])
    report = json.loads((batch.root / "batch.json").read_text())
    assert report["totals"]["states"] == {"accepted": 2}, "it was written again after the last row"
    moved = {row["job"].partition("_")[0] for row in report["rows"]} - set(jobs)
    assert moved and {row["host"] for row in report["rows"]}


@pytest.mark.parametrize("lacks", ["folder", "python"])
def test_a_row_is_done_by_another_node_where_one_lacks_the_program(a_batch, tmp_path, lacks):
    """All nodes are this machine, so the script is told a path with the node's name in it, which is there for node2."""
    if lacks == "folder":
        said = f"cd {ROOT}"
        (tmp_path / "node2").symlink_to(ROOT)
    else:
        said = f"exec {sys.executable}"
        (tmp_path / "node2").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (tmp_path / "node2").chmod(0o755)
    there = f"{said.split()[0]} {tmp_path}/$SLURMD_NODENAME"
    edit = f"""for each; do case "$each" in *.sbatch) sed -i 's|{said} |{there} |' "$each";; esac; done"""
    batch = a_batch(title=f"without-{lacks}")
    batch.submit(PATH=path_with_sbatch(batch, tmp_path, edit))
    batch.until_ended()
    batch.assert_all_accepted()
    assert sorted(batch.ends()) == ["0:0", "69:0"]


def test_a_row_that_no_node_can_do_ends_and_is_told(a_batch):
    batch = a_batch(title="nowhere", UNFIT="node1")
    batch.submit("--sbatch=--exclude=node2")
    batch.until_ended()
    assert batch.states() == ["stopped"] and batch.ends().count("69:0") == 1
    assert batch.outcomes()[0].failure_class == "node" and "no Blender here" in batch.outcomes()[0].message
    assert batch.farm("status", batch.root).returncode == 75


def test_what_has_failed_for_good_is_neither_started_again_nor_paid_again(a_batch, tmp_path):
    batch = a_batch(rows=2, title="unreadable")
    (tmp_path / "box.png").write_bytes(b"no picture")
    batch.submit()
    batch.until_ended()
    ends = [(each.state, each.exit_code, each.failure_class) for each in batch.outcomes()]
    assert ends == [("failed", 65, "input")] * 2
    assert batch.ends() == ["65:0", "65:0"]
    assert not batch.calls(what="asked")
    assert "All 2 rows" in batch.farm("retry", batch.root).stdout and not batch.queue()
    batch.farm("retry", batch.root, "--failed")
    batch.until_ended()
    assert batch.ends() == ["65:0"] * 4


def test_a_budget_that_is_gone_is_final_too_until_the_row_is_handed_in_again_with_a_larger_one(a_batch):
    batch = a_batch(title="poor")
    batch.submit(run=(*QUICK, "--max-calls", "1"))
    batch.until_ended()
    assert [(each.state, each.exit_code) for each in batch.outcomes()] == [("failed", 10)]
    assert batch.ends() == ["10:0"] and len(batch.calls(what="asked")) == 1
    batch.submit("--retry-failed", run=(*QUICK, "--max-calls", "50"))  # with more it goes on
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once()


@pytest.mark.blender
def test_no_blender_outlives_a_cancelled_job_and_the_retry_makes_the_scene(a_batch, blender):
    batch = a_batch(ROW_BLENDER=str(blender.executable))
    batch.hold()
    batch.submit(run=("--preset", "quick", "--stages", "camera"))
    batch.until_held()
    run = batch.process()
    blenders = run.children(recursive=True)
    assert len(blenders) >= 2  # a nanny and its Blender at least
    batch.cluster.call("scancel", *batch.jobs())
    batch.until_ended()
    eventually(lambda: not any(map(works, (run, *blenders))))
    assert batch.states() == ["stopped"]
    batch.let_go()
    assert batch.farm("retry", batch.root).returncode == 0
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once(interrupted=1)


def works(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


# ── clusters that are as they come ────────────────────────────────────────────────────────────────────────────────────
def test_where_slurm_does_not_requeue_by_exit_code_the_job_does(a_plain_batch):
    batch = a_plain_batch()
    batch.hold()
    (job,) = batch.submit()
    batch.until_held()
    batch.cluster.call("scancel", "--batch", "--signal=USR1", f"{job}_1")
    eventually(lambda: batch.queue().get(f"{job}_1") == "PENDING BeginTime")
    assert batch.states() == ["stopped"]
    batch.until_held(asked=4)
    batch.process().kill()
    eventually(lambda: batch.queue().get(f"{job}_1") == "PENDING BeginTime")
    batch.until_held(asked=5)
    batch.cluster.call("scancel", job)  # is not undone by the job itself
    batch.until_ended()
    assert batch.states() == ["stopped"] and len(batch.calls()) == 2


def test_more_rows_than_an_array_may_have_become_several(a_plain_batch, tmp_path):
    batch = a_plain_batch(rows=8)
    (tmp_path / "box.png").write_bytes(b"no picture")
    jobs = batch.submit()
    assert [batch.array(job) for job in jobs] == ["1-2", "0-2", "0-2"]
    batch.until_ended()
    assert batch.states() == ["failed"] * 8
    assert [each.exit_code for each in batch.outcomes()] == [65] * 8


def test_where_one_array_is_refused_none_is_handed_in(a_plain_batch, tmp_path):
    batch = a_plain_batch(rows=8)
    count = tmp_path / "count"
    third = f"""echo >> {count}; [ "$(wc -l < {count})" -lt 3 ] || {{ echo 'sbatch: error: full' >&2; exit 1; }}"""
    ended = batch.farm("submit", batch.manifest, "--out", batch.root, PATH=path_with_sbatch(batch, tmp_path, third))
    assert ended.returncode == 64
    assert re.search(r"Slurm refuses: .*: full .* was taken back: job \d+, \d+\.", ended.stderr)
    eventually(lambda: not batch.queue())
    assert not (batch.root / "farm" / "submission.json").exists()


def path_with_sbatch(batch, folder, before):
    """A PATH whose sbatch does something first."""
    real = shutil.which("sbatch", path=batch.environment["PATH"])
    (folder / "bin").mkdir()
    (folder / "bin" / "sbatch").write_text(f'#!/bin/sh\n{before}\nexec {real} "$@"\n')
    (folder / "bin" / "sbatch").chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{batch.environment['PATH']}"


def test_what_slurm_refuses_is_told_with_its_reason(a_plain_batch):
    batch = a_plain_batch()
    ended = batch.farm("submit", batch.manifest, "--out", batch.root, "--sbatch=--partition=moon")
    assert ended.returncode == 64 and "invalid partition specified: moon" in ended.stderr
    assert not batch.queue() and "Traceback" not in ended.stderr
    ended = batch.farm("submit", batch.manifest, "--out", batch.root, "--memory", "512")  # corrected, it is taken
    assert ended.returncode == 0, ended.stderr


def test_a_machine_without_slurm_says_so(a_plain_batch):
    batch = a_plain_batch()
    ended = batch.farm("submit", batch.manifest, "--out", batch.root, PATH="/nowhere")
    assert ended.returncode == 69 and "no sbatch on PATH" in ended.stderr


def test_a_controller_that_is_away_is_named_and_rows_are_seen_all_the_same(a_plain_batch):
    batch = a_plain_batch()
    batch.hold()
    batch.submit()
    batch.cluster.stop("slurmctld")
    try:
        status = batch.farm("status", batch.root)
        assert status.returncode == 75 and "0 of 1 rows final" in status.stdout
        assert "queue      unknown: Slurm's controller cannot be reached" in status.stdout
        ended = batch.farm("retry", batch.root)
        assert ended.returncode == 69 and "scontrol ping" in ended.stderr
    finally:
        batch.cluster.start("slurmctld")
        batch.cluster.wait_for_nodes()


def test_a_controller_that_never_answers_is_told_and_not_waited_for_without_end(tmp_path, monkeypatch):
    for name in ("sbatch", "scontrol"):
        (tmp_path / name).write_text("#!/bin/sh\necho no route >&2\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(engine, "CALL_S", 0.5)
    with pytest.raises(NodeUnfit, match=r"does not answer: scontrol took more than 0\.5 s\. no route"):
        engine.queue(["17"])


def test_a_cluster_that_does_not_start_says_why_and_leaves_nothing():
    before = munged()
    with pytest.raises(NodeUnfit, match="does not work: slurmctld"):
        with a_cluster(settings={"SelectType": "select/nonsense"}):
            pass
    assert munged() == before


def munged():
    return {process.pid for process in psutil.process_iter() if process.name() == "munged"}
