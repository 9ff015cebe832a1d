"""The pool on the fake Blender: what it keeps ready, what it ends, what it says when it cannot."""

import logging
import os
import signal
import threading
import time

import psutil
import pytest
from box_helpers import Editor, assert_nothing_left, eventually, processes_of
from fake_blender import adding, fake

from protocol.errors import BlenderError, BreakerOpen, SetupFailed
from sandbox.pool import Pool
from sandbox.scratch import PREFIX, Scratch, remove_abandoned, temporary_folder


@pytest.fixture
def make(limits, store, tmp_path):
    def make(**options):
        standby = options.pop("standby", True)
        return Pool(fake(tmp_path, **options), limits, store, tmp_path / "logs", standby)

    return make


def test_a_pool_leaves_nothing_behind_however_its_block_ends(make):
    with pytest.raises(RuntimeError), make() as pool, pool.session() as scene:
        Editor(scene)("import subprocess; subprocess.Popen(['/bin/sleep', '600'], start_new_session=True)")
        raise RuntimeError
    assert_nothing_left(pool.folder)


def test_a_pool_can_be_closed_while_its_blenders_boot(make):
    with make(at_boot="import time; time.sleep(60)") as pool:
        eventually(lambda: processes_of(pool.folder))
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert_nothing_left(pool.folder)


def test_a_session_that_outlives_its_pool_ends_quietly(make):
    pool = make()
    with pool:
        scene = pool.session().__enter__()
    scene.__exit__(None, None, None)
    assert_nothing_left(pool.folder)


def test_a_pool_closed_under_a_running_session_fails_it_and_ends(make):
    failures = []

    def work():
        try:
            with pool.session() as scene:
                while True:
                    Editor(scene)("import time; time.sleep(0.2)")
        except BlenderError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    with make() as pool:
        thread.start()
        eventually(lambda: len(processes_of(pool.folder)) == 4)
    thread.join(10)
    assert not thread.is_alive() and isinstance(failures[0], SetupFailed)
    assert_nothing_left(pool.folder)


def test_a_blender_that_never_starts_is_said_so_and_asked_twice(make, caplog):
    with caplog.at_level(logging.WARNING), make(at_boot="raise RuntimeError('no GPU')", standby=False) as pool:
        with pytest.raises(SetupFailed, match="did not start") as caught, pool.session():
            pass
        assert "no GPU" in caught.value.log_tail
    assert caplog.text.count("boot attempt") == 2


def test_blenders_that_no_longer_start_open_the_breaker(make, tmp_path, monkeypatch):
    monkeypatch.setattr("sandbox.pool.FIRST_WAIT_S", 0.01)
    broken = tmp_path / "broken"
    with make(at_boot=f"import os; os.path.exists({str(broken)!r}) and os._exit(5)") as pool, pool.session() as scene:
        pool._standby.result()
        broken.touch()
        edit = Editor(scene)
        with pytest.raises(BreakerOpen, match="did not start 5 times in a row") as caught:
            for number in range(3):
                edit(f"import os; os._exit({number})")
        assert "resume" in caught.value.remedy
    assert_nothing_left(pool.folder)


def test_a_standby_that_died_while_it_waited_is_replaced(make):
    with make() as pool, pool.session() as scene:
        edit = Editor(scene)
        edit(adding("Cup"))
        os.kill(pool._standby.result().hello.pid, signal.SIGKILL)
        eventually(lambda: pool._standby.result().ended)
        assert edit(adding("Plate")).kind == "committed"


def test_all_sessions_share_one_empty_start(make):
    with make() as pool, pool.session() as one, pool.session() as two:
        assert one.head == two.head


def test_no_more_sessions_than_memory_and_processors_bear(make, monkeypatch):
    pool = make()
    monkeypatch.setattr("sandbox.pool.processors", lambda: 8)
    for available, sessions in ((100 << 30, 4), (3 << 30, 3), (1 << 30, 1), (0, 1)):
        monkeypatch.setattr("sandbox.pool.available_bytes", lambda available=available: available)
        assert pool.side_by_side(4) == sessions
    monkeypatch.setattr("sandbox.pool.processors", lambda: 2)
    monkeypatch.setattr("sandbox.pool.available_bytes", lambda: 100 << 30)
    assert pool.side_by_side(4) == 2


def test_many_edits_and_faults_leave_descriptors_threads_and_files_flat(make):
    us = psutil.Process()
    with make() as pool, pool.session() as scene:
        edit = Editor(scene)

        def one_round():
            edit(adding("Cup"))
            edit("1 / 0")
            edit("import os; os._exit(1)")
            eventually(lambda: pool._standby.done() and len(processes_of(pool.folder)) == 4)

        one_round()
        one_round()
        before = us.num_fds(), us.num_threads()
        for _ in range(8):
            one_round()
        eventually(lambda: (us.num_fds(), us.num_threads()) <= before)
        assert len([path for path in pool.folder.iterdir() if path.is_dir()]) == 4


def test_what_a_killed_pool_left_is_removed_by_the_next_and_the_living_is_left_alone(tmp_path):
    living = Scratch()
    dead = living.folder.with_name(PREFIX + "dead-test")
    (dead / "w1").mkdir(parents=True)
    (dead / "lock").touch()
    remove_abandoned(living.folder.parent)
    assert living.folder.exists() and not dead.exists()
    living.close()
    assert not living.folder.exists()


def test_folders_made_at_the_same_time_do_not_take_each_other_for_abandoned():
    def make_many():
        for _ in range(200):
            with temporary_folder() as folder:
                made.append(folder.is_dir())

    made: list[bool] = []
    threads = [threading.Thread(target=make_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 800 and all(made)


def test_a_folder_whose_process_was_killed_before_it_was_locked_goes_after_a_while(tmp_path):
    old, new, full = (tmp_path / f"{PREFIX}{name}" for name in ("old", "new", "full"))
    for folder in (old, new, full):
        folder.mkdir()
    (full / "somebody's").touch()
    for folder in (old, full):
        os.utime(folder, (1, 1))
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == [full, new]
