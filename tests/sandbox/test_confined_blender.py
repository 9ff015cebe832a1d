"""Real Blenders at the levels that shut them in, as root and as an ordinary user: they work, and reach nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import ordinary_user
import pytest
import zmq
from box_helpers import eventually, processes_of
from needs import lacking

from protocol.errors import OutOfMemory, ProcessCrashed, ProcessExited, ProcessFault, SetupFailed
from protocol.models import ExecuteRequest
from sandbox.confinement import paths, probes
from sandbox.confinement.levels import Level
from sandbox.discovery import find_blender
from sandbox.limits import MIB, Limits
from sandbox.scratch import remove
from sandbox.worker import Worker

TRIAL = Path(__file__).parents[1] / "fakes" / "confined_trial.py"
KEY = "sk-canary-that-nobody-may-see"
DEBIANS = "/usr/bin/blender"
BLENDERS = ["wheel", DEBIANS]
SHUT_IN = [Level.CONFINED, Level.SANDBOXED]

pytestmark = pytest.mark.blender


def a_blender(wanted):
    if wanted == DEBIANS and not Path(DEBIANS).exists():
        lacking(f"no {DEBIANS} here")
    try:
        return find_blender(wanted)
    except SetupFailed as error:
        lacking(str(error))


def reachable(level):
    if not probes.reach().holds(level):
        lacking("; ".join(probe.detail for probe in probes.reach().of(level) if not probe.passed))


def environment(**more):
    return {**os.environ, "ANTHROPIC_API_KEY": KEY, **more}


def as_root(command, blender):
    if os.getuid() != 0:
        lacking("not root")
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def as_ordinary_user(command, blender):
    with tempfile.TemporaryDirectory(prefix="home-", dir="/tmp") as home:
        needed = [*paths.of_python(Path(sys.executable)), *paths.of_blender(blender)]
        return ordinary_user.run(
            command, Path(home), needed, env=environment(HOME=home), capture_output=True, text=True, check=False
        )


@pytest.mark.parametrize("run", [as_root, as_ordinary_user])
@pytest.mark.parametrize("level", SHUT_IN, ids=str)
@pytest.mark.parametrize("wanted", BLENDERS)
def test_it_works_and_reaches_nothing(wanted, level, run):
    reachable(level)
    done = run([sys.executable, str(TRIAL), wanted, str(level), KEY], a_blender(wanted))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(wanted, level, f"uid {found['uid']} booted in {found['boot_s']:.2f} s")
    assert (found["uid"] == 0) == (run is as_root)
    assert found["work"].splitlines()[-1] == "5 True True" and found["unfit"] == ""
    assert KEY not in done.stdout and found["secret"] not in str(found["said"])
    assert_attempts_failed(found["said"], found["touched"], level)
    assert_sees_nothing(found["look"], level, is_root=found["uid"] == 0)


def assert_attempts_failed(said, touched, level):
    assert said.pop("own folder") == "written" and said.pop("shut") == "shut"
    known = {"see"} if level == Level.CONFINED else set()  # documented: it may learn that a process exists
    assert {name for name, outcome in said.items() if not outcome.startswith("!")} == known
    assert touched == []


def assert_sees_nothing(look, level, is_root):
    status = dict(line.split(":\t", 1) for line in look["status"].splitlines())
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # Only the privileged can empty the bounding set; nobody else gains from it, as no new privileges can be had.
    sets = ["Inh", "Prm", "Eff", "Amb", *(["Bnd"] if is_root or level == Level.SANDBOXED else [])]
    assert all(int(status[f"Cap{name}"], 16) == 0 for name in sets)
    assert "ANTHROPIC_API_KEY" not in look["own environ"]
    refused = ("name service", "agent", "store", "kept", "root", "usr", "raw", "netlink")
    assert [name for name in refused if not look[name].startswith("!")] == []
    if level == Level.CONFINED:
        shut = ("environ of its parent", "processes", "checkout", "sockets of the machine")
        assert [name for name in (*shut, "unix", "datagrams") if look[name] != "!PermissionError"] == []
    else:
        assert look["processes"] == ["1", "2"]  # bubblewrap, which sees no more than it, and itself
        assert set(look["checkout"]) <= {"protocol", "blender_server", ".blender"}
    assert look["writable"] == [] and look["pair"] == [None, None]
    assert look["child"] == "42\n"
    files = {Path(name).name for name in look["descriptors"] if name.startswith("/")}
    assert files <= {"null", "faults.log", "bootstrap.py", "fd"}


@pytest.fixture(params=SHUT_IN, ids=str)
def worker(request, tmp_path):
    reachable(request.param)
    context = zmq.Context()
    folders = Path(tempfile.mkdtemp(prefix="n-", dir="/tmp")), Path(tempfile.mkdtemp(prefix="w-", dir="/tmp"))
    limits = Limits(memory_bytes=600 * MIB)
    worker = Worker(a_blender("wheel"), limits, folders, tmp_path / "log", context, level=request.param)
    yield worker
    worker.close()
    context.destroy(linger=0)
    for folder in folders:
        assert not folder.exists() and not processes_of(folder)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/seig-{worker.nanny.pid}-*")), "its control groups are gone too"


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", ProcessCrashed, "SIGSEGV"),
        ("import os; os.abort()", ProcessCrashed, "SIGABRT"),
        ("import os; os._exit(3)", ProcessExited, "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", ProcessCrashed, "SIGKILL"),
    ],
)
def test_how_it_ended_is_told_as_without_walls(worker, source, kind, words):
    with pytest.raises(kind, match=words):
        worker.call(ExecuteRequest(source=source), 20)


def test_memory_is_bounded(worker):
    with pytest.raises(ProcessFault) as caught:
        worker.call(ExecuteRequest(source="held = []\nwhile True: held.append(bytearray(b'x') * (64 << 20))"), 60)
    assert isinstance(caught.value, OutOfMemory)


def test_what_an_edit_starts_is_seen_and_ends_with_it(worker):
    worker.call(ExecuteRequest(source="pass"))
    assert worker.look().unfit == ""
    source = "import subprocess; subprocess.Popen(['/bin/sh', '-c', 'sleep 60'], start_new_session=True)"
    worker.call(ExecuteRequest(source=source), 20)
    assert worker.look().unfit == "what an edit started in it still runs"


@pytest.mark.parametrize("level", SHUT_IN, ids=str)
@pytest.mark.parametrize("wanted", BLENDERS)
def test_a_killed_parent_leaves_nothing(wanted, level):
    reachable(level)
    a_blender(wanted)
    command = [sys.executable, str(TRIAL), wanted, str(level), KEY, "wait"]
    parent = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    folder = Path(parent.stdout.readline().strip())
    assert len(processes_of(folder)) == (3 if level == Level.SANDBOXED else 1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    eventually(lambda: not processes_of(folder))
    remove(folder)
    folder.with_suffix(".log").unlink()
