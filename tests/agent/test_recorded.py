"""Proves that a recording answers what was asked, else at its place what is asked now, and says how that differs."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from agent.errors import ConfigurationError
from agent.models.asked import MOST_SAID, describe
from agent.models.base import (
    Drift,
    Message,
    ModelReply,
    ModelRequest,
    Picture,
    Place,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    reply_key,
    request_digest,
)
from agent.models.recorded import RecordedModel, RecordedReply


def request(color="red", ordinal=0, said="Judge.", size=(8, 6), caption="target view"):
    written = io.BytesIO()
    Image.new("RGB", size, color).save(written, "PNG")
    shown = Picture(png=written.getvalue(), caption=caption)
    result = ToolResult(call_id="t", content=(Text(text=said), shown))
    return ModelRequest(
        place=Place(rollout=-1, stage="geometry", round=2, role="verifier", ordinal=ordinal),
        system="You judge.",
        messages=(Message(role="user", content=(result, shown)),),
        tools=(ToolSpec(name="verdict", description="Ends.", schema_={"type": "object"}),),
        seed=0,
    )


REPLY = ModelReply(content=(Text(text="Good."),), stop="end", model="m")


def recording(*requests, described=True):
    kept = {reply_key(one): RecordedReply(reply=REPLY, asked=describe(one) if described else None) for one in requests}
    return RecordedModel(kept)


def drift_of(model, one):
    reply = model.reply(one)
    assert reply.model_copy(update={"drift": None}) == REPLY
    return reply.drift


def test_a_recorded_request_gets_its_reply():
    assert recording(request()).reply(request()) == REPLY


def test_pixels_may_differ_between_machines():
    assert recording(request("red")).reply(request("blue")) == REPLY


@pytest.mark.parametrize(("changes", "how"), [
    ({"said": "Other."}, "Judge."),
    ({"size": (8, 7)}, "8 × 7 px"),
    ({"caption": "comparison"}, "[comparison"),
])  # fmt: skip
def test_everything_else_counts_and_its_reply_is_given_with_where_and_how_it_differs(changes, how):
    assert request_digest(request(**changes)) != request_digest(request())
    drift = drift_of(recording(request()), request(**changes))
    assert drift.begins_here
    assert drift.how.startswith("message 1 (result of ?): ") and how in drift.how


def test_what_differs_is_named_part_by_part():
    tools = (request().tools[0].model_copy(update={"description": "Stops."}),)
    tools += (ToolSpec(name="look", description="Looks.", schema_={}),)
    changed = request().model_copy(update={"system": "You weigh.", "tools": tools})
    how = drift_of(recording(request()), changed).how
    assert how == "the system prompt; the tool verdict; the tool look (new)"
    assert drift_of(recording(changed), request()).how.endswith("the tool look (gone)")


def conversation(first, *results, system="You judge."):
    messages = [Message(role="user", content=(Text(text=first),))]
    for number, result in enumerate(results):
        call = ToolCall(id=f"t{number}", name="compare", input={})
        messages.append(Message(role="assistant", content=(call,)))
        messages.append(Message(role="user", content=(ToolResult(call_id=call.id, content=(Text(text=result),)),)))
    changes = {"messages": tuple(messages), "system": system}
    return request(ordinal=len(results)).model_copy(update=changes)


def test_the_first_differing_message_is_named_by_what_it_is_with_both_sides():
    recorded = recording(conversation("Go.", "a", '{"psnr_db": 20.125}'))
    drift = drift_of(recorded, conversation("Go.", "a", '{"psnr_db": 20.124}'))
    told = '"{\\"psnr_db\\": 20.125}" was recorded, now "{\\"psnr_db\\": 20.124}"'
    assert drift == Drift(how=f"message 5 (result of compare): {told}", begins_here=True)


def test_what_already_differed_earlier_in_the_conversation_is_no_new_beginning():
    recorded = recording(conversation("Go.", "a", "b"))
    drift = drift_of(recorded, conversation("Go.", "z", "b", system="You weigh."))
    assert drift == Drift(how="the system prompt; message 3, as before", begins_here=False)


def test_long_texts_that_differ_late_are_said_to():
    drift = drift_of(recording(conversation("x" * MOST_SAID + "a")), conversation("x" * MOST_SAID + "b"))
    assert drift.how == f"message 1 (task): after its first {MOST_SAID} characters"


def test_a_difference_in_the_task_is_found_before_one_in_what_lasts():
    def begun(graph, own, task):
        content = (Text(text=graph, lasting=True), Text(text=own, lasting=True), Text(text=task))
        return request().model_copy(update={"messages": (Message(role="user", content=content),)})

    recorded = recording(begun("g" * MOST_SAID, "geometry", '{"seed": 0}'))
    assert '"seed' in drift_of(recorded, begun("g" * MOST_SAID, "geometry", '{"seed": 5}')).how
    assert "material" in drift_of(recorded, begun("g" * MOST_SAID, "material", '{"seed": 0}')).how


def test_what_is_said_of_a_request_does_not_hold_it_twice():
    asked = describe(conversation("x" * 100_000, *["y" * 100_000] * 20))
    assert len(asked.model_dump_json()) < MOST_SAID + 2000


def test_a_recording_without_descriptions_says_less():
    drift = drift_of(recording(request(), described=False), request(said="Other."))
    assert drift == Drift(how="the recording does not tell how", begins_here=True)


def test_a_replay_can_itself_be_replayed():
    drifted = recording(request()).reply(request(said="Other."))
    again = RecordedModel({reply_key(request()): RecordedReply(reply=drifted, asked=describe(request()))})
    assert again.reply(request()).drift is None


def test_a_place_that_was_never_reached_is_named_with_what_differed_before():
    model = recording(request())
    with pytest.raises(ConfigurationError, match=r"no reply at -1/geometry/2/verifier/1 \(rollout[^|]*call\)\."):
        model.reply(request(ordinal=1))
    model.reply(request(said="Other."))
    with pytest.raises(ConfigurationError, match="what differed before it: -1/geometry/2/verifier/0: message 1"):
        model.reply(request(ordinal=1))


def test_an_empty_recording_says_so():
    with pytest.raises(ConfigurationError, match="holds no replies"):
        recording().reply(request())
