"""Owns the model that answers from a recording: no key, no network, no surprise.

A request gets the reply that was recorded for exactly it, else the one recorded at its place, which then carries how
the request has drifted from the recording. Where the recording lies and how it is read is `runs/recording.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from agent.errors import ConfigurationError
from agent.models.asked import Asked, drift
from agent.models.base import ModelReply, ModelRequest, Usage, place_key, reply_key
from protocol.models import Value

MOST_TOLD = 3
"""Drifts that a message names."""


class RecordedReply(Value):
    reply: ModelReply
    asked: Asked | None
    """None in recordings that were made before it was kept."""


class RecordedModel:
    """Gives each request the reply that was recorded for it, or at its place; may be asked from several threads."""

    name = "recorded"

    def __init__(self, replies: Mapping[str, RecordedReply]) -> None:
        """`replies`: by reply key, oldest first."""
        self._replies = replies
        self._by_place = {key.rpartition("/")[0]: recorded for key, recorded in replies.items()}
        self._lock = threading.Lock()
        self._drifted: dict[str, str] = {}

    def reply(self, request: ModelRequest) -> ModelReply:
        if recorded := self._replies.get(reply_key(request)):
            return recorded.reply.model_copy(update={"drift": None})
        place = place_key(request.place)
        near = self._by_place.get(place)
        if near is None:
            raise ConfigurationError(self._why_missing(place), "Replay it with the version that recorded it.")
        drifted = drift(near.asked, request)
        if drifted.begins_here:
            with self._lock:
                self._drifted.setdefault(place, drifted.how)
        return near.reply.model_copy(update={"drift": drifted})

    def worst_case(self, request: ModelRequest) -> Usage:
        return Usage(usd=0.0)

    def _why_missing(self, place: str) -> str:
        if not self._replies:
            return "the recording holds no replies."
        missing = f"the recording holds no reply at {place} (rollout/stage/round/role/call)"
        with self._lock:
            before = [f"{where}: {how}" for where, how in list(self._drifted.items())[:MOST_TOLD]]
        return f"{missing}; what differed before it: {' | '.join(before)}." if before else f"{missing}."
