"""Owns the translation between our conversations and the Messages API's, in both directions.

Does not talk to the service, which keeps what stands before a cache mark: tools, then the system prompt, then messages.
Two rules make that hit: the same beginning always gives the same bytes, going from what most requests of a run share to
what is this one's own; and marks lie where an earlier request has left one. There are four, in this order of need:

    the last user turn     read by the next request of this conversation
    the last but one       where the request before this one had its last mark
    the ends of the first message's lasting parts: the stage's words, shared by a role's conversations in a stage, and
                           what is left when old pictures are dropped further on; then reference and scene graph,
                           shared by those of all stages
    the system prompt      the same in all a role's conversations, when a mark is left: in the first request of one
"""

from __future__ import annotations

import base64
import functools
import io
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from agent.models.base import Message, ModelReply, ModelRequest, Picture, Text, Thought, ToolCall, ToolResult, Usage
from agent.models.prices import dollars

if TYPE_CHECKING:
    from anthropic.types import Message as ServiceMessage
    from anthropic.types import Usage as ServiceUsage

Block = dict[str, Any]
CacheTime = Literal["5m", "1h"]

MOST_MARKS = 4
"""That the service takes in a request."""
LONGEST_SIDE_PX = 1568
"""Larger pictures are scaled down by the service anyway."""
MOST_PICTURES = 80
MOST_PICTURE_BYTES = 16_000_000
"""Of all PNGs in one request; the service takes 100 pictures and 32 MB, and base64 adds a third."""
NOTHING = "(nothing)"
THOUGHTS = ("thinking", "redacted_thinking")
_STOPS: dict[str, Literal["tool_call", "end", "length", "refusal"]] = {
    "tool_use": "tool_call",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
def request_body(request: ModelRequest, model: str, cache_time: CacheTime) -> dict[str, Any]:
    """The parts of a request that are said: tools, system prompt and messages, with their cache marks."""
    dropped = dropped_pictures(request.messages)
    thoughts_of = None if dropped else model
    counter = iter(range(10**9))
    messages = [
        {"role": role, "content": _content(turn, thoughts_of, dropped, counter)}
        for role, turn in itertools.groupby(request.messages, key=lambda message: message.role)
    ]
    system: Block = {"type": "text", "text": request.system}
    turns = [message["content"] for message in messages if message["role"] == "user"]
    for block in _marked_blocks(system, turns, _lasting(request.messages[0], turns[0])):
        block["cache_control"] = {"type": "ephemeral"} | ({} if cache_time == "5m" else {"ttl": cache_time})
    tools = [{"name": t.name, "description": t.description, "input_schema": t.schema_} for t in request.tools]
    return {"system": [system], "messages": messages, "tools": tools}


def _marked_blocks(system: Block, turns: list[list[Block]], lasting: list[Block]) -> Iterable[Block]:
    """At most MOST_MARKS, each once; the module's text tells why these."""
    wanted = [*(turn[-1] for turn in turns[:-3:-1]), *reversed(lasting), system]
    return list({id(block): block for block in wanted}.values())[:MOST_MARKS]


def _lasting(first: Message, sent: list[Block]) -> list[Block]:
    """The blocks of the first message that end what begins other conversations too; else its last."""
    said = {block.text for block in first.content if isinstance(block, Text) and block.lasting}
    return [block for block in sent if block.get("text") in said] or sent[-1:]


def _content(
    turn: Iterable[Message], thoughts_of: str | None, dropped: frozenset[int], counter: Iterator[int]
) -> list[Block]:
    blocks: list[Block] = []
    for block in (block for message in turn for block in message.content):
        if isinstance(block, ToolResult):
            content = _plain(block.content, dropped, counter)
            blocks.append({"type": "tool_result", "tool_use_id": block.call_id, "content": content})
            blocks[-1] |= {"is_error": True} if block.is_error else {}
        elif isinstance(block, ToolCall):
            blocks.append({"type": "tool_use", "id": block.id, "name": block.name, "input": block.input})
        elif isinstance(block, Thought):
            blocks += [dict(block.block)] if block.model == thoughts_of else []
        else:
            blocks += _plain([block], dropped, counter, or_nothing=False)
    blocks.sort(key=lambda block: block["type"] != "tool_result")  # the service wants results before anything else
    while blocks and blocks[-1]["type"] in THOUGHTS:  # of a reply that was cut off before it said anything
        blocks.pop()
    return blocks or [{"type": "text", "text": NOTHING}]


def _plain(
    content: Iterable[Text | Picture], dropped: frozenset[int], counter: Iterator[int], or_nothing: bool = True
) -> list[Block]:
    blocks: list[Block] = []
    for block in content:
        if isinstance(block, Text):
            blocks += [{"type": "text", "text": block.text}] if block.text.strip() else []
        elif next(counter) in dropped:
            blocks.append({"type": "text", "text": f"[{block.caption}: picture no longer kept]"})
        else:
            blocks.append({"type": "text", "text": f"[{block.caption}]"})
            blocks.append({"type": "image", "source": _source(block.png)})
    return blocks or ([{"type": "text", "text": NOTHING}] if or_nothing else [])


def _source(png: bytes) -> Block:
    data = base64.standard_b64encode(sized(png)).decode("ascii")
    return {"type": "base64", "media_type": "image/png", "data": data}


def dropped_pictures(messages: Iterable[Message]) -> frozenset[int]:
    """Numbers of the pictures to leave out, counted from 0 over the conversation; never one of the first message.

    When there are too many, the older half goes: so a conversation's beginning changes rarely, and the cache holds.
    """
    kept: list[tuple[int, int]] = []
    dropped: set[int] = set()
    number = 0
    for place, message in enumerate(messages):
        for picture in _pictures(message):
            kept += [(number, len(picture.png))] if place else []
            number += 1
            if len(kept) > MOST_PICTURES or sum(size for _, size in kept) > MOST_PICTURE_BYTES:
                half = (len(kept) + 1) // 2
                dropped |= {old for old, _ in kept[:half]}
                kept = kept[half:]
    return frozenset(dropped)


def _pictures(message: Message) -> Iterator[Picture]:
    for block in message.content:
        parts = block.content if isinstance(block, ToolResult) else (block,)
        yield from (part for part in parts if isinstance(part, Picture))


@functools.lru_cache(maxsize=256)
def sized(png: bytes) -> bytes:
    """The picture as the model is to see it: opaque on white, its long side at most LONGEST_SIDE_PX."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        opaque = "A" not in picture.getbands() and "transparency" not in picture.info
        if opaque and max(picture.size) <= LONGEST_SIDE_PX:
            return png
        shown = Image.new("RGBA", picture.size, "white")
        shown.alpha_composite(picture.convert("RGBA"))
    shown.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    shown.convert("RGB").save(written, "PNG")
    return written.getvalue()


CHARACTERS_PER_TOKEN, PIXELS_PER_TOKEN = 2.5, 750
"""Fewer characters than a token of English or Python holds, so that an estimate errs upwards; of pictures, the service
documents width × height / 750 tokens."""


def most_tokens(body: dict[str, Any]) -> int:
    """An upper estimate of the tokens of a request body, without asking the service."""
    pictures: list[bytes] = []

    def without_pictures(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("type") == "base64":
                pictures.append(base64.b64decode(value["data"][:64]))
                return None
            return {name: without_pictures(inner) for name, inner in value.items()}
        return [without_pictures(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(without_pictures(body), ensure_ascii=False)
    pixels = sum(int.from_bytes(png[16:20]) * int.from_bytes(png[20:24]) for png in pictures)
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN + pixels / PIXELS_PER_TOKEN)


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
def model_reply(message: ServiceMessage, asked: str, http: Sequence[int]) -> ModelReply:
    """`asked` is the model id as we spell it, which the service may report as another; `http`: of failed attempts."""
    stop = _STOPS.get(message.stop_reason or "", "end")
    blocks = [] if stop == "refusal" else list(message.content)
    if stop == "length" and blocks and blocks[-1].type == "tool_use":
        blocks.pop()  # its input is cut off somewhere
    content = tuple(block for block in (_reply_block(block, asked) for block in blocks) if block is not None)
    usage = _usage(message.usage, message.model)
    return ModelReply(content=content, stop=stop, usage=usage, model=message.model, retries=len(http), http=tuple(http))


def _reply_block(block: Any, model: str) -> Text | ToolCall | Thought | None:
    if block.type == "text":
        return Text(text=block.text) if block.text.strip() else None
    if block.type == "tool_use":
        return ToolCall(id=block.id, name=block.name, input=block.input if isinstance(block.input, dict) else {})
    if block.type in THOUGHTS:
        return Thought(model=model, block=block.to_dict())
    return None


def _usage(usage: ServiceUsage, model: str) -> Usage:
    written = usage.cache_creation_input_tokens or 0
    written_1h = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    read = usage.cache_read_input_tokens or 0
    return Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=usage.output_tokens,
        usd=dollars(
            model,
            input=usage.input_tokens,
            output=usage.output_tokens,
            cache_read=read,
            cache_write_5m=written - written_1h,
            cache_write_1h=written_1h,
        ),
    )
