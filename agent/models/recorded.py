"""Owns the model that answers from a recording: no key, no network, no surprise.

Where the recording lies and how it is read is the journal's matter; here it maps a reply's key to the reply.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import ConfigurationError
from agent.models.base import ModelReply, ModelRequest, Usage, place_key, reply_key


class RecordedModel:
    """Gives each request the reply that was recorded for it, and refuses what was never asked."""

    name = "recorded"

    def __init__(self, replies: Mapping[str, ModelReply]) -> None:
        self._replies = replies

    def reply(self, request: ModelRequest) -> ModelReply:
        recorded = self._replies.get(reply_key(request))
        if recorded is None:
            raise ConfigurationError(self._why_missing(request), "Replay it with the version that recorded it.")
        return recorded

    def worst_case(self, request: ModelRequest) -> Usage:
        return Usage(usd=0.0)

    def _why_missing(self, request: ModelRequest) -> str:
        place = place_key(request.place)
        if any(key.startswith(f"{place}/") for key in self._replies):
            return (
                f"the recording's reply at {place} answers another request: "
                "the prompts, the tools, their results or the settings have changed since."
            )
        if not self._replies:
            return "the recording holds no replies."
        return f"the recording holds no reply at {place} (rollout/stage/round/role/call)."
