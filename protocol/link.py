"""Owns one end of the wire: a ROUTER socket, one server behind it, one request in flight.

Matches replies by epoch and id, drops and counts what matches nothing, and stops waiting the moment the process behind
it is known to have ended. Never sends a request twice. What requests and replies mean: `client.py`.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import zmq

from protocol import errors, wire

Context = zmq.Context[zmq.Socket[bytes]]

DROPPED_AT_MOST = 1000
"""Within one call; a server that sends more stray messages is flooding."""
DEATH_PATIENCE_S = 2.0
"""How long a lost connection may precede the news of the process's end."""
ANSWERS = frozenset(
    {
        wire.OK, errors.SCRIPT_ERROR, errors.BAD_REQUEST, errors.UNKNOWN_METHOD, errors.NOT_FOUND, errors.UNSUPPORTED,
        errors.REFUSED, errors.DUPLICATE, errors.INTERNAL,
    }
)  # fmt: skip
"""The statuses with which a Blender may answer."""


class Watched(Protocol):
    """What a link must know of the process it talks to."""

    def fileno(self) -> int:
        """Readable once the process has ended or was condemned."""
        ...

    def fault(self, method: str) -> errors.ProcessFault:
        """Why it ended; `method` is what it was asked at the time."""
        ...

    def log_tail(self) -> str: ...


@dataclass(frozen=True)
class Sent:
    """A request that was sent and not yet answered."""

    method: str
    id: int
    timeout_s: float
    deadline: float
    """On the monotonic clock."""


class Link:
    """Binds `r` (requests) and `e` (liveness echo) in a folder that only this user can enter."""

    def __init__(
        self,
        context: Context,
        folder: Path,
        epoch: str,
        reply_bytes: int,
        statuses: Set[str] = ANSWERS,
        patience_s: float = 0.0,
    ) -> None:
        """`patience_s` is how long an answer may take beyond its deadline, where the other side enforces that."""
        self.dropped: Counter[str] = Counter()
        """Messages that answered nothing: "late", "foreign" (another epoch, an id never asked), "stranger"."""
        self.folder = folder
        self._epoch, self._reply_bytes = epoch, reply_bytes
        self._statuses, self._patience_s = statuses, patience_s
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

    def hello(self, timeout_s: float) -> wire.Message:
        """The unasked first message; whoever sends it is the peer from then on."""
        return self.receive(Sent("hello", wire.HELLO_ID, timeout_s, time.monotonic() + timeout_s))

    def send(self, method: str, body: dict[str, Any], timeout_s: float) -> Sent:
        """Send a request; its time runs from here."""
        with self._using:
            self._check_open(method)
            self._last_id += 1
            sent = Sent(method, self._last_id, timeout_s, time.monotonic() + timeout_s)
            message = wire.Message(wire.REQUEST, self._epoch, sent.id, method, deadline_s=timeout_s, body=body)
            try:
                self._socket.send_multipart([self._peer, *wire.encode(message)], zmq.NOBLOCK)
            except zmq.ZMQError:  # nobody there to take it
                self._await_end(method, "the connection is gone")
            except wire.WireError as error:
                raise errors.RequestFailed(method, errors.BAD_REQUEST, str(error)) from error
            return sent

    def receive(self, sent: Sent, reply_bytes: int | None = None) -> wire.Message:
        """Wait for the answer to what was sent. Raises a ProcessFault when none can come any more."""
        with self._using:
            self._check_open(sent.method)
            message = self._await(sent)
        size = sum(map(len, message.payloads))
        if reply_bytes is not None and size > reply_bytes:
            raise self._violation(sent.method, f"answered with {size:,} bytes, {reply_bytes:,} allowed")
        return message

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

    def _await(self, sent: Sent) -> wire.Message:
        method, before = sent.method, self.dropped.total()
        while (left_s := sent.deadline + self._patience_s - time.monotonic()) > 0:
            ready = dict(self._poller.poll(math.ceil(left_s * 1000)))
            if self._socket in ready:
                message = self._take(method)
                if message and self._answers(message, sent):
                    return message
                if self.dropped.total() - before > DROPPED_AT_MOST:
                    raise self._violation(method, f"more than {DROPPED_AT_MOST} messages that answer nothing")
            elif ready:
                self._await_end(method, "it closed the connection, or sent more than may be sent")
        raise self._timed_out(sent)

    def _take(self, method: str) -> wire.Message | None:
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

    def _answers(self, message: wire.Message, sent: Sent) -> bool:
        if message.epoch != self._epoch or message.kind != wire.REPLY or message.id > sent.id:
            self.dropped["foreign"] += 1
            return False
        if message.id < sent.id:
            self.dropped["late"] += 1
            return False
        if message.method != sent.method:
            raise self._violation(sent.method, f"answered {message.method[:40]!r}")
        if message.status not in self._statuses:
            raise self._violation(sent.method, f"unknown status {message.status[:40]!r}")
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

    def _timed_out(self, sent: Sent) -> errors.CallTimedOut:
        state = "the process was alive and busy" if self.responds() else "the process did not respond at all"
        return errors.CallTimedOut(sent.method, f"no reply within {sent.timeout_s:g} s ({state})", self._log_tail())

    def _violation(self, method: str, message: str) -> errors.ProtocolViolated:
        return errors.ProtocolViolated(method, message, self._log_tail())

    def _log_tail(self) -> str:
        return self._watched.log_tail() if self._watched else ""


def _bound(context: Context, kind: int, path: Path, frame_bytes: int) -> zmq.Socket[bytes]:
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
