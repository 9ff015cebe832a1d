import contextlib
import os
import threading
import time

import msgpack
import pytest
import zmq

from protocol import errors, wire
from protocol.client import Client
from protocol.models import ExecuteRequest, FingerprintRequest, InspectReply, InspectRequest

EPOCH = "0123abcd"
HELLO = {"protocol": 1, "blender": "4.5.0", "python": "3.11", "pid": 1, "numpy": True, "engines": ["cycles"]}
ASK = InspectRequest(subject="scene")


class Process:
    """Stands for the process behind the socket: ends when told to."""

    def __init__(self):
        self._readable, self._writable = os.pipe()

    def fileno(self):
        return self._readable

    def fault(self, method):
        return errors.ProcessCrashed(method, "ended by SIGSEGV", self.log_tail())

    def log_tail(self):
        return "the last it said"

    def end(self):
        os.write(self._writable, b"!")

    def close(self):
        os.close(self._readable)
        os.close(self._writable)


class Peer:
    """The other end of the wire, on a real socket, sending exactly what a test wants."""

    def __init__(self, context, folder):
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(f"ipc://{folder}/r")

    def take(self):
        assert self.socket.poll(2000)
        return wire.decode(self.socket.recv_multipart())

    def reply(self, id, method="inspect", body=None, epoch=EPOCH, kind=wire.REPLY, **fields):
        body = {"what": {}} if body is None else body
        self.socket.send_multipart(wire.encode(wire.Message(kind, epoch, id, method, body=body, **fields)))

    def hello(self, **fields):
        self.reply(0, "hello", HELLO, **fields)


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def process():
    process = Process()
    yield process
    process.close()


@pytest.fixture
def silent(context, process, tmp_path_factory):
    """A client nobody has said hello to."""
    client = Client(context, tmp_path_factory.mktemp("c"), EPOCH, reply_bytes=1 << 20)
    client.watch(process)
    yield client
    client.close()


@pytest.fixture
def peer(context, silent):
    peer = Peer(context, silent.link.folder)
    yield peer
    peer.socket.close(linger=0)


@pytest.fixture
def client(silent, peer):
    peer.hello()
    silent.wait_hello(2)
    return silent


def test_hello_tells_what_answers(silent, peer):
    peer.hello()
    assert silent.wait_hello(2).engines == ("cycles",)


def test_no_hello_is_a_timeout(silent):
    with pytest.raises(errors.CallTimedOut) as caught:
        silent.wait_hello(0.05)
    assert caught.value.method == "hello"


def test_a_hello_of_another_epoch_is_not_taken_for_ours(silent, peer):
    peer.hello(epoch="other")
    with pytest.raises(errors.CallTimedOut):
        silent.wait_hello(0.2)


def test_a_call_brings_the_typed_reply_and_its_payloads(client, peer):
    pending = client.begin(ASK, 2)
    asked = peer.take()
    assert (asked.kind, asked.epoch, asked.id, asked.method) == (wire.REQUEST, EPOCH, 1, "inspect")
    assert asked.body == {"subject": "scene", "name": "", "short": False} and asked.deadline_s == 2
    peer.reply(1, body={"what": {"objects": 3}}, payloads=(b"one", b"two"))
    assert client.finish(pending) == (InspectReply(what={"objects": 3}), [b"one", b"two"])


def test_call_times_out_when_nothing_answers(client):
    with pytest.raises(errors.CallTimedOut) as caught:
        client.call(ASK, 0.1)
    assert caught.value.method == "inspect" and caught.value.log_tail == "the last it said"
    assert "did not respond at all" in caught.value.message


def test_a_timeout_says_whether_the_process_still_echoes(client, context):
    echo = context.socket(zmq.DEALER)
    echo.connect(f"ipc://{client.link.folder}/e")
    threading.Thread(target=_proxy, args=(echo,), daemon=True).start()
    assert client.link.responds(2)
    with pytest.raises(errors.CallTimedOut, match="alive and busy"):
        client.call(ASK, 0.1)


def _proxy(socket):
    try:
        zmq.proxy(socket, socket)
    except zmq.ZMQError:  # the context is gone
        socket.close(linger=0)


def test_a_request_is_sent_once_whatever_happens(client, peer):
    with pytest.raises(errors.CallTimedOut):
        client.call(ExecuteRequest(source="1"), 0.1)
    peer.take()
    assert not peer.socket.poll(300)


def test_late_foreign_and_duplicate_replies_are_dropped_and_counted(client, peer):
    with pytest.raises(errors.CallTimedOut):
        client.call(ASK, 0.05)
    pending = client.begin(ASK, 2)
    peer.reply(1)  # late
    peer.reply(2, epoch="other")
    peer.reply(3)  # never asked
    peer.reply(2, kind=wire.REQUEST)
    peer.reply(2, body={"what": {"this": 1}})
    peer.reply(2, body={"what": {"again": 1}})
    assert client.finish(pending)[0].what == {"this": 1}
    pending = client.begin(ASK, 2)
    peer.reply(3)
    client.finish(pending)
    assert client.link.dropped == {"late": 2, "foreign": 3}


def test_a_second_connection_is_nobody(client, peer, context):
    stranger = Peer(context, client.link.folder)
    stranger.hello()
    stranger.reply(1, body={"what": {"forged": 1}})
    with pytest.raises(errors.CallTimedOut):
        client.call(ASK, 0.5)
    assert client.link.dropped == {"stranger": 2}
    pending = client.begin(ASK, 2)
    peer.reply(2)
    assert client.finish(pending)[0].what == {}
    stranger.socket.close(linger=0)


def test_the_end_of_the_process_ends_the_wait_at_once(client, process):
    began = time.monotonic()
    threading.Timer(0.1, process.end).start()
    with pytest.raises(errors.ProcessCrashed) as caught:
        client.call(ASK, 30)
    assert time.monotonic() - began < 2
    assert caught.value.method == "inspect" and caught.value.log_tail == "the last it said"


def test_a_reply_that_came_before_the_end_is_still_read(client, peer, process):
    pending = client.begin(ASK, 2)
    peer.take()
    peer.reply(1)
    time.sleep(0.1)
    process.end()
    assert client.finish(pending)[0].what == {}


def test_a_closed_connection_of_a_living_process_breaks_the_protocol(client, peer):
    threading.Timer(0.1, peer.socket.close).start()
    with pytest.raises(errors.ProtocolViolated, match="closed the connection"):
        client.call(ASK, 30)


def test_an_oversized_reply_breaks_the_protocol(client, peer):
    pending = client.begin(ASK, 30)
    peer.socket.send_multipart([b"x", b"y" * (2 << 20)])
    with pytest.raises(errors.ProtocolViolated):
        client.finish(pending)


def test_many_frames_that_are_too_large_together_break_the_protocol(client, peer):
    pending = client.begin(ASK, 30)
    peer.socket.send_multipart([b"x" * 300_000] * 5)
    with pytest.raises(errors.ProtocolViolated):
        client.finish(pending)


@pytest.mark.parametrize(
    "frames",
    [
        [b"garbage"],
        [b"", b""],
        [msgpack.packb({"v": 1}), msgpack.packb({})],
        [b"x" * 70_000, msgpack.packb({})],
    ],
    ids=["one frame", "empty frames", "no header", "long header"],
)
def test_frames_that_are_no_message_break_the_protocol(client, peer, frames):
    pending = client.begin(ASK, 5)
    peer.socket.send_multipart(frames)
    with pytest.raises(errors.ProtocolViolated):
        client.finish(pending)


@pytest.mark.parametrize(
    "body", [{}, {"what": 1}, {"what": {}, "more": 1}, {"what": None}], ids=["missing", "type", "extra", "null"]
)
def test_a_reply_with_wrong_fields_breaks_the_protocol(client, peer, body):
    pending = client.begin(ASK, 5)
    peer.reply(1, body=body)
    with pytest.raises(errors.ProtocolViolated, match="invalid reply"):
        client.finish(pending)


def test_an_answer_to_another_method_breaks_the_protocol(client, peer):
    pending = client.begin(FingerprintRequest(), 5)
    peer.reply(1, "inspect")
    with pytest.raises(errors.ProtocolViolated):
        client.finish(pending)


def test_an_unknown_status_breaks_the_protocol(client, peer):
    pending = client.begin(ASK, 5)
    peer.reply(1, status="splendid")
    with pytest.raises(errors.ProtocolViolated):
        client.finish(pending)


def test_a_flood_of_stray_messages_breaks_the_protocol(client, peer):
    pending = client.begin(ASK, 30)

    def flood():
        with contextlib.suppress(zmq.Again):  # nobody reads on after the first thousand
            for _ in range(5000):
                peer.reply(99)

    peer.socket.setsockopt(zmq.SNDTIMEO, 500)
    thread = threading.Thread(target=flood)
    thread.start()
    with pytest.raises(errors.ProtocolViolated, match="answer nothing"):
        client.finish(pending)
    thread.join()


def test_a_script_error_carries_its_traceback(client, peer):
    pending = client.begin(ExecuteRequest(source="1/0"), 5)
    data = {"traceback": "ZeroDivisionError", "stdout": "before"}
    peer.reply(1, "execute", data, status=errors.SCRIPT_ERROR, message="division by zero")
    with pytest.raises(errors.ScriptFailed) as caught:
        client.finish(pending)
    assert (caught.value.traceback_text, caught.value.stdout) == ("ZeroDivisionError", "before")


def test_a_refusal_carries_its_code(client, peer):
    pending = client.begin(ASK, 5)
    peer.reply(1, body={"near": ["Cup"]}, status=errors.NOT_FOUND, message="no object Cop")
    with pytest.raises(errors.RequestFailed) as caught:
        client.finish(pending)
    assert (caught.value.code, caught.value.message, caught.value.data) == (
        "not_found",
        "no object Cop",
        {"near": ["Cup"]},
    )


def test_a_path_too_long_for_a_socket_is_said_so(context, tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(errors.SetupFailed, match="cannot listen"):
        Client(context, folder, EPOCH, 1000)
