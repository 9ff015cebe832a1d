"""Owns the loop: one request at a time on the main thread, each handled at most once, and an echo that proves life.

What a method does: the handlers. How a message looks: `protocol.wire`. Deadlines are enforced by the other side; here
they only leave a trace in faults.log of what was running shortly before.
"""

import faulthandler
import inspect
import os
import sys
import threading
import traceback

import zmq

from blender_server import (
    describing,
    executing,
    fingerprint,
    inspecting,
    lifecycle,
    plain,
    rendering,
    selfcheck,
    shutting,
    snapshots,
    surfaces,
)
from blender_server.refusals import Refusal
from protocol import errors, wire

HANDLERS = {
    "hello": lifecycle.hello,
    "execute": executing.execute,
    "settle": executing.settle,
    "inspect": inspecting.inspect,
    "render": rendering.render,
    "fingerprint": fingerprint.reply,
    "describe": describing.describe,
    "dump": describing.dump,
    "snapshot": snapshots.snapshot,
    "restore": snapshots.restore,
    "plain": plain.become_plain,
    "surfaces": surfaces.surfaces,
    "warp": surfaces.warp,
    "shutdown": lifecycle.shutdown,
}
"""Method → function of the request's fields that gives the reply's fields, or those and a list of payloads."""

SIGNATURES = {method: inspect.signature(handler) for method, handler in HANDLERS.items()}

POLL_MS = 1000
CONNECT_MS = 10000


def serve(epoch, log, shut=False):
    """Say hello, then answer until told to stop or the parent is gone. Ends the process: nothing may outlive it."""
    context = zmq.Context()
    _start_echo()
    socket = _connect(context, "ipc://r")
    if shut:
        shutting.make_no_more_sockets()
    code = 1
    try:
        Server(socket, epoch, log).run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        socket.close(linger=1000)
        context.term()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _connect(context, address):
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    events = socket.get_monitor_socket(zmq.EVENT_CONNECTED)
    socket.connect(address)
    if not events.poll(CONNECT_MS):
        raise OSError("nobody listens at {}".format(address))
    socket.disable_monitor()
    return socket


def _start_echo():
    """A socket that returns what it gets from a thread that holds no GIL, so that long C calls don't silence it."""
    socket = _connect(zmq.Context(), "ipc://e")
    threading.Thread(target=zmq.proxy, args=(socket, socket), daemon=True, name="echo").start()


class Server:
    def __init__(self, socket, epoch, log):
        self._socket, self._epoch, self._log = socket, epoch, log
        self._process, self._parent = os.getpid(), os.getppid()
        self._last_id, self._last_frames = wire.HELLO_ID, []

    def run(self):
        hello = wire.Message(wire.REQUEST, self._epoch, wire.HELLO_ID, "hello")
        self._socket.send_multipart(self._answer(hello))
        selfcheck.look()
        method = ""
        while method != "shutdown" and os.getppid() == self._parent:
            if self._socket.poll(POLL_MS):
                method = self._take(self._socket.recv_multipart())

    def _take(self, frames):
        """Handle one message; what is no request to this process is dropped. Returns the method it named."""
        try:
            message = wire.decode(frames)
        except wire.WireError as error:
            print("dropped a message:", error)
            return ""
        if message.epoch != self._epoch or message.kind != wire.REQUEST:
            return ""
        if message.id > self._last_id:
            self._last_frames = self._answer(message)
            self._last_id = message.id
            if os.getpid() != self._process:
                os._exit(0)  # code that was executed forked; only the first process speaks here
        elif message.id < self._last_id:
            self._socket.send_multipart(_refused(message, errors.DUPLICATE, "handled before, answer no longer kept"))
            return ""
        self._socket.send_multipart(self._last_frames)
        if message.method != "execute":
            selfcheck.look()
        return message.method

    def _answer(self, message):
        """The reply's frames. Whatever a handler raises becomes an error code."""
        self._watch(message.deadline_s)
        try:
            answer = _handle(message)
            fields, payloads = answer if isinstance(answer, tuple) else (answer, [])
            return _encode(message, body=fields, payloads=tuple(payloads))
        except Refusal as refusal:
            return _refused(message, refusal.code, refusal.message, refusal.data)
        except wire.WireError as error:
            return _refused(message, errors.UNSUPPORTED, "the answer cannot be sent: {}".format(error))
        except Exception as error:  # a defect: the place goes to the log, not to the caller
            traceback.print_exc()
            return _refused(message, errors.INTERNAL, "{}: {}".format(type(error).__name__, str(error)[:500]))
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _watch(self, deadline_s):
        """Shortly before the deadline kills us, write down where every thread is."""
        if deadline_s > 0:
            faulthandler.dump_traceback_later(max(0.8 * deadline_s, deadline_s - 1.0), file=self._log)


def _handle(message):
    handler = HANDLERS.get(message.method)
    if handler is None:
        raise Refusal(errors.UNKNOWN_METHOD, "no method {!r}".format(message.method[:40]))
    try:
        SIGNATURES[message.method].bind(**message.body)
    except TypeError as error:
        raise Refusal(errors.BAD_REQUEST, "{}: {}".format(message.method, error)) from error
    return handler(**message.body)


def _encode(request, **fields):
    return wire.encode(wire.Message(wire.REPLY, request.epoch, request.id, request.method, **fields))


def _refused(request, code, text, data=None):
    return _encode(request, status=code, message=_sendable(text[:8000]), body=data or {})


def _sendable(text):
    """Without lone surrogates, which no UTF-8 can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")
