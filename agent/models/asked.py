"""Owns the short description of a request that is recorded beside its reply, and how another request differs from it.

It tells where and how, part by part: digests of all that was said, and the words of what was new. Picture bytes do not
count, which differ between machines that render alike; a picture's size does.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence

from agent.models.base import (
    Drift,
    Message,
    ModelRequest,
    Picture,
    Text,
    ToolCall,
    ToolResult,
    digest_of_said,
    said_in,
)
from protocol.models import Value

MOST_SAID = 4000
"""Characters that are kept of a message's words."""
AROUND = 24
"""Characters shown of either side, before and after the place where two texts begin to differ."""


class Asked(Value):
    """What a request said, in short."""

    system: str
    """Digest of the system prompt."""
    tools: dict[str, str]
    """Tool → digest of its description and schema, in the order of the request."""
    messages: tuple[str, ...]
    """Digest of each message."""
    new: tuple[str, ...]
    """The words of the messages since the model last spoke, which are the last ones; cut at MOST_SAID."""


def describe(request: ModelRequest) -> Asked:
    return Asked(
        system=_digest(request.system),
        tools={tool.name: _digest(tool.model_dump()) for tool in request.tools},
        messages=tuple(_digest(said_in(message)) for message in request.messages),
        new=tuple(_words(message)[:MOST_SAID] for message in _new(request.messages)),
    )


def drift(recorded: Asked | None, request: ModelRequest) -> Drift:
    """How a request differs from the one that was recorded at its place."""
    heard = len(request.messages) - len(_new(request.messages))
    if recorded is None:
        return Drift(how="the recording does not tell how", begins_here=heard == 0)
    now = describe(request)
    how = ["the system prompt"] * (recorded.system != now.system) + list(_in_tools(recorded.tools, now.tools))
    pairs = enumerate(itertools.zip_longest(recorded.messages, now.messages))
    first = next((number for number, (before, after) in pairs if before != after), None)
    begins_here = heard == 0 or (first is not None and first >= heard)
    if first is not None:
        how.append(_in_message(first, recorded, request) if first >= heard else f"message {first + 1}, as before")
    return Drift(how="; ".join(how) or "the order of the tools", begins_here=begins_here)


def _in_tools(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            change = "" if name in before and name in now else " (new)" if name in now else " (gone)"
            yield f"the tool {name}{change}"


def _in_message(place: int, recorded: Asked, request: ModelRequest) -> str:
    """Which new message differs, what it is, and from where on."""
    if place >= len(request.messages):
        return f"message {place + 1} is not said any more"
    message = request.messages[place]
    name = f"message {place + 1} ({_kind(message, request.messages)})"
    back = len(recorded.messages) - place
    if back <= 0:
        return f"{name} is new"
    if back > len(recorded.new):
        return name
    return f"{name}: {_first_difference(recorded.new[-back], _words(message)[:MOST_SAID])}"


def _first_difference(before: str, after: str) -> str:
    if before == after:
        return f"after its first {MOST_SAID} characters" if len(after) == MOST_SAID else "in what is no text"
    place = next(n for n, (one, other) in enumerate(itertools.zip_longest(before, after)) if one != other)
    sides = (text[max(0, place - AROUND) : place + AROUND] for text in (before, after))
    return " was recorded, now ".join(json.dumps(side, ensure_ascii=False) for side in sides)


def _kind(message: Message, messages: Sequence[Message]) -> str:
    """What the message is: a task, or which tools' results."""
    calls = {block.id: block.name for one in messages for block in one.content if isinstance(block, ToolCall)}
    results = [calls.get(block.call_id, "?") for block in message.content if isinstance(block, ToolResult)]
    if message.role == "assistant":
        return "the model's own"
    return f"result of {', '.join(results)}" if results else "task"


def _words(message: Message) -> str:
    """What changes most often first: the task, the stage's part, the scene graph."""
    lasting = [block for block in message.content if isinstance(block, Text) and block.lasting]
    return "\n".join(_words_of([*(block for block in message.content if block not in lasting), *reversed(lasting)]))


def _words_of(content: Sequence[object]) -> Iterator[str]:
    for block in content:
        if isinstance(block, Text):
            yield block.text
        elif isinstance(block, Picture):
            width, height = (int.from_bytes(block.png[at : at + 4], "big") for at in (16, 20))
            yield f"[{block.caption}: {width} × {height} px]"
        elif isinstance(block, ToolResult):
            yield from ("[failed]",) if block.is_error else ()
            yield from _words_of(block.content)


def _new(messages: Sequence[Message]) -> Sequence[Message]:
    """Those since the model last spoke."""
    spoken = max((n for n, message in enumerate(messages) if message.role == "assistant"), default=-1)
    return messages[spoken + 1 :]


def _digest(said: object) -> str:
    return digest_of_said(said)[:16]
