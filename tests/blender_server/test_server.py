"""The server keeps the wire's promises: one request at a time, at most once, an error code for everything."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import zmq

from protocol import errors, wire
from protocol.models import ExecuteRequest, HelloRequest, RestoreRequest, ShutdownRequest, SnapshotRequest
from tests.blender_server.scenes import SMALL
from tests.blender_server.servers import command, options

pytestmark = pytest.mark.blender


def eventually(condition, patience_s=10.0):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Raw:
    """The orchestrator's end of the wire without a client's care."""

    def __init__(self, blender, folder, epoch="raw"):
        self.folder, self.epoch, self._context = folder, epoch, zmq.Context()
        self.socket, self.echo = self._context.socket(zmq.ROUTER), self._context.socket(zmq.DEALER)
        self.socket.bind(f"ipc://{folder}/r")
        self.echo.bind(f"ipc://{folder}/e")
        started = [*command(blender), "--", *options(blender, folder, epoch)]
        self.process = subprocess.Popen(started, stdout=subprocess.DEVNULL, start_new_session=True)
        self.peer, self.hello = self.receive()

    def receive(self, timeout_s=30):
        assert self.socket.poll(int(timeout_s * 1000)), "no message"
        peer, *frames = self.socket.recv_multipart()
        return peer, wire.decode(frames)

    def send(self, id, method, epoch=None, deadline_s=5.0, **body):
        message = wire.Message(wire.REQUEST, epoch or self.epoch, id, method, deadline_s=deadline_s, body=body)
        self.socket.send_multipart([self.peer, *wire.encode(message)])

    def ask(self, id, method, **fields):
        self.send(id, method, **fields)
        return self.receive()[1]

    def close(self):
        with contextlib.suppress(ProcessLookupError):  # waited for already, and nothing was forked of it
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._context.destroy(linger=0)


@pytest.fixture
def raw(kind, tmp_path_factory):
    raw = Raw(kind, tmp_path_factory.mktemp("w"))
    yield raw
    raw.close()


@pytest.mark.matrix("boots")
def test_hello_comes_unasked_and_says_what_this_is(raw, kind):
    assert (raw.hello.id, raw.hello.kind, raw.hello.status) == (wire.HELLO_ID, wire.REPLY, wire.OK)
    assert raw.hello.body["blender"] == kind.version
    assert raw.hello.body["pid"] == raw.process.pid
    assert "cycles" in raw.hello.body["engines"]


@pytest.mark.matrix("boots")
def test_a_repeated_id_gets_the_kept_answer_and_is_not_run_again(raw):
    source = "import os\nopen('count', 'a').write('x')"
    first = raw.ask(1, "execute", source=source)
    assert raw.ask(1, "execute", source=source) == first
    assert (raw.folder / "count").read_text() == "x"


def test_a_lower_id_is_a_duplicate_and_is_not_run(raw):
    raw.ask(2, "hello")
    reply = raw.ask(1, "execute", source="open('count', 'a').write('x')")
    assert reply.status == errors.DUPLICATE
    assert not (raw.folder / "count").exists()


def test_another_epoch_is_dropped(raw):
    raw.send(1, "execute", epoch="other", source="open('count', 'a').write('x')")
    assert raw.ask(2, "hello").id == 2
    assert not (raw.folder / "count").exists()


def test_garbage_is_dropped(raw):
    for frames in ([b"x"], [b"\xc1", b"\xc1"], [b"", b""], [b"\x80", b"\x80"]):
        raw.socket.send_multipart([raw.peer, *frames])
    assert raw.ask(1, "hello").status == wire.OK


def test_unknown_methods_and_fields_are_refused(raw):
    assert raw.ask(1, "explode").status == errors.UNKNOWN_METHOD
    assert raw.ask(2, "snapshot", path="x").status == errors.BAD_REQUEST
    assert raw.ask(3, "snapshot", file="../x.blend").status == errors.BAD_REQUEST
    assert raw.ask(4, "inspect", subject="object", name="Nobody").status == errors.NOT_FOUND


def test_a_defect_becomes_an_error_without_a_traceback(raw):
    reply = raw.ask(1, "render", width_px="wide")
    assert reply.status == errors.INTERNAL
    assert "Traceback" not in reply.message and "File" not in reply.message
    assert raw.ask(2, "hello").status == wire.OK


def test_the_echo_answers_while_the_main_thread_is_deep_in_c(raw):
    raw.send(1, "execute", deadline_s=60.0, source="x = 3 ** 3_000_000; y = x * x * x")  # holds the GIL throughout
    worst, replied = 0.0, False
    while not replied:
        started = time.monotonic()
        raw.echo.send(b"beat")
        assert raw.echo.poll(2000), "the echo fell silent"
        assert raw.echo.recv() == b"beat"
        worst = max(worst, time.monotonic() - started)
        replied = bool(raw.socket.poll(20))
    assert worst < 1.0


def test_shortly_before_the_deadline_it_writes_down_where_it_is(raw):
    raw.send(1, "execute", deadline_s=0.5, source="import time\nfor _ in range(100):\n    time.sleep(0.02)")
    eventually(lambda: 'File "edit", line 3' in (raw.folder / "faults.log").read_text())


@pytest.mark.matrix("boots")
def test_it_ends_when_told_to(raw):
    assert raw.ask(1, "shutdown").status == wire.OK
    assert raw.process.wait(10) == 0


@pytest.mark.matrix("boots")
def test_it_dies_with_its_parent(kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("w")
    line = [*command(kind), "--", *options(kind, folder, "x")]
    start = f"import subprocess, time\nchild = subprocess.Popen({line!r}, stdout=subprocess.DEVNULL)\n"
    code = start + "print(child.pid, flush=True)\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    eventually(lambda: (folder / "faults.log").exists(), 30)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    eventually(lambda: not os.path.exists(f"/proc/{child}") or _is_zombie(child))


def _is_zombie(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"


# ── execute ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def failure(server, source):
    with pytest.raises(errors.ScriptFailed) as caught:
        server.call(ExecuteRequest(source=source))
    return caught.value


def test_an_error_names_the_line_of_the_code_and_nothing_of_ours(server):
    error = failure(server, "print('so far')\ndef fill():\n    return bpy.data.objects['Cup']\nfill()")
    assert "(line 3: `return bpy.data.objects['Cup']`)" in error.message
    assert "KeyError" in error.traceback_text and error.traceback_text.count('File "edit"') == 2
    assert "blender_server" not in error.traceback_text
    assert (error.data["line"], error.stdout) == (3, "so far\n")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys\nsys.exit()", "SystemExit (line 2: `sys.exit()`)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("x = (", "SyntaxError"),
        ("x = 1\n  y = 2", "IndentationError"),
        ("bpy.ops.object.mode_set(mode='EDIT')", "mode_set"),
        ("raise ValueError('x' * 100_000)", "ValueError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("'\\ud800'.encode()", "UnicodeEncodeError"),
        ("raise Exception('\\ud800')", "Exception"),
    ],
)
def test_whatever_the_code_raises_is_its_own_and_told(server, source, said):
    error = failure(server, source)
    assert said in error.message
    assert len(error.message) < 9000 and len(error.traceback_text) < 9000
    assert server.call(HelloRequest()).blender == server.hello.blender


def test_only_the_end_of_a_long_output_is_kept(server):
    reply = server.call(
        ExecuteRequest(source="for n in range(100_000): print(n)\nimport sys\nprint('!', file=sys.stderr)")
    )
    assert len(reply.stdout) == 16 * 1024 and reply.stdout.endswith("99999\n!\n")


def test_each_edit_has_a_namespace_and_random_numbers_of_its_own(server):
    draw = "import random\nprint(random.random(), 'left' in globals(), __name__)\nleft = 1"
    first, again, other = (server.call(ExecuteRequest(source=draw, seed=seed)).stdout for seed in (1, 1, 2))
    assert first == again != other
    assert first.endswith("False __main__\n")


# ── snapshot and restore ──────────────────────────────────────────────────────────────────────────────────────────────
def test_a_restored_snapshot_is_the_scene_that_was_saved(server):
    server.edit(SMALL)
    before = server.fingerprint()
    server.call(SnapshotRequest(file="kept.blend"))
    server.edit("bpy.data.objects.remove(bpy.data.objects['Cup'])")
    assert server.call(RestoreRequest(file="kept.blend")).objects == 5
    assert server.fingerprint() == before
    assert server.call(RestoreRequest()).objects == 0


def refusal(server, request):
    with pytest.raises(errors.RequestFailed) as caught:
        server.call(request)
    return caught.value


def test_a_scene_that_needs_other_files_is_refused(server, tmp_path):
    far = str(tmp_path / "none.png")
    source = f"""
image = bpy.data.images.new("Far", 4, 4)
image.filepath, image.source, image.use_fake_user = {far!r}, "FILE", True
"""
    server.call(ExecuteRequest(source=source))
    error = refusal(server, SnapshotRequest(file="x.blend"))
    assert error.code == errors.REFUSED and '"Far"' in error.message


def test_a_linked_library_is_refused(server):
    server.edit(SMALL)
    source = """
import os
with bpy.data.libraries.load(os.path.abspath("edit.blend"), link=True) as (there, here):
    here.objects = ["Cup"]
bpy.context.scene.collection.objects.link(here.objects[0])
"""
    server.fresh()
    server.call(ExecuteRequest(source=source))
    error = refusal(server, SnapshotRequest(file="x.blend"))
    assert error.code == errors.REFUSED and "library" in error.message


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"", errors.UNSUPPORTED),
        (b"no blend file at all", errors.UNSUPPORTED),
        (b"BLENDER-v999RENDH", errors.UNSUPPORTED),
        (b"BLENDER17-01v0900" + b"x" * 100, errors.UNSUPPORTED),
        (b"BLENDER-v304REND" + b"x" * 100, errors.REFUSED),
    ],
)
def test_what_cannot_be_opened_is_refused_and_the_scene_stays(server, start, code):
    server.edit(SMALL)
    (server.folder / "bad.blend").write_bytes(start)
    assert refusal(server, RestoreRequest(file="bad.blend")).code == code
    assert server.evaluate("len(bpy.data.objects)") == "5"


def test_a_truncated_file_is_refused(server):
    server.edit(SMALL)
    whole = (server.folder / "edit.blend").read_bytes()
    (server.folder / "half.blend").write_bytes(whole[: len(whole) // 2])
    assert refusal(server, RestoreRequest(file="half.blend")).code == errors.REFUSED
    assert refusal(server, RestoreRequest(file="none.blend")).code == errors.NOT_FOUND
    assert server.call(HelloRequest()).blender == server.hello.blender


@pytest.mark.matrix("boots")
def test_shutdown_is_answered(another):
    another.call(ShutdownRequest())
    assert another.process.popen.wait(10) == 0


def test_a_fork_of_the_server_does_not_speak(raw):
    assert raw.ask(1, "execute", source="import os\nprint(os.fork() == 0)").body["stdout"].endswith("False\n")
    assert raw.ask(2, "hello").status == wire.OK
    assert not raw.socket.poll(300)


def test_code_that_reads_factory_settings_or_files_leaves_a_server_behind(server):
    server.edit(SMALL)
    server.call(ExecuteRequest(source="bpy.ops.wm.read_factory_settings(use_empty=True)"))
    assert server.evaluate("len(bpy.data.objects)") == "0"
    server.call(ExecuteRequest(source='import os\nbpy.ops.wm.open_mainfile(filepath=os.path.abspath("edit.blend"))'))
    assert server.evaluate("len(bpy.data.objects)") == "5"
