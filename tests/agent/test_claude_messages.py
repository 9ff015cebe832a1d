"""Proves what is said to the service: the same bytes for the same beginning, marks that hit, pictures that fit."""

from __future__ import annotations

import base64
import io
import itertools
import json

import pytest
from PIL import Image

from agent.models import claude_messages
from agent.models.base import Message, ModelRequest, Picture, Place, Text, Thought, ToolCall, ToolResult, ToolSpec
from agent.models.claude import Claude, ClaudeSettings
from agent.models.claude_messages import NOTHING, dropped_pictures, most_tokens, request_body, sized
from tests.fakes.messages_api import Answer, messages_api, tool_use

TOOLS = tuple(
    ToolSpec(name=name, description=f"{name}: " + "what it does. " * 40, schema_={}) for name in ("look", "end")
)


def png(width=64, height=48, color=(200, 30, 30), mode="RGB"):
    written = io.BytesIO()
    Image.new(mode, (width, height), color).save(written, "PNG")
    return written.getvalue()


def picture(caption="target view", **size):
    return Picture(png=png(**size), caption=caption)


def opening():
    return Message(role="user", content=(picture("reference"), Text(text="Build it. " * 300)))


def turn(number, calls=1):
    """What the model said, and what its tools answered."""
    names = [f"t{number}_{call}" for call in range(calls)]
    said = (Thought(model="m", block={"type": "thinking", "thinking": "", "signature": f"s{number}"}),)
    said += tuple(ToolCall(id=name, name="look", input={"b": 1, "a": 2}) for name in names)
    told = tuple(ToolResult(call_id=name, content=(Text(text='{"psnr_db": 9}'), picture())) for name in names)
    return Message(role="assistant", content=said), Message(role="user", content=told)


def conversation(turns, calls=1):
    return (opening(), *(message for number in range(turns) for message in turn(number, calls)))


def request(messages, system="You build. " * 200):
    place = Place(rollout=-1, stage="geometry", round=1, role="generator", ordinal=0)
    return ModelRequest(place=place, system=system, messages=tuple(messages), tools=TOOLS, seed=0)


def unmarked(value):
    if isinstance(value, dict):
        return {key: unmarked(inner) for key, inner in value.items() if key != "cache_control"}
    return [unmarked(inner) for inner in value] if isinstance(value, list) else value


def marks(body):
    blocks = [*body["tools"], *body["system"], *(block for message in body["messages"] for block in message["content"])]
    return [block for block in blocks if "cache_control" in block]


def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter():
    bodies = [unmarked(request_body(request(conversation(turns)), "m", "5m")) for turns in range(6)]
    for short, long in itertools.pairwise(bodies):
        assert json.dumps(long["tools"]) == json.dumps(short["tools"])
        assert json.dumps(long["system"]) == json.dumps(short["system"])
        assert json.dumps(long["messages"]).startswith(json.dumps(short["messages"])[:-1])


@pytest.mark.parametrize("turns", [0, 1, 2, 7])
def test_marks_lie_on_system_first_message_and_the_two_last(turns):
    body = request_body(request(conversation(turns)), "m", "5m")
    users = [message for message in body["messages"] if message["role"] == "user"]
    expected = [body["system"][-1], users[0]["content"][-1]]
    expected += [message["content"][-1] for message in users[1:][-2:]]
    assert [id(block) for block in marks(body)] == [id(block) for block in expected]
    assert len(marks(body)) <= 4


def test_an_hour_is_asked_for_only_when_set():
    assert marks(request_body(request(conversation(1)), "m", "1h"))[0]["cache_control"] == {
        "type": "ephemeral",
        "ttl": "1h",
    }
    assert marks(request_body(request(conversation(1)), "m", "5m"))[0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(("turns", "calls"), [(12, 1), (5, 15)])
def test_what_was_sent_before_is_read_from_the_cache(monkeypatch, turns, calls):
    """Also when one turn adds more blocks than the service looks back over."""
    with messages_api() as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "local")
        model = Claude(ClaudeSettings(model="m"))
        for turn_count in range(turns):
            model.reply(request(conversation(turn_count, calls)))
    sent = [sum(usage.values()) - usage["output_tokens"] for usage in api.usages]
    read = [usage["cache_read_input_tokens"] for usage in api.usages]
    assert read == [0, *sent[:-1]]
    assert calls > 1 or sum(read) / sum(sent) >= 0.7


def test_a_second_verifier_reads_tools_and_system_from_the_cache(monkeypatch):
    with messages_api() as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "local")
        model = Claude(ClaudeSettings(model="m"))
        for number in (1, 2):
            model.reply(request([Message(role="user", content=(Text(text=f"Judge round {number}."),))]))
    assert api.usages[1]["cache_read_input_tokens"] >= len("You build. " * 200) // 4


def test_a_tools_answer_and_its_picture_stay_together():
    content = request_body(request(conversation(1)), "m", "5m")["messages"][2]["content"]
    (result,) = unmarked(content)
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "t0_0")
    assert "is_error" not in result
    assert [block["type"] for block in result["content"]] == ["text", "text", "image"]
    assert result["content"][1]["text"] == "[target view]"


def test_results_come_before_anything_else_and_failures_are_said():
    message = Message(role="user", content=(Text(text="And now?"), ToolResult(call_id="x", content=(), is_error=True)))
    first, second = request_body(request([opening(), turn(0)[0], message]), "m", "5m")["messages"][2]["content"]
    assert first == {
        "type": "tool_result",
        "tool_use_id": "x",
        "is_error": True,
        "content": [{"type": "text", "text": NOTHING}],
    }
    assert second["text"] == "And now?"


def test_what_is_said_in_one_breath_is_one_message():
    """So that the last but one is always where the request before had its last mark."""
    messages = [*conversation(1), Message(role="user", content=(Text(text="Round 2."),))]
    sent = request_body(request(messages), "m", "5m")["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert [block["type"] for block in sent[2]["content"]] == ["tool_result", "text"]


def test_nothing_empty_is_sent():
    messages = [opening(), Message(role="assistant", content=()), Message(role="user", content=(Text(text="  "),))]
    sent = unmarked(request_body(request(messages), "m", "5m")["messages"])
    assert [message["content"] for message in sent[1:]] == [[{"type": "text", "text": NOTHING}]] * 2


def test_thoughts_of_another_model_stay_here():
    body = request_body(request(conversation(1)), "another", "5m")
    assert "thinking" not in {block["type"] for block in body["messages"][1]["content"]}


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def shown(png_bytes):
    with Image.open(io.BytesIO(png_bytes)) as image:
        image.load()
        return image


def test_a_small_opaque_picture_is_sent_as_it_is():
    assert sized(png()) == png()


def test_a_large_picture_is_scaled_to_what_the_service_takes():
    assert shown(sized(png(4000, 1000))).size == (1568, 392)


def test_a_cut_out_is_laid_on_white():
    image = shown(sized(png(8, 8, (255, 0, 0, 0), "RGBA")))
    assert (image.mode, image.getpixel((3, 3))) == ("RGB", (255, 255, 255))


def test_pictures_travel_as_png():
    source = request_body(request([opening()]), "m", "5m")["messages"][0]["content"][1]["source"]
    assert source["media_type"] == "image/png"
    assert shown(base64.b64decode(source["data"])).size == (64, 48)


def test_old_pictures_give_way_in_few_large_steps(monkeypatch):
    monkeypatch.setattr(claude_messages, "MOST_PICTURES", 10)
    sets = [dropped_pictures(conversation(turns)) for turns in range(60)]
    assert all(0 not in dropped for dropped in sets)
    assert all(1 + turns - len(dropped) <= 11 for turns, dropped in enumerate(sets))
    assert all(earlier <= later for earlier, later in itertools.pairwise(sets))
    assert len(set(sets)) <= 60 / 5 + 1


def test_a_picture_that_gave_way_leaves_its_caption(monkeypatch):
    monkeypatch.setattr(claude_messages, "MOST_PICTURES", 2)
    body = request_body(request(conversation(3)), "m", "5m")
    said = json.dumps(body)
    assert said.count("[target view: picture no longer kept]") == 2
    assert said.count('"image"') == 2
    assert '"thinking"' not in said  # they belong to a conversation that has changed


def test_many_bytes_of_pictures_give_way_too(monkeypatch):
    monkeypatch.setattr(claude_messages, "MOST_PICTURE_BYTES", 3 * len(png()))
    assert dropped_pictures(conversation(4)) == {1, 2}


def test_a_malformed_tool_input_becomes_an_empty_one(monkeypatch):
    with messages_api() as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "local")
        api.will(Answer([{**tool_use("look"), "input": ["no", "object"]}]))
        assert Claude().reply(request([opening()])).content == (ToolCall(id="toolu_1", name="look", input={}),)


def test_the_most_that_a_request_can_hold_is_estimated_upwards_from_texts_and_picture_sizes():
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (1500).to_bytes(4) + (1000).to_bytes(4) + bytes(9000))
    source = {"type": "base64", "media_type": "image/png", "data": picture.decode()}
    body = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    assert 2000 <= most_tokens(body) < 2100
    assert most_tokens({"system": "word " * 10_000}) >= 20_000


# ── between conversations ─────────────────────────────────────────────────────────────────────────────────────────────
def opened(common, own, graph="the graph. " * 90, turns=0, task="Build it. " * 200):
    """A stage's conversation, as a briefing begins it."""
    fixed = (picture("reference"), Text(text=graph, lasting=True), Text(text=own * 60, lasting=True))
    first = Message(role="user", content=(*fixed, picture("the scene as it stands"), Text(text=task)))
    messages = (first, *conversation(turns)[1:])
    return request(messages, system=common * 200)


def read_of(requests, monkeypatch):
    """Tokens that each request reads from the cache, and that it says in all."""
    with messages_api() as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "local")
        model = Claude(ClaudeSettings(model="m"))
        for one in requests:
            model.reply(one)
    sizes = [sum(usage.values()) - usage["output_tokens"] for usage in api.usages]
    return [usage["cache_read_input_tokens"] for usage in api.usages], sizes, api.bodies


def up_to_mark(body, number):
    """The bytes that the service keeps under a mark, counted from 0."""
    said = ""
    for block in [*body["tools"], *body["system"], *(b for message in body["messages"] for b in message["content"])]:
        said += json.dumps(unmarked(block))
        if "cache_control" in block:
            if not number:
                return said
            number -= 1
    raise AssertionError("no such mark")


def test_the_first_requests_of_two_stages_share_their_bytes_up_to_reference_and_graph(monkeypatch):
    read, sizes, bodies = read_of([opened("all. ", "geometry. "), opened("all. ", "material. ")], monkeypatch)
    assert up_to_mark(bodies[0], 1) == up_to_mark(bodies[1], 1)
    assert "the graph." in up_to_mark(bodies[1], 1) and "material." not in up_to_mark(bodies[1], 1)
    assert read[1] >= sizes[1] - len("material. " * 60 + "Build it. " * 200) // 4 - 100


def test_two_conversations_of_a_stage_share_its_own_words_too(monkeypatch):
    requests = [opened("all. ", "geometry. ", turns=2), opened("all. ", "geometry. ", task="Judge again. ")]
    read, sizes, bodies = read_of([opened("all. ", "geometry. "), *requests], monkeypatch)
    assert up_to_mark(bodies[0], 2) == up_to_mark(bodies[2], 2)
    assert "geometry." in up_to_mark(bodies[2], 2) and "Judge again." not in up_to_mark(bodies[2], 2)
    assert read[2] >= sizes[2] - 100


def test_another_graph_leaves_the_system_prompt_to_be_read(monkeypatch):
    """As in rollouts, each of which has a graph of its own."""
    read, _, _ = read_of([opened("all. ", "begin. "), opened("all. ", "begin. ", graph="Another one.")], monkeypatch)
    assert read[1] >= len("all. " * 200) // 4


def test_there_are_never_more_than_four_marks_and_each_is_used_once():
    for turns in range(5):
        placed = marks(request_body(opened("all. ", "own. ", turns=turns), "m", "5m"))
        assert len(placed) == 4
        assert placed[-1]["type"] == ("tool_result" if turns else "text")


def test_when_old_pictures_give_way_what_is_fixed_is_still_read(monkeypatch):
    monkeypatch.setattr(claude_messages, "MOST_PICTURES", 2)
    requests = [opened("all. ", "own. ", turns=turns) for turns in range(4)]
    read, _, _ = read_of(requests, monkeypatch)
    assert all(one >= len("all. " * 200 + "own. " * 60 + "the graph. " * 90) // 4 for one in read[1:])


def test_a_reply_cut_off_in_its_thought_goes_back_as_nothing_said():
    """The service takes no message of the model that ends with a thought."""
    thought = Thought(model="m", block={"type": "thinking", "thinking": "Hm", "signature": ""})
    body = request_body(request([opening(), Message(role="assistant", content=(thought,)), opening()]), "m", "5m")
    assert body["messages"][1]["content"] == [{"type": "text", "text": NOTHING}]
