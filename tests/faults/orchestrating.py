"""Owns the faults that no edit's code can bring about: what happens to agent, nanny, Blender and files from outside.

Each is a function of the ground that gives the outcome in one word.
"""

import contextlib
import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import zmq
from box_helpers import Editor, assert_nothing_left, eventually, processes_of
from fake_blender import adding, fake

from protocol.errors import BreakerOpen, SetupFailed
from sandbox import scratch, snapshots
from sandbox.confinement import choosing, probes
from sandbox.confinement.levels import Level
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore, SnapshotUnfit
from sandbox.transaction import FACTORS
from sandbox.worker import Worker
from tests.faults.ground import CUP, MOVE
from tests.faults.injected import WIRE

ORCHESTRATOR = Path(__file__).with_name("orchestrator.py")
SLEEP = "import time; time.sleep(600)"
_numbers = itertools.count(1)


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────────
STRAY = (
    WIRE
    + MOVE
    + """
import zmq
reply(MINE - 1, "execute", DONE)
reply(MINE, "execute", DONE, epoch="0" * 32)
reply(MINE + 5, "settle", {"resets": []})
context = zmq.Context()
other = context.socket(zmq.DEALER)
other.connect("ipc://r")
other.send_multipart(wire.encode(wire.Message(wire.REPLY, S._epoch, MINE, "execute", body={"stdout": "forged"})))
time.sleep(0.3)
S.kept = context, other  # their end would be taken for the Blender's
"""
)


def stray_replies(ground):
    outcome, worker = ground.edit(STRAY), ground.scene._active
    if outcome.kind != "committed" or "forged" in outcome.stdout:
        return f"{outcome.kind} {outcome.stdout}"
    dropped = worker.look().dropped
    assert dropped.get("late", 0) >= 1 and dropped.get("foreign", 0) >= 2 and dropped.get("stranger", 0) >= 1, dropped
    return "dropped"


# ── kills and stops ───────────────────────────────────────────────────────────────────────────────────────────────────
def killed_before_it_begins(ground):
    blender = _blender_of(ground.scene._active)
    os.kill(blender, signal.SIGSTOP)
    with _later(0.5, os.kill, blender, signal.SIGKILL):
        return ground.edit(MOVE).kind


def nanny_killed(ground):
    with _later(0.5, os.kill, ground.scene._active.nanny.pid, signal.SIGKILL):
        return ground.edit(SLEEP).kind


def blender_stopped(ground):
    with _later(0.3, os.kill, _blender_of(ground.scene._active), signal.SIGSTOP):
        return ground.edit(SLEEP, timeout_s=1.5).kind


def nanny_stopped(ground):
    with _later(0.3, os.kill, ground.scene._active.nanny.pid, signal.SIGSTOP):
        return ground.edit(SLEEP, timeout_s=1).kind


def killed_before_the_manifest(ground):
    store, head, stray = _killed_agent(ground, "manifest")
    assert len(stray) == 1, "the state's file was there"
    return "not accepted" if _goes_on(ground, store, head) else "lost"


def agent_killed(ground):
    store, head, stray = _killed_agent(ground, "asleep")
    return "nothing left" if _goes_on(ground, store, head) and not stray else "lost"


def _killed_agent(ground, how):
    """The store, the last accepted state and the files without a manifest that a killed agent leaves."""
    folder = _new_folder(ground)
    command = [sys.executable, str(ORCHESTRATOR), how, ground.level, str(folder)]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with agent:
        pool_folder, head = Path(agent.stdout.readline().strip()), agent.stdout.readline().strip()
        if how == "asleep":
            time.sleep(0.5)
            agent.kill()
    assert agent.returncode == -signal.SIGKILL, f"the agent ended: {agent.returncode}"
    eventually(lambda: not processes_of(pool_folder), 10)
    store = SnapshotStore(folder / "snapshots")
    stray = [path for path in store.folder.glob("[!.]*.blend") if not path.with_suffix(".json").exists()]
    return store, store.get(head), stray


def _goes_on(ground, store, head):
    with _pool(ground, store=store) as pool, pool.session(head) as scene:
        return Editor(scene)(MOVE).kind == "committed" and scene.head.parent == head.id


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
SCRIPTED = (
    MOVE
    + """
text = bpy.data.texts.new("run.py")
text.use_module = True
text.write("open('ran-text', 'w').close()")
driver = bpy.data.objects["Cup"].driver_add("location", 2).driver
driver.type = "SCRIPTED"
driver.expression = "__import__('builtins').open('ran-driver', 'w') and 0.0"
"""
)


def scripts_in_the_file(ground):
    """The standby opens it to judge it. Accepted only because the scope here holds what is the host's alone."""
    outcome = ground.edit(SCRIPTED, frozenset(FACTORS))
    if outcome.kind != "committed":
        return outcome.kind
    judge = ground.pool._standby.result()
    ground.scene.fresh()
    ground.scene.fresh()
    for worker in (judge, ground.scene._active, ground.pool._standby.result()):
        if list(worker.nanny._settings.worker_folder.glob("ran-*")):
            return "run"
    return "not run"


def accepted_file_changed(ground):
    assert ground.edit(MOVE).kind == "committed"
    path, parent = ground.store.path(ground.scene.head.id), ground.scene.head.parent
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        try:
            ground.edit("1 / 0")
            return "not noticed"
        except SnapshotUnfit:
            ground.scene.move_to(ground.store.get(parent))
            return "refused" if ground.edit(MOVE).kind == "committed" else "lost"
    finally:
        path.write_bytes(whole)


def disk_full_for_the_nanny(ground):
    """A file size limit does to it what a full disk does."""
    pid = ground.scene._active.nanny.pid
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, hard))
    return ground.edit(MOVE).kind


def disk_full_for_the_agent(ground):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with _instead(snapshots, "_sync", full):
        return ground.edit(MOVE).kind


# ── set-up ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def blender_missing(ground):
    return _started(ground, ground.blender.model_copy(update={"executable": Path("/nowhere/blender")}))


def other_protocol(ground):
    return _started(ground, fake(_new_folder(ground), protocol=2))


def newer_scene(ground):
    newer = ground.scene.head.model_copy(update={"blender": "99.0.0"})
    return _setup(lambda: ground.pool.session(newer).__enter__())


def path_too_long(ground):
    folder = _new_folder(ground) / ("x" * 100)
    pair = folder / "n", folder / "w"
    for each in pair:
        each.mkdir(parents=True)
    context = zmq.Context()
    try:
        return _setup(lambda: Worker(ground.blender, ground.limits, pair, folder / "log", context))
    finally:
        context.destroy(linger=0)


def no_folder(ground):
    with _instead(scratch, "parent", lambda: Path("/proc")):
        return _setup(lambda: _pool(ground).__enter__())


def level_out_of_reach(ground):
    """A machine whose bubblewrap does not work."""
    reach = probes.reach()
    failed = [probe.model_copy(update={"passed": probe.level < Level.SANDBOXED}) for probe in reach.probes]
    with _instead(probes, "reach", lambda: probes.Reach(probes=tuple(failed))):
        if choosing.choose() >= Level.SANDBOXED:
            return "not noticed"
        return _setup(lambda: choosing.choose("auto", "L3"))


def slow_boot(ground):
    return _started(ground, _program(ground, "sleep 60"), boot_s=1.5)


def crash_at_boot(ground):
    return _started(ground, _program(ground, "kill -SEGV $$"), boot_s=10)


def crash_at_boot_later(ground):
    """Where Blender did start before."""
    folder = _new_folder(ground)
    flag, program = folder / "broken", folder / "python"
    program.write_text(f'#!/bin/sh\ntest -e {flag} && kill -SEGV $$\nexec {ground.blender.executable} "$@"\n')
    program.chmod(0o755)
    with _pool(ground, ground.blender.model_copy(update={"executable": program})) as pool, pool.session() as scene:
        assert Editor(scene)(CUP).kind == "committed"
        pool._standby.result()
        flag.touch()
        scene.fresh()
        word = _setup(scene.fresh, BreakerOpen)
    assert_nothing_left(pool.folder)
    return word


def deadly_twice(ground):
    source = f"import os; os.abort()  # {next(_numbers)} {time.monotonic_ns()}"
    kinds = [ground.edit_plainly(source).kind for _ in range(3)]
    assert kinds[:2] == ["crashed", "crashed"]
    return kinds[2]


def crash_at_load(ground):
    """A Blender that cannot open any more what it could when the state was accepted."""
    folder = _new_folder(ground)
    flag = folder / "broken"
    on_open = f"import os\nif os.path.exists({str(flag)!r}): os.abort()"
    with _pool(ground, blender=fake(folder)) as pool, pool.session() as scene:
        assert Editor(scene)(adding("Cup") + f"scene['on_open'] = {on_open!r}").kind == "committed"
        flag.touch()
        word = _setup(scene.fresh)
    assert_nothing_left(pool.folder)
    return word


def made_by_a_dying_thread(ground):
    """Linux ends a child with the thread that started it, where it was told to end it with its parent."""
    entered = []

    def enter():
        pool = _pool(ground)
        entered.extend((pool.__enter__(), pool.session().__enter__()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    pool, scene = entered
    try:
        time.sleep(0.5)
        pid = scene._active.hello.pid
        kind = Editor(scene)(CUP).kind
        return kind if scene._active.hello.pid == pid else "replaced"
    finally:
        scene.__exit__(None, None, None)
        pool.__exit__(None, None, None)
        assert_nothing_left(pool.folder)


def clock_jumps(ground):
    real, began = time.time, time.monotonic()
    with _instead(time, "time", lambda: real() + (24 * 3600 if time.monotonic() - began > 0.5 else 0)):
        kind = ground.edit("while True: pass", timeout_s=2).kind
    took_s = time.monotonic() - began
    return kind if 1.5 < took_s < 12 else f"{kind} after {took_s:.1f} s"


def soaked(ground):
    from tests.faults.soak import soak

    figures = soak(100, 0, _new_folder(ground), ground.level)
    return "flat" if not figures.wrong else "; ".join(figures.wrong)


# ── means ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _started(ground, blender, **limits):
    """What becomes of a pool on such a Blender."""
    limits = ground.limits.model_copy(update=limits)
    pool = Pool(blender, limits, *_places(ground), standby=False, level=Level.parse(ground.level))
    return _setup(lambda: _try_session(pool))


def _try_session(pool):
    try:
        with pool, pool.session():
            pass
    finally:
        if hasattr(pool, "folder"):
            assert_nothing_left(pool.folder)


def _setup(what, kind=SetupFailed):
    try:
        what()
    except kind as failure:
        assert str(failure)
        return "setup_failed" if failure.remedy else "setup_failed without a remedy"
    return "started"


def _pool(ground, blender=None, store=None):
    places = (store, ground.folder / "logs") if store else _places(ground)
    return Pool(blender or ground.blender, ground.limits, *places, level=Level.parse(ground.level))


def _places(ground):
    folder = _new_folder(ground)
    return SnapshotStore(folder / "snapshots"), folder / "logs"


def _new_folder(ground):
    folder = ground.folder / f"own-{next(_numbers)}"
    folder.mkdir()
    return folder


def _program(ground, script):
    program = _new_folder(ground) / "blender"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return ground.blender.model_copy(update={"executable": program, "kind": "binary"})


def _blender_of(worker):
    """Blender itself, which walls and launchers may stand around: the largest below its nanny."""
    below = psutil.Process(worker.nanny.pid).children(recursive=True)
    return max(below, key=lambda each: each.memory_info().rss).pid


@contextlib.contextmanager
def _later(delay_s, what, *arguments):
    timer = threading.Timer(delay_s, what, arguments)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@contextlib.contextmanager
def _instead(owner, name, other):
    real = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, real)
