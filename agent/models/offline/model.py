"""Owns the offline model's side of the model interface: a request in, the role's next call out.

Keeps live roles only to save time: one that is not at hand is rebuilt by replaying its conversation. Thread-safe,
because rollouts ask side by side.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from agent.models.base import ModelReply, ModelRequest, Text, Usage, request_digest
from agent.models.offline.dialogue import Call, Result, Script, Talk, as_call, listen
from agent.models.offline.roles import script_for

NAME = "offline"
KEPT = 6
"""Live roles kept at most."""


@dataclass
class _Live:
    script: Script
    heard: int
    """Results given to it so far."""
    pending: Call | None
    """What it asks for now; None when it is through."""


class OfflineModel:
    """Plays all roles by classical image analysis."""

    name = NAME

    def __init__(self) -> None:
        self._live: OrderedDict[str, _Live] = OrderedDict()
        self._lock = threading.Lock()

    def reply(self, request: ModelRequest) -> ModelReply:
        tools = [tool.name for tool in request.tools]
        talk = listen(request.messages, tools)
        call = self._next_call(request, talk)
        if call is None or (tools and call.name not in tools):
            call = _ending(tools, talk)
        if call is None:
            nothing = Text(text="There is nothing more that I can do.")
            return ModelReply(content=(nothing,), stop="end", usage=Usage(usd=0.0), model=NAME)
        content = (as_call(call, request.place.ordinal),)
        return ModelReply(content=content, stop="tool_call", usage=Usage(usd=0.0), model=NAME)

    def _next_call(self, request: ModelRequest, talk: Talk) -> Call | None:
        live = self._take(request, talk)
        for result in talk.results[live.heard :]:
            if live.pending is None:
                break
            live.pending = _send(live.script, result)
        live.heard = len(talk.results)
        with self._lock:
            self._live[_key(request, talk.results)] = live
            while len(self._live) > KEPT:
                self._live.popitem(last=False)
        return live.pending

    def worst_case(self, request: ModelRequest) -> Usage:
        return Usage(usd=0.0)

    def _take(self, request: ModelRequest, talk: Talk) -> _Live:
        """The role as it was before the last result, or a new one."""
        with self._lock:
            live = self._live.pop(_key(request, talk.results[:-1]), None) if talk.results else None
        if live is None:
            script = script_for(request.place.stage, request.place.role, talk.task)
            live = _Live(script, 0, next(script, None))
        return live


def _send(script: Script, result: Result) -> Call | None:
    try:
        return script.send(result)
    except StopIteration:
        return None


def _key(request: ModelRequest, results: tuple[Result, ...]) -> str:
    """Of a conversation up to some results, pictures included."""
    place = request.place
    digest = hashlib.sha256(repr((place.rollout, place.stage, place.round, place.role, request.seed)).encode())
    for result in results:
        digest.update(repr(sorted(result.facts.items())).encode())
        for png in result.pictures:
            digest.update(png)
    digest.update(f"{len(results)} {_begin_digest(request)}".encode())
    return digest.hexdigest()


def _begin_digest(request: ModelRequest) -> str:
    """Of the system prompt and the first message."""
    begin = request.model_copy(update={"messages": request.messages[:1], "tools": ()})
    pictures = hashlib.sha256()
    for block in request.messages[0].content:
        pictures.update(getattr(block, "png", b""))
    return request_digest(begin) + pictures.hexdigest()


def _ending(tools: list[str], talk: Talk) -> Call | None:
    """What ends a conversation whose last call this is."""
    if "finish" in tools:
        return Call("finish", {"summary": "Stopped at the last call that is allowed."})
    if "verdict" in tools:
        return Call(
            "verdict", {"items": [], "critique": "Not judged: the last call came first.", "decision": "approve"}
        )
    if "choose" in tools and talk.task.candidates:
        return Call("choose", {"candidate": talk.task.candidates[0].letter, "reason": "the first one"})
    return None
