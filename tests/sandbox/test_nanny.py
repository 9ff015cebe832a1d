"""The nanny: what it is shown, and that neither its end nor its owner's leaves anything behind."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
from box_helpers import Editor, assert_nothing_left, eventually, processes_of
from fake_blender import adding

from sandbox.pool import Pool

ROOT = Path(__file__).resolve().parents[2]
DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execve("/bin/sleep", ["sleep", "600"], {"HOME": os.getcwd()})  # no mark, no parent, no session of ours
"""
"""Code that leaves a process which nothing but its subreaper can find."""


def test_a_nanny_never_sees_a_key(scene, monkeypatch, pool):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary")
    scene.fresh()
    workers = (scene._active, pool._standby.result())
    for process in (psutil.Process(pid) for one in workers for pid in (one.nanny.pid, one.hello.pid)):
        assert "canary" not in str(process.environ()) + str(process.cmdline())


def test_a_killed_nanny_takes_its_blender_along_and_costs_one_edit(pool, scene, edit):
    edit(adding("Cup"))
    nanny, blender = psutil.Process(scene._active.nanny.pid), psutil.Process(scene._active.hello.pid)
    outcome = edit(f"import os, time; os.kill({nanny.pid}, 9); time.sleep(60)")
    assert outcome.kind == "protocol_error" and "its nanny was lost (SIGKILL)" in outcome.message
    eventually(lambda: not blender.is_running() or blender.status() == psutil.STATUS_ZOMBIE)
    assert edit(adding("Plate")).kind == "committed"
    eventually(lambda: len(processes_of(pool.folder)) == 4)


def test_a_nanny_that_does_not_answer_is_killed_with_its_blender(fake_blender, limits, store, tmp_path, monkeypatch):
    monkeypatch.setattr("protocol.client.NANNY_PATIENCE_S", 0.5)
    monkeypatch.setattr("sandbox.nannies.PATIENCE_S", 0.5)
    with Pool(fake_blender, limits, store, tmp_path / "logs") as pool, pool.session() as scene:
        edit = Editor(scene)
        edit(adding("Cup"))
        pool._standby.result()
        stopped = psutil.Process(scene._active.nanny.pid)
        outcome = edit(f"import os, time; os.kill({stopped.pid}, 19); time.sleep(60)", timeout_s=0.3)
        assert outcome.kind == "deadline"
        assert edit(adding("Plate")).kind == "committed"
        eventually(lambda: not stopped.is_running())
    assert_nothing_left(pool.folder)


def test_what_fled_from_everything_ends_with_its_blender(pool, scene, edit):
    assert edit(adding("Cup") + DAEMON).kind == "committed"
    eventually(lambda: sleepers(pool.folder))
    edit("import os; os.abort()")
    eventually(lambda: not sleepers(pool.folder))


def test_a_killed_owner_leaves_neither_nanny_nor_blender_nor_what_fled_from_it(tmp_path):
    program = tmp_path / "owner.py"
    program.write_text(
        textwrap.dedent(f"""\
        import sys, time
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "fakes")!r}]
        from pathlib import Path
        from box_helpers import Editor
        from fake_blender import adding, fake
        from sandbox.limits import Limits
        from sandbox.pool import Pool
        from sandbox.snapshots import SnapshotStore
        here = Path({str(tmp_path)!r})
        with Pool(fake(here), Limits(), SnapshotStore(here / "s"), here / "logs") as pool, pool.session() as scene:
            assert Editor(scene)(adding("Cup") + {DAEMON!r}).kind == "committed"
            print(pool.folder, flush=True)
            time.sleep(60)
        """)
    )
    owner = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    folder = Path(owner.stdout.readline().strip())
    eventually(lambda: sleepers(folder))
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    eventually(lambda: not processes_of(folder))
    assert not [each for each in folder.iterdir() if each.name.startswith("w")], "nannies removed their folders"


def sleepers(folder):
    return [process for process in processes_of(folder) if process.name() == "sleep"]
