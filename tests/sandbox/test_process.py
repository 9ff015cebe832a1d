"""One process in a box: what it sees, what it may use, how it is ended, and that nothing of it stays."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
import zmq
from box_helpers import eventually, processes_of
from fake_blender import fake
from needs import lacking

from protocol.errors import CallTimedOut, ProcessCrashed, ProcessExited, SetupFailed
from protocol.models import ExecuteRequest, InspectRequest
from sandbox.limits import MIB, Limits
from sandbox.nanny.process import command
from sandbox.scratch import remove_abandoned
from sandbox.worker import Worker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def start(tmp_path, tmp_path_factory, limits, context):
    """Boots workers on fakes with the given options."""
    workers = []

    def boot(limits=limits, **options):
        folders = tmp_path_factory.mktemp("n"), tmp_path_factory.mktemp("w")
        worker = Worker(fake(tmp_path, **options), limits, folders, tmp_path / "log", context)
        worker.folder = folders[1]
        workers.append((worker, folders))
        return worker

    yield boot
    for worker, folders in workers:
        worker.close()
        assert not any(map(Path.exists, folders)) and not processes_of(folders[1])


def run(worker, source, timeout_s=10):
    """What the code assigns to `answer`, brought back through its output."""
    worker.call(ExecuteRequest(source=f"{source}\nscene['objects'] = {{str(answer): 'MESH'}}"), timeout_s)
    (answer,) = worker.call(InspectRequest(subject="scene"))[0].what["objects"]
    return answer


def test_the_environment_holds_nothing_of_ours_but_a_short_list(start, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    worker = start()
    seen = run(worker, "import os; answer = sorted(os.environ)")
    assert "secret" not in seen and "KEY" not in seen
    assert set(eval(seen)) <= {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "SEIG_EPOCH", "TZ", "LD_LIBRARY_PATH"}
    assert run(worker, "import os; answer = os.environ['HOME'] == os.environ['TMPDIR'] == os.getcwd()") == "True"


def test_it_leads_a_session_of_its_own_without_a_terminal_or_input(start):
    worker = start()
    assert run(worker, "import os; answer = os.getsid(0) == os.getpid()") == "True"
    assert run(worker, "import os; answer = os.read(0, 1)") == "b''"


def test_it_inherits_no_descriptor(start):
    secret = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(secret, True)
    worker = start()
    links = "(f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd'))"
    open_files = run(worker, f"import os; answer = [os.readlink(n) for n in {links} if os.path.lexists(n)]")
    os.close(secret)
    assert "hostname" not in open_files


def test_the_limits_are_in_force(start, limits):
    worker = start()
    names = [f"RLIMIT_{name}" for name in ("CORE", "DATA", "FSIZE", "NOFILE")]
    source = f"import resource; answer = [resource.getrlimit(getattr(resource, name)) for name in {names}]"
    wanted = [(n, n) for n in (0, limits.data_bytes, limits.file_bytes, limits.open_files)]
    assert run(worker, source) == str(wanted)


def test_a_limit_that_is_lower_already_stays(limits):
    source = f"""
        import resource, subprocess, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        ask = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
        settings = '{{"parent": %d, "limits": {{"RLIMIT_NOFILE": 500}}}}' % __import__("os").getpid()
        launcher = [sys.executable, "-I", "-S", {str(ROOT / "sandbox" / "launch.py")!r}, settings]
        subprocess.run([*launcher, sys.executable, "-c", ask])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True)
    assert done.stdout == "(100, 100)\n", done.stderr


def test_its_output_is_drained_kept_at_the_end_and_capped_in_the_log(start, tmp_path):
    worker = start(Limits(output_bytes=MIB))
    for _ in range(4):
        run(worker, "print('x' * 400_000); print('\\x1b[31mthe end'); answer = 1")
    log = tmp_path / "log"
    eventually(lambda: log.read_bytes().endswith(b"[log full: what follows is not kept]\n"))
    assert log.stat().st_size < MIB + 100_000
    with pytest.raises(ProcessExited) as caught:
        worker.call(ExecuteRequest(source="print('\\x1b[31mthe end', flush=True); import os; os._exit(0)"))
    assert "the end" in caught.value.log_tail and "\x1b" not in caught.value.log_tail


def test_a_boot_that_hangs_ends_at_its_deadline(start):
    with pytest.raises(SetupFailed, match=r"no reply within 0\.5 s"):
        start(Limits(boot_s=0.5), at_boot="import time; time.sleep(60)")


@pytest.mark.parametrize(
    ("at_boot", "said"),
    [
        ("import os; os._exit(0)", "ended by itself with exit code 0"),
        ("raise RuntimeError('no such engine')", "exit code 1"),
        ("import os; os.abort()", "ended by SIGABRT"),
    ],
)
def test_a_boot_that_fails_says_how(start, at_boot, said):
    with pytest.raises(SetupFailed, match=said) as caught:
        start(at_boot=at_boot)
    assert caught.value.remedy
    assert "no such engine" in caught.value.log_tail or "RuntimeError" not in at_boot


def test_a_blender_that_is_not_there_is_named(start, tmp_path, limits, context, tmp_path_factory):
    gone = fake(tmp_path).model_copy(update={"executable": tmp_path / "nowhere"})
    with pytest.raises(SetupFailed) as caught:
        folders = tmp_path_factory.mktemp("n"), tmp_path_factory.mktemp("w")
        Worker(gone, limits, folders, tmp_path / "log", context)
    assert "nowhere cannot be started: No such file" in caught.value.log_tail


def test_a_server_of_another_protocol_is_refused(start):
    with pytest.raises(SetupFailed, match="protocol 2"):
        start(protocol=2)


def test_a_deadline_kills_at_once(start):
    worker = start()
    with pytest.raises(CallTimedOut):
        worker.call(ExecuteRequest(source="import time; time.sleep(60)"), 0.1)
    assert worker.ended
    eventually(lambda: not psutil.pid_exists(worker.hello.pid), 2)


def test_an_exit_is_told_with_what_was_printed_in_that_call(start):
    worker = start()
    run(worker, "print('long ago'); answer = 1")
    with pytest.raises(ProcessExited) as caught:
        worker.call(ExecuteRequest(source="print('goodbye', flush=True); import os; os._exit(3)"))
    assert "exit code 3" in caught.value.message and "goodbye" in caught.value.log_tail
    assert "long ago" not in caught.value.log_tail


def test_a_signal_is_told_by_its_name(start):
    worker = start()
    with pytest.raises(ProcessCrashed, match="SIGSEGV"):
        worker.call(ExecuteRequest(source="import ctypes; ctypes.string_at(0)"))


FLIGHTS = {
    "a child": "subprocess.Popen(['/bin/sleep', '600'])",
    "a child in a session of its own": "subprocess.Popen(['/bin/sleep', '600'], start_new_session=True)",
    "an orphan": "subprocess.run(['/bin/sh', '-c', '(/bin/sleep 600) > /dev/null 2>&1 &'])",
    "a daemon": "if not os.fork():\n  os.setsid()\n  if os.fork(): os._exit(0)\n  while True: time.sleep(1)",
    "a child that forgot its mark": (
        "subprocess.Popen(['/bin/sleep', '600'], start_new_session=True, env={'HOME': os.getcwd()})"
    ),
    "children that beget children": (
        "if not os.fork():\n  deadline = time.time() + 30\n  while time.time() < deadline:\n"
        "    if os.fork(): os._exit(0)\n    time.sleep(0.002)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLIGHTS)
def test_whatever_it_started_ends_with_it(start, name):
    worker = start()
    run(worker, f"import os, subprocess, time\n{FLIGHTS[name]}\nanswer = 1")
    eventually(lambda: len(processes_of(worker.folder)) >= 2)
    worker.close()
    assert not processes_of(worker.folder)


def test_what_was_put_into_its_folder_goes_with_it(start, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    worker = start()
    run(worker, f"import os; os.makedirs('a/b'); os.symlink({str(precious)!r}, 'a/link'); os.symlink('/', 'a/root'); "
                "os.mkfifo('a/b/pipe'); os.chmod('a/b', 0); os.chmod('a', 0); answer = 1")  # fmt: skip
    worker.close()
    assert precious.read_text() == "mine" and os.path.exists("/etc")


def test_descriptors_and_threads_do_not_grow_with_workers(start):
    start().close()
    us = psutil.Process()
    files, threads = us.num_fds(), us.num_threads()
    for _ in range(5):
        start().close()
    eventually(lambda: us.num_fds() <= files and us.num_threads() <= threads)


def test_a_killed_orchestrator_leaves_no_blender(tmp_path):
    assert_dies_with_its_orchestrator(tmp_path, "fake_blender.fake(here)")


@pytest.mark.blender
@pytest.mark.parametrize("wanted", ["wheel", "/usr/bin/blender"])
def test_a_killed_orchestrator_leaves_no_real_blender(tmp_path, wanted):
    if wanted != "wheel" and not Path(wanted).exists():
        lacking(f"no {wanted} here")
    assert_dies_with_its_orchestrator(tmp_path, f"find_blender({wanted!r})")


def assert_dies_with_its_orchestrator(tmp_path, blender):
    program = tmp_path / "orchestrator.py"
    program.write_text(
        textwrap.dedent(f"""\
        import sys, time
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "fakes")!r}]
        from pathlib import Path
        import fake_blender
        from sandbox.discovery import find_blender
        from sandbox.limits import Limits
        from sandbox.pool import Pool
        from sandbox.snapshots import SnapshotStore
        here = Path({str(tmp_path)!r})
        with Pool({blender}, Limits(), SnapshotStore(here / "s"), here / "logs") as pool, pool.session():
            pool._standby.result()
            print(pool.folder, flush=True)
            time.sleep(60)
        """)
    )
    orchestrator = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    folder = Path(orchestrator.stdout.readline().strip())
    assert len(processes_of(folder)) == 4
    orchestrator.send_signal(signal.SIGKILL)
    orchestrator.wait()
    eventually(lambda: not processes_of(folder))
    remove_abandoned(folder.parent)
    assert not folder.exists()


def test_the_command_line_suits_each_kind(tmp_path, limits):
    binary = fake(tmp_path)
    wheel = binary.model_copy(update={"kind": "wheel"})
    program, threads = str(binary.executable), limits.model_copy(update={"threads": 2})
    started = command(binary, threads, Path("/w"), "e")
    started = started[started.index(program) + 1 :]
    assert started[:7] == ["-b", "--factory-startup", "-t", "2", "--python-exit-code", "1", "--python"]
    own = ["--", "--folder", "/w", "--epoch", "e", "--vendor", str(binary.vendor)]
    assert started[8:] == [*own, "--engines", "cycles"]
    for gpu, named in ((True, "any"), ("CUDA", "CUDA")):
        assert command(binary, threads, Path("/w"), "e", gpu=gpu)[-2:] == ["--gpu", named]
    facts = binary.facts.model_copy(update={"flags": ("--offline-mode", "-noaudio")})
    started = command(binary.model_copy(update={"facts": facts}), threads, Path("/w"), "e")
    assert {"--offline-mode", "-noaudio"} <= set(started[: started.index("--python")])
    started = command(wheel, threads, Path("/w"), "e")
    started = started[started.index(program) + 1 :]
    assert started[0] == "-I" and started[1].endswith("bootstrap.py") and started[2] == "--"
