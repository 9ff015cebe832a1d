"""Owns how a role of the offline model talks: it yields calls and receives results, and is told a task in the
beginning.

A role is a generator function of a task. Its whole state follows from what it was told, so replaying a conversation's
results brings it, in any process, to the same next call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.models.base import Message, Picture, Text, ToolCall, ToolResult

_FENCED = re.compile(r"```json\s*\n(.*)\n```\s*$", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """A tool to use now."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a tool answered."""

    facts: dict[str, Any]
    pictures: tuple[bytes, ...] = ()
    is_error: bool = False

    @property
    def committed(self) -> bool:
        """Whether an edit became part of the scene."""
        return not self.is_error and self.facts.get("result") == "committed"

    @property
    def measures(self) -> dict[str, Any]:
        measures = self.facts.get("measures")
        return measures if isinstance(measures, dict) else {}


@dataclass(frozen=True)
class Candidate:
    letter: str
    png: bytes
    facts: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What a role is asked: the facts for machines, the reference, and what there is to choose from."""

    facts: dict[str, Any]
    reference: bytes
    candidates: tuple[Candidate, ...] = ()
    tools: frozenset[str] = field(default=frozenset())

    @property
    def cutout(self) -> bool:
        picture = self.facts.get("picture")
        return isinstance(picture, dict) and picture.get("kind") == "cutout"

    @property
    def round(self) -> int:
        return int(self.facts.get("round") or 1)

    @property
    def preset(self) -> str:
        return str(self.facts.get("preset") or "default")


Script = Generator[Call, Result, None]


@dataclass(frozen=True)
class Talk:
    """A conversation as a role sees it: the last task it was given, and what its calls since then came to."""

    task: Task
    results: tuple[Result, ...]


def listen(messages: Sequence[Message], tools: Sequence[str] = ()) -> Talk:
    """Read a conversation. Raises ValueError when there is no task in it."""
    start = max((n for n, message in enumerate(messages) if _facts(message) is not None), default=None)
    if start is None:
        raise ValueError("no task was given: no message of the user ends with its facts")
    told = messages[start]
    facts = {**_scene_graph(messages[0]), **(_facts(told) or {})}
    task = Task(facts, _reference(messages), _candidates(told), frozenset(tools))
    results = [
        _result(block)
        for message in messages[start + 1 :]
        for block in message.content
        if isinstance(block, ToolResult)
    ]
    return Talk(task, tuple(results))


def _facts(message: Message) -> dict[str, Any] | None:
    """The JSON object at the end of a user's last text, if that is what it is."""
    if message.role != "user" or not message.content or not isinstance(message.content[-1], Text):
        return None
    found = _FENCED.search(message.content[-1].text)
    return _object(found.group(1)) if found else None


def _scene_graph(first: Message) -> dict[str, Any]:
    """As the facts would have it: it is told once, before the first task."""
    lasting = (block.text for block in first.content if isinstance(block, Text) and block.lasting)
    found = next((found for text in lasting if (found := _FENCED.search(text))), None)
    graph = _object(found.group(1)) if found else None
    return {"scene_graph": graph} if graph else {}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _reference(messages: Sequence[Message]) -> bytes:
    for message in messages:
        for block in message.content:
            if isinstance(block, Picture) and block.caption == "reference":
                return block.png
    raise ValueError("the conversation shows no reference")


def _candidates(message: Message) -> tuple[Candidate, ...]:
    """Pictures captioned "candidate A", each with the facts in the text after it."""
    found = []
    for block, after in zip(message.content, message.content[1:], strict=False):
        if isinstance(block, Picture) and block.caption.startswith("candidate ") and isinstance(after, Text):
            found.append(Candidate(block.caption.removeprefix("candidate "), block.png, _loose_facts(after.text)))
    return tuple(found)


def _loose_facts(text: str) -> dict[str, Any]:
    """The JSON object in a text, with or without a fence."""
    begin, end = text.find("{"), text.rfind("}")
    return (_object(text[begin : end + 1]) or {}) if begin >= 0 else {}


def _result(block: ToolResult) -> Result:
    texts = [part.text for part in block.content if isinstance(part, Text)]
    facts = _object(texts[0]) if texts else None
    return Result(facts or {}, tuple(p.png for p in block.content if isinstance(p, Picture)), block.is_error)


def as_call(call: Call, number: int) -> ToolCall:
    return ToolCall(id=f"offline_{number}", name=call.name, input=call.input)
