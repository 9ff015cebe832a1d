"""Owns one conversation: ask the model, use the tools it calls, answer it, until a tool ends it.

Every reply and every tool's outcome is a step of the journal, so a resumed run walks through a recorded conversation
without asking, executing or rendering anything again. Does not know stages or prompts.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from agent import prompting
from agent.errors import ModelRefused, ModelUnavailable
from agent.models.asked import describe
from agent.models.base import (
    Message,
    ModelReply,
    ModelRequest,
    Place,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    place_key,
    reply_key,
)
from agent.runs.journal import digest_of
from agent.runs.run import Run
from agent.tools.base import Outcome, refused
from agent.tools.table import Toolbox
from agent.tools.workbench import Workbench

CONCLUDING = 2
"""Calls beyond the last one, in which an end that was not accepted can be mended and nothing else be done."""
NUDGES = 3
"""Replies in a row without a tool call that end a conversation."""


def converse(
    run: Run,
    place: Place,
    system: str,
    messages: list[Message],
    toolbox: Toolbox,
    most_calls: int,
    bench: Workbench | None = None,
) -> dict[str, Any] | None:
    """Talk until a tool ends it; its product, or None when the model came to no end within `most_calls` and as many
    more as it is given to conclude.

    `messages` begins with what the user says and is extended by all that follows, for a later round to go on from.
    """
    silent = 0
    for ordinal in range(most_calls + CONCLUDING):
        last = ordinal >= most_calls - 1
        here = place.model_copy(update={"ordinal": ordinal})
        if ordinal and ordinal == most_calls - 1:
            messages.append(_said("conclude", tool=" or ".join(toolbox.ending_names())))
        reply = _ask(run, here, system, messages, toolbox)
        messages.append(Message(role="assistant", content=reply.content or (Text(text="(nothing)"),)))
        calls = [block for block in reply.content if isinstance(block, ToolCall)]
        silent = 0 if calls else silent + 1
        if silent == NUDGES or reply.stop == "refusal":
            return None
        outcomes = _use_all(run, here, calls, toolbox, last, bench)
        messages.append(_answer(calls, outcomes, toolbox, reply))
        ended = [outcome.product for outcome in outcomes if outcome.product is not None]
        if ended:
            return ended[-1]
        if bench is not None and bench.stalled():
            return {"summary": "stopped: the same failures again and again"}
    return None


def _ask(run: Run, place: Place, system: str, messages: list[Message], toolbox: Toolbox) -> ModelReply:
    request = ModelRequest(
        place=place,
        system=system,
        messages=tuple(messages),
        tools=toolbox.specs(),
        seed=run.config.seed,
    )

    key, worst = f"reply/{reply_key(request)}", run.model.worst_case(request)

    asked_s: list[float] = []

    with contextlib.ExitStack() as pending:

        def ask() -> ModelReply:
            pending.enter_context(run.ledger.reserved(worst))
            pending.enter_context(_in_flight(run, key, place, worst))
            started = time.monotonic()
            with run.console.waiting(f"waiting for the model ({run.model.name})"):
                reply = as_text(run.model.reply(request))
            asked_s.append(time.monotonic() - started)
            return reply

        reply = run.journal.step(key, ModelReply, ask, asked=describe(request).model_dump(mode="json"))
        if asked_s:  # stored first: what a kill cuts off here is booked when the run goes on
            run.ledger.book(key, place, reply.model, reply.usage, asked_s[0], http=reply.http)
    return reply


@contextlib.contextmanager
def _in_flight(run: Run, key: str, place: Place, worst: Usage) -> Iterator[None]:
    """A call that costs something is on record before it is made, so that one which a kill cuts off is booked."""
    if worst == Usage(usd=0.0):
        yield
        return
    run.journal.note("asking", key=key, place=place.model_dump(), model=run.model.name, worst=worst.model_dump())
    try:
        yield
    except (ModelRefused, ModelUnavailable):
        run.journal.note("unanswered", key=key)
        raise


def as_text(reply: ModelReply) -> ModelReply:
    """The reply with halves of surrogate pairs replaced, which can be neither digested, sent nor shown."""
    try:
        json.dumps(reply.model_dump(), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return ModelReply.model_validate(_encodable(reply.model_dump()))
    return reply


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(inner) for name, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list | tuple) else value


def _use_all(
    run: Run, place: Place, calls: list[ToolCall], toolbox: Toolbox, last: bool, bench: Workbench | None
) -> list[Outcome]:
    """Use the tools of one reply in order: nothing after an edit that was rolled back, and no end after a failure."""
    outcomes: list[Outcome] = []
    for number, call in enumerate(calls):
        ends = call.name in toolbox.ending_names()
        if any(outcome.failure or (ends and outcome.is_error) for outcome in outcomes):
            problem = f"not done: a call before it failed. Read its result, then call {call.name} again if need be."
            outcomes.append(refused(problem))
        else:
            outcomes.append(_use(run, place, number, call, toolbox, last, bench))
    return outcomes


def _use(
    run: Run, place: Place, number: int, call: ToolCall, toolbox: Toolbox, last: bool, bench: Workbench | None
) -> Outcome:
    head = bench.head.id if bench is not None else None
    key = f"tool/{place_key(place)}/{number}/{digest_of(call.name, call.input, head)}"
    outcome = run.journal.step(key, Outcome, lambda: toolbox.use(call, last), tool=call.name)
    if bench is not None:
        bench.follow(outcome)
    return outcome


def _answer(calls: list[ToolCall], outcomes: list[Outcome], toolbox: Toolbox, reply: ModelReply) -> Message:
    if not calls:
        return _said("cut_short" if reply.stop == "length" else "use_a_tool", tools=toolbox.names())
    results = (
        ToolResult(call_id=call.id, content=outcome.content, is_error=outcome.is_error)
        for call, outcome in zip(calls, outcomes, strict=True)
    )
    return Message(role="user", content=tuple(results))


def _said(name: str, **variables: object) -> Message:
    return Message(role="user", content=(Text(text=prompting.render(f"shared/{name}.md", **variables)),))
