"""Owns a nanny's loop: one request of its owner's at a time, each handled at most once, until either side ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import zmq

from protocol import wire
from protocol.errors import REFUSED, ProcessFault, RequestFailed
from protocol.link import Context
from sandbox.nanny.requests import (
    LimitRequest,
    LookRequest,
    OpenRequest,
    ReopenRequest,
    SaveRequest,
    Settings,
)
from sandbox.nanny.ward import Unfit, Ward

log = logging.getLogger(__name__)

POLL_MS = 1000
END = "end.json"
"""In the nanny's folder: why it ended, where its owner did not ask it to."""


class Nanny:
    """Serves until its owner is gone or lets go of the lifeline, or its Blender is lost."""

    def __init__(self, settings: Settings, context: Context, lifeline: BinaryIO) -> None:
        self._settings, self._context, self._lifeline = settings, context, lifeline
        self._last_id, self._last_frames = wire.HELLO_ID, list[bytes]()
        self._parent, self._let_go = os.getppid(), False

    def run(self) -> None:
        """Boot, say hello, serve. Whatever happens, nothing of the Blender is left when this returns."""
        ward = Ward(self._settings, self._context)
        threading.Thread(target=self._end_with_owner, args=(ward,), name="lifeline", daemon=True).start()
        try:
            with self._socket() as self._upward:
                try:
                    self._send(wire.HELLO_ID, "hello", ward.hello())
                    self._serve(ward)
                except ProcessFault as fault:
                    if not self._let_go:
                        self._note_end(fault)
        finally:
            ward.end()

    def _end_with_owner(self, ward: Ward) -> None:
        """In a thread of its own, so that it comes at once, whatever the nanny is doing at that moment."""
        self._lifeline.read()
        self._let_go = True
        ward.end()
        os._exit(0)

    def _serve(self, ward: Ward) -> None:
        poller = zmq.Poller()
        for each in (self._upward, ward.process.fileno()):
            poller.register(each, zmq.POLLIN)
        while os.getppid() == self._parent:
            ready = dict(poller.poll(POLL_MS))
            if self._upward in ready:
                self._take(ward, self._upward.recv_multipart())
            elif ready:
                raise ward.process.fault("")

    def _take(self, ward: Ward, frames: list[bytes]) -> None:
        message = wire.decode(frames)
        if message.epoch != self._settings.epoch or message.kind != wire.REQUEST:
            return
        if message.id == self._last_id:
            self._upward.send_multipart(self._last_frames)
        if message.id <= self._last_id:
            return
        self._last_id = message.id
        try:
            answer = _HANDLERS.get(message.method, _pass_on)(ward, message)
        except Unfit as error:
            answer = wire.Message(wire.REPLY, "", 0, "", status=REFUSED, message=str(error))
        except RequestFailed as error:  # too large to be sent on
            answer = wire.Message(wire.REPLY, "", 0, "", status=error.code, message=error.message)
        except ProcessFault as fault:
            self._note_end(fault)
            answer = wire.Message(
                wire.REPLY, "", 0, "", status=fault.kind, message=fault.message, body={"log_tail": fault.log_tail}
            )
            self._send(message.id, message.method, answer)
            raise
        self._send(message.id, message.method, answer)

    def _send(self, id: int, method: str, answer: wire.Message) -> None:
        """Pass an answer on under our own name: Blender's epoch, ids and method mean nothing to the owner."""
        own = wire.Message(
            wire.REPLY,
            self._settings.epoch,
            id,
            method,
            status=answer.status,
            message=answer.message,
            body=answer.body,
            payloads=answer.payloads,
        )
        self._last_frames = wire.encode(own)
        self._upward.send_multipart(self._last_frames)

    def _note_end(self, fault: ProcessFault) -> None:
        """For an owner that asks later, or was not told before the nanny itself ended."""
        log.warning("%s: %s", fault.kind, fault.message)
        end = {"kind": fault.kind, "message": fault.message, "log_tail": fault.log_tail}
        with contextlib.suppress(OSError):
            part = self._settings.folder / f".{END}"
            part.write_text(json.dumps(end), encoding="utf-8")
            part.replace(self._settings.folder / END)

    def _socket(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.connect(f"ipc://{self._settings.folder / 'r'}")
        return socket


def _pass_on(ward: Ward, message: wire.Message) -> wire.Message:
    return ward.ask(message.method, message.body, message.deadline_s)


def _open(ward: Ward, message: wire.Message) -> wire.Message:
    file = message.body["file"]
    return ward.open(Path(file) if file else None, message.deadline_s)


def _look(ward: Ward, message: wire.Message) -> wire.Message:
    return wire.Message(wire.REPLY, "", 0, "", body=ward.look().model_dump())


def _limit(ward: Ward, message: wire.Message) -> wire.Message:
    ward.limit(LimitRequest.model_validate(message.body).limits)
    return wire.Message(wire.REPLY, "", 0, "")


_HANDLERS: dict[str, Callable[[Ward, wire.Message], wire.Message]] = {
    OpenRequest.method: _open,
    SaveRequest.method: lambda ward, message: ward.save(Path(message.body["target"]), message.deadline_s),
    ReopenRequest.method: lambda ward, message: ward.reopen(str(message.body["file"]), message.deadline_s),
    LookRequest.method: _look,
    LimitRequest.method: _limit,
}
"""All that is not listed is Blender's to answer."""
