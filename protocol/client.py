"""Owns the orchestrator's typed requests: sends one over a link, validates what comes back, raises what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from protocol import errors, wire
from protocol.link import ANSWERS, Context, Link, Sent, Watched
from protocol.models import HelloReply, HelloRequest, Reply, Request

Answer = tuple[Reply, list[bytes]]


@dataclass(frozen=True)
class Pending:
    """A request that was sent and not yet answered."""

    request: Request
    sent: Sent


class Client:
    """What a nanny, or a Blender without one, is asked. `nannied` lets it answer that its Blender is gone."""

    def __init__(self, context: Context, folder: Path, epoch: str, reply_bytes: int, *, nannied: bool = False) -> None:
        statuses = ANSWERS | errors.FAULTS.keys() if nannied else ANSWERS
        self.link = Link(context, folder, epoch, reply_bytes, statuses, NANNY_PATIENCE_S if nannied else 0.0)

    def watch(self, watched: Watched) -> None:
        self.link.watch(watched)

    def close(self) -> None:
        self.link.close()

    def wait_hello(self, timeout_s: float) -> HelloReply:
        reply, _ = _read(HelloRequest(), self.link.hello(timeout_s))
        assert isinstance(reply, HelloReply)
        return reply

    def call(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Ask and wait. Raises RequestFailed when the answer is no, a ProcessFault when none can come any more."""
        return self.finish(self.begin(request, timeout_s))

    def begin(self, request: Request, timeout_s: float | None = None) -> Pending:
        """Send a request; its time runs from here."""
        timeout_s = type(request).timeout_s if timeout_s is None else timeout_s
        return Pending(request, self.link.send(request.method, request.model_dump(mode="json"), timeout_s))

    def finish(self, pending: Pending) -> Answer:
        """Wait for the answer to what `begin` sent."""
        return _read(pending.request, self.link.receive(pending.sent, type(pending.request).reply_bytes))


NANNY_PATIENCE_S = 10.0
"""How long a nanny may take beyond a deadline, to kill what ran into it."""


def _read(request: Request, message: wire.Message) -> Answer:
    if message.status in errors.FAULTS:
        raise errors.FAULTS[message.status](request.method, message.message, str(message.body.get("log_tail", "")))
    if message.status == errors.SCRIPT_ERROR:
        raise errors.ScriptFailed(request.method, message.message, message.body)
    if message.status != wire.OK:
        raise errors.RequestFailed(request.method, message.status, message.message, message.body)
    try:
        return type(request).reply.model_validate(message.body), list(message.payloads)
    except ValidationError as error:
        raise errors.ProtocolViolated(request.method, f"invalid reply: {str(error)[:1000]}") from error
