"""Owns the one interface that every model implements: a conversation with tools in, a reply out, plus usage.

Pictures are PNG bytes. A model keeps no state that a later reply depends on: the same request must get an equally valid
reply in another process, for that is what resuming a run does.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, Protocol

from protocol.models import Value

Role = Literal["decomposer", "generator", "verifier", "selector"]


class Place(Value):
    """Where in a run a call is made; with the request's digest the key of its stored reply."""

    rollout: int
    """0-based at initialisation; -1 afterwards, and for the selector."""
    stage: str
    """decomposition, initialisation, selection, geometry, material, composition, lighting, camera."""
    round: int
    """1-based."""
    role: Role
    ordinal: int
    """0-based number of the call within its conversation."""


class Text(Value):
    type: Literal["text"] = "text"
    text: str
    lasting: bool = False
    """It, and what stands before it, begins other conversations of the run too: a good place for a cache mark."""


class Picture(Value):
    type: Literal["picture"] = "picture"
    png: bytes
    caption: str
    """What it shows, as told to the model in the line before it: "reference", "target view of the scene", …"""


class ToolCall(Value):
    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    input: dict[str, Any]


class Thought(Value):
    """What the model thought before it answered, as its service gave it: sent back unchanged, read by nobody else."""

    type: Literal["thought"] = "thought"
    model: str
    """The id that thought it; no other can use it."""
    block: dict[str, Any]


class ToolResult(Value):
    type: Literal["tool_result"] = "tool_result"
    call_id: str
    content: tuple[Text | Picture, ...]
    is_error: bool = False


class Message(Value):
    role: Literal["user", "assistant"]
    content: tuple[Text | Picture | ToolCall | ToolResult | Thought, ...]


class ToolSpec(Value):
    name: str
    description: str
    schema_: dict[str, Any]
    """JSON schema of its input."""


class ModelRequest(Value):
    place: Place
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    seed: int
    """Of the run; for models that can use it."""


class Usage(Value):
    input_tokens: int = 0
    """Neither read from nor written to the cache."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    """None where the price is unknown."""


class Drift(Value):
    """How a request differs from the one that its recorded reply answered."""

    how: str
    begins_here: bool
    """Not only by what an earlier request of the conversation already differed in."""


class ModelReply(Value):
    content: tuple[Text | ToolCall | Thought, ...]
    """Goes back whole and in this order in the next request of the conversation."""
    stop: Literal["tool_call", "end", "length", "refusal"]
    usage: Usage = Usage()
    model: str
    """The id that answered, as the service reports it."""
    retries: int = 0
    """Attempts at this reply that failed before it came."""
    http: tuple[int, ...] = ()
    """Their HTTP statuses; 0 where no answer came, or it broke off."""
    drift: Drift | None = None
    """Of a recorded reply that is given to another request than it answered."""


class Model(Protocol):
    name: str

    def reply(self, request: ModelRequest) -> ModelReply:
        """Answer; raises the errors of `agent.errors` (ModelRefused, ModelUnavailable, …)."""
        ...

    def worst_case(self, request: ModelRequest) -> Usage:
        """The most that the reply may cost: what is booked for a call whose reply nobody has seen."""
        ...


def reply_key(request: ModelRequest) -> str:
    """Under which a reply is stored: the place of the call and the digest of what was said in it."""
    return f"{place_key(request.place)}/{request_digest(request)}"


def place_key(place: Place) -> str:
    return f"{conversation_key(place)}/{place.ordinal}"


def conversation_key(place: Place) -> str:
    """The same for all calls of one round of one role."""
    return f"{place.rollout}/{place.stage}/{place.round}/{place.role}"


def request_digest(request: ModelRequest) -> str:
    """Of all that is said in a request but its picture bytes, which differ between machines that render alike."""
    said = {
        "system": request.system,
        "messages": [said_in(message) for message in request.messages],
        "tools": [tool.model_dump() for tool in request.tools],
    }
    return digest_of_said(said)


def digest_of_said(said: Any) -> str:
    canonical = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def said_in(message: Message) -> list[Any]:
    """What counts of a message: all but its picture bytes."""
    return [message.role, [_said(block) for block in message.content]]


def _said(block: Text | Picture | ToolCall | ToolResult | Thought) -> dict[str, Any]:
    if isinstance(block, Picture):
        return {"type": block.type, "caption": block.caption, "size": block.png[16:24].hex()}
    if isinstance(block, ToolResult):
        return {**block.model_dump(exclude={"content"}), "content": [_said(part) for part in block.content]}
    return block.model_dump(exclude={"lasting"})
