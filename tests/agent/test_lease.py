"""A run belongs to one process at a time, and one that was taken for dead writes nothing more."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.errors import Interrupted
from agent.runs import lease
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal, write_atomically
from agent.runs.lease import Lease, LeaseLost, RunHeld, live_holder, read_holder

HOLD = "import sys, time; from pathlib import Path; from agent.runs.lease import Lease\n"
HOLD += "with Lease(Path(sys.argv[1])) as held: print(held.holder.epoch, flush=True); time.sleep(float(sys.argv[2]))"


def start(folder, seconds=60.0):
    """A process that holds the run."""
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


@pytest.fixture
def holder(tmp_path):
    process = start(tmp_path)
    assert process.stdout.readline() == "1\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(autouse=True)
def watched_shortly(monkeypatch):
    monkeypatch.setattr(lease, "WATCH_S", 0.5)


def from_elsewhere(folder, age_s):
    """Let the run look as if a process of another machine held it, with its last sign of life that long ago."""
    elsewhere = {"space": "another machine", "host": "render7", "pid": 1, "released": False}
    there = read_holder(folder).model_copy(update=elsewhere)
    write_atomically(folder / "lease.json", there.model_dump_json())
    now = time.time()
    os.utime(folder / "lease.json", (now - age_s, now - age_s))


def test_a_second_process_is_refused_and_told_who_holds_the_run(holder, tmp_path):
    with pytest.raises(Interrupted, match=f"process {holder.pid} on") as caught, Lease(tmp_path):
        pass
    assert caught.value.exit_code == 75


def test_what_a_killed_process_held_is_free_at_once(holder, tmp_path):
    holder.kill()
    holder.wait()
    with Lease(tmp_path) as taken:
        assert taken.holder.epoch == 2


def test_a_stopped_process_still_holds_its_run(holder, tmp_path):
    holder.send_signal(19)
    assert live_holder(tmp_path).pid == holder.pid


def test_what_was_let_go_is_free(tmp_path):
    with Lease(tmp_path):
        assert live_holder(tmp_path) is not None
    assert live_holder(tmp_path) is None
    assert read_holder(tmp_path).released


def test_a_holder_elsewhere_is_believed_while_it_gives_signs_of_life(tmp_path):
    with Lease(tmp_path):
        pass
    write_atomically(
        tmp_path / "lease.json", read_holder(tmp_path).model_copy(update={"released": False}).model_dump_json()
    )
    from_elsewhere(tmp_path, age_s=lease.STALE_S - 30)
    with pytest.raises(Interrupted, match="render7"), Lease(tmp_path):
        pass
    from_elsewhere(tmp_path, age_s=lease.STALE_S + 30)
    with Lease(tmp_path) as taken:
        assert taken.holder.epoch == 2


def test_a_holder_that_was_taken_for_dead_writes_nothing_more(tmp_path):
    first = RunFolder(tmp_path)
    with first.lease():
        journal = Journal(tmp_path, first.fence)
        journal.note("before")
        from_elsewhere(tmp_path, age_s=lease.STALE_S + 30)
        with RunFolder(tmp_path).lease():
            written = journal._path.read_bytes()
            with pytest.raises(LeaseLost) as caught:
                journal.note("after")
            assert caught.value.exit_code == 75
            assert journal._path.read_bytes() == written
        journal.close()
    assert read_holder(tmp_path).epoch == 2


def test_of_many_that_come_at_once_one_gets_the_run(tmp_path):
    processes = [start(tmp_path, 5.0) for _ in range(8)]
    ended = [process.communicate() for process in processes]
    assert sorted(out for out, _ in ended) == [""] * 7 + ["1\n"]
    assert all("RunHeld" in err for out, err in ended if not out)


def test_a_lease_that_cannot_be_read_is_taken_with_a_higher_epoch(tmp_path):
    with Lease(tmp_path):
        pass
    (tmp_path / "lease.json").write_text("{half")
    os.utime(tmp_path / ".lease-1", (0, 0))
    with pytest.raises(RunHeld, match="cannot be understood"), Lease(tmp_path):
        pass  # for it is fresh, and may be that of another version of this program
    os.utime(tmp_path / "lease.json", (0, 0))
    with Lease(tmp_path) as taken:
        assert taken.holder.epoch == 2


def test_one_that_judged_before_another_took_the_run_does_not_get_it(tmp_path, monkeypatch):
    look = lease.live_holder

    def overtaken(folder, watch_s=0.0):
        monkeypatch.setattr(lease, "live_holder", look)
        judged = look(folder, watch_s)
        first.__enter__()
        return judged

    first = Lease(tmp_path)
    monkeypatch.setattr(lease, "live_holder", overtaken)
    with pytest.raises(RunHeld), Lease(tmp_path):
        pass
    first.check()
    first.__exit__(None, None, None)


@pytest.mark.parametrize("moment", ["_holder", "write_atomically"])
def test_one_that_is_suspended_while_it_takes_a_run_leaves_it_to_who_took_it_meanwhile(tmp_path, monkeypatch, moment):
    step, second = getattr(lease, moment), Lease(tmp_path)

    def suspended(*arguments):
        monkeypatch.setattr(lease, moment, step)
        long_ago = time.time() - lease.TAKING_S - 1
        os.utime(tmp_path / ".lease-1", (long_ago, long_ago))
        second.__enter__()
        return step(*arguments)

    monkeypatch.setattr(lease, moment, suspended)
    with pytest.raises(RunHeld, match="taken by another process meanwhile"), Lease(tmp_path):
        pass
    second.check()
    assert second.holder.epoch == 2
    second.__exit__(None, None, None)
    assert (read_holder(tmp_path).epoch, read_holder(tmp_path).released) == (2, True)


def test_a_disk_that_does_not_say_who_holds_a_run_gives_it_to_nobody(tmp_path, monkeypatch):
    with Lease(tmp_path):
        read = Path.read_bytes

        def stale(path):
            if path.name == "lease.json":
                raise OSError(errno.ESTALE, "Stale file handle", str(path))
            return read(path)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", stale)
            with pytest.raises(OSError, match="Stale"), Lease(tmp_path):
                pass


def test_the_heartbeat_goes_on_while_the_run_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.05)
    with Lease(tmp_path) as held:
        first, deadline = held.holder.heartbeat, time.monotonic() + 10
        while read_holder(tmp_path).heartbeat == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert read_holder(tmp_path).heartbeat > first


def test_the_job_of_the_engine_stands_in_the_lease(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    with Lease(tmp_path) as held:
        assert held.holder.job == "17_4" and str(held.holder).endswith("(job 17_4)")
