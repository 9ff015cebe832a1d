"""Owns the orchestrator's end of the wire: one ROUTER socket, one Blender behind it, one request in flight.

Matches replies by epoch and id, drops and counts what matches nothing, validates what does, and stops waiting the
moment the process is known to have ended. Never sends a request twice. Who starts and replaces processes: `sandbox`.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zmq
from pydantic import ValidationError

from protocol import errors, wire
from protocol.models import HelloReply, HelloRequest, Reply, Request

Answer = tuple[Reply, list[bytes]]

DROPPED_AT_MOST = 1000
"""Within one call; a Blender that sends more stray messages is flooding."""
DEATH_PATIENCE_S = 2.0
"""How long a lost connection may precede the news of the process's end."""
_CODES = {
    errors.SCRIPT_ERROR, errors.BAD_REQUEST, errors.UNKNOWN_METHOD, errors.NOT_FOUND, errors.UNSUPPORTED,
    errors.REFUSED, errors.DUPLICATE, errors.INTERNAL,
}  # fmt: skip


class Watched(Protocol):
    """What a client must know of the process it talks to."""

    def fileno(self) -> int:
        """Readable once the process has ended or was condemned."""
        ...

    def fault(self, method: str) -> errors.ProcessFault:
        """Why it ended; `method` is what it was asked at the time."""
        ...

    def log_tail(self) -> str: ...


@dataclass(frozen=True)
class Pending:
    """A request that was sent and not yet answered."""

    request: Request
    id: int
    timeout_s: float
    deadline: float
    """On the monotonic clock."""


class Client:
    """Binds `r` (requests) and `e` (liveness echo) in a folder that only this user can enter."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path, epoch: str, reply_bytes: int) -> None:
        self.dropped: Counter[str] = Counter()
        """Messages that answered nothing: "late", "foreign" (another epoch, an id never asked), "stranger"."""
        self.folder = folder
        self._epoch, self._reply_bytes = epoch, reply_bytes
        self._peer, self._last_id = b"", 0
        self._watched: Watched | None = None
        self._using, self._closed = threading.RLock(), False  # sockets bear one thread at a time
        self._poller = zmq.Poller()
        self._socket = _bound(context, zmq.ROUTER, folder / "r", reply_bytes)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._echo = _bound(context, zmq.DEALER, folder / "e", 1024)
        for socket in (self._socket, self._monitor):
            self._poller.register(socket, zmq.POLLIN)

    def watch(self, watched: Watched) -> None:
        """From now on the end of this process ends every wait."""
        self._watched = watched
        self._poller.register(watched.fileno(), zmq.POLLIN)

    def close(self) -> None:
        """Waits for a call in another thread, which the end of the process ends at once."""
        with self._using:
            self._closed = True
            self._socket.disable_monitor()
            for socket in (self._monitor, self._socket, self._echo):
                socket.close(linger=0)

    def wait_hello(self, timeout_s: float) -> HelloReply:
        """The unasked first message; whoever sends it is the peer from then on."""
        pending = Pending(HelloRequest(), wire.HELLO_ID, timeout_s, time.monotonic() + timeout_s)
        reply, _ = self.finish(pending)
        assert isinstance(reply, HelloReply)
        return reply

    def call(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Ask and wait. Raises RequestFailed when the answer is no, a ProcessFault when none can come any more."""
        return self.finish(self.begin(request, timeout_s))

    def begin(self, request: Request, timeout_s: float | None = None) -> Pending:
        """Send a request; its time runs from here."""
        with self._using:
            self._check_open(request.method)
            return self._send(request, timeout_s)

    def finish(self, pending: Pending) -> Answer:
        """Wait for the answer to what `begin` sent."""
        with self._using:
            self._check_open(pending.request.method)
            return self._await(pending)

    def responds(self, timeout_s: float = 0.25) -> bool:
        """Whether the process still echoes: tells "alive and busy" from "stopped or dead", never progress."""
        token = str(time.monotonic_ns()).encode()
        deadline = time.monotonic() + timeout_s
        with self._using, contextlib.suppress(zmq.ZMQError):  # nobody connected
            self._echo.poll(math.ceil(timeout_s * 1000), zmq.POLLOUT)
            self._echo.send(token, zmq.NOBLOCK)
            while (left_s := deadline - time.monotonic()) > 0:
                if self._echo.poll(math.ceil(left_s * 1000)) and self._echo.recv_multipart()[-1] == token:
                    return True
        return False

    def _send(self, request: Request, timeout_s: float | None) -> Pending:
        timeout_s = type(request).timeout_s if timeout_s is None else timeout_s
        self._last_id += 1
        pending = Pending(request, self._last_id, timeout_s, time.monotonic() + timeout_s)
        body = request.model_dump(mode="python")
        message = wire.Message(wire.REQUEST, self._epoch, pending.id, request.method, deadline_s=timeout_s, body=body)
        try:
            self._socket.send_multipart([self._peer, *wire.encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:  # nobody there to take it
            self._await_end(request.method, "the connection is gone")
        except wire.WireError as error:
            raise errors.RequestFailed(request.method, errors.BAD_REQUEST, str(error)) from error
        return pending

    def _await(self, pending: Pending) -> Answer:
        method, before = pending.request.method, self.dropped.total()
        while (left_s := pending.deadline - time.monotonic()) > 0:
            ready = dict(self._poller.poll(math.ceil(left_s * 1000)))
            if self._socket in ready:
                message = self._receive(method)
                if message and self._answers(message, pending):
                    return _read(pending.request, message)
                if self.dropped.total() - before > DROPPED_AT_MOST:
                    raise self._violation(method, f"more than {DROPPED_AT_MOST} messages that answer nothing")
            elif ready:
                self._await_end(method, "it closed the connection, or sent more than may be sent")
        raise self._timed_out(pending)

    def _receive(self, method: str) -> wire.Message | None:
        peer, *frames = self._socket.recv_multipart()
        try:
            message = wire.decode(frames, self._reply_bytes)
        except wire.WireError as error:
            raise self._violation(method, str(error)) from error
        if not self._peer and message.id == wire.HELLO_ID and message.epoch == self._epoch:
            self._peer = peer
        if peer != self._peer:
            self.dropped["stranger"] += 1
            return None
        return message

    def _answers(self, message: wire.Message, pending: Pending) -> bool:
        if message.epoch != self._epoch or message.kind != wire.REPLY or message.id > pending.id:
            self.dropped["foreign"] += 1
            return False
        if message.id < pending.id:
            self.dropped["late"] += 1
            return False
        if message.method != pending.request.method:
            raise self._violation(pending.request.method, f"answered {message.method[:40]!r}")
        return True

    def _check_open(self, method: str) -> None:
        if self._closed:
            assert self._watched is not None
            raise self._watched.fault(method)

    def _await_end(self, method: str, otherwise: str) -> None:
        """Raise why the process ended; if it does not end, it broke the protocol."""
        watched = self._watched
        assert watched is not None
        poller = zmq.Poller()
        poller.register(watched.fileno(), zmq.POLLIN)
        if poller.poll(int(DEATH_PATIENCE_S * 1000)):
            raise watched.fault(method)
        raise self._violation(method, otherwise)

    def _timed_out(self, pending: Pending) -> errors.CallTimedOut:
        state = "the process was alive and busy" if self.responds() else "the process did not respond at all"
        message = f"no reply within {pending.timeout_s:g} s ({state})"
        return errors.CallTimedOut(pending.request.method, message, self._log_tail())

    def _violation(self, method: str, message: str) -> errors.ProtocolViolated:
        return errors.ProtocolViolated(method, message, self._log_tail())

    def _log_tail(self) -> str:
        return self._watched.log_tail() if self._watched else ""


def _read(request: Request, message: wire.Message) -> Answer:
    if message.status == errors.SCRIPT_ERROR:
        raise errors.ScriptFailed(request.method, message.message, message.body)
    if message.status in _CODES:
        raise errors.RequestFailed(request.method, message.status, message.message, message.body)
    if message.status != wire.OK:
        raise errors.ProtocolViolated(request.method, f"unknown status {message.status[:40]!r}")
    try:
        return type(request).reply.model_validate(message.body), list(message.payloads)
    except ValidationError as error:
        raise errors.ProtocolViolated(request.method, f"invalid reply: {str(error)[:1000]}") from error


def _bound(context: zmq.Context[zmq.Socket[bytes]], kind: int, path: Path, frame_bytes: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes)
    socket.setsockopt(zmq.RCVHWM, 16)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    try:
        socket.bind(f"ipc://{path}")
    except zmq.ZMQError as error:
        socket.close()
        raise errors.SetupFailed(
            f"cannot listen at {path}: {error}", "Set TMPDIR to a short, writable path."
        ) from error
    return socket
