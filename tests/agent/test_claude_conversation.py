"""Proves that a conversation outlives whatever the service sends: each mishap is told, and the next reply used.

Over real HTTP, from the loop that uses tools down to the bytes that the service gets.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from scripted_model import GRAPH

from agent.config import Budget, Config
from agent.console import Console
from agent.conversation import converse
from agent.errors import ModelRefused, ModelUnavailable
from agent.models.base import Message, Place, Text
from agent.models.claude import KEY_FILE, Claude, ClaudeSettings
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal, read_journal
from agent.tools.table import Toolbox
from tests.fakes.messages_api import Answer, Drop, Fault, MessagesApi, messages_api, text, tool_use

HANDS_IN = Answer([tool_use("submit_scene_graph", id="good", **GRAPH)])
THOUGHT = {"type": "thinking", "thinking": "Well,", "signature": ""}


@pytest.fixture
def api(monkeypatch):
    monkeypatch.delenv(KEY_FILE, raising=False)
    with messages_api() as served:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", served.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "local")
        yield served


@pytest.fixture
def talk(tmp_path, api):
    def talk(*answers, most_calls=6, **settings):
        api.will(*answers)
        run = SimpleNamespace(
            config=Config(),
            folder=RunFolder(tmp_path),
            journal=Journal(tmp_path),
            ledger=Ledger(tmp_path / "ledger.jsonl", Budget()),
            console=Console(),
            model=Claude(ClaudeSettings(**settings), sleep=lambda seconds: None),
        )
        place = Place(rollout=0, stage="decomposition", round=1, role="decomposer", ordinal=0)
        messages = [Message(role="user", content=(Text(text="Decompose it."),))]
        return converse(
            run,
            place,
            "You decompose.",
            messages,
            Toolbox("decomposition", "decomposer", SimpleNamespace(mask=None)),
            most_calls,
        )

    return talk


def told(api: MessagesApi, number=1):
    """What the service was told in answer to its reply before this request."""
    return json.dumps(api.bodies[number]["messages"][-1]["content"])


MISHAPS = {
    "an unknown tool": (Answer([tool_use("fly", id="a", to="Mars")]), "there is no tool 'fly' here"),
    "input of another form": (Answer([tool_use("submit_scene_graph", id="a", environment=3)]), "nodes: Field required"),
    "input that is no object": (Answer([{**tool_use("submit_scene_graph"), "input": ["x"]}]), "nodes: Field required"),
    "an empty reply": (Answer([]), "called no tool"),
    "text where a tool was required": (Answer([text("Here is my graph: a box.")]), "called no tool"),
    "a call cut off at the length limit": (
        Answer([tool_use("submit_scene_graph", environment="a roo")], stop_reason="max_tokens"),
        "cut off at its length limit",
    ),
    "a thought cut off at the length limit": (Answer([THOUGHT], stop_reason="max_tokens"), "cut off at its length"),
}


@pytest.mark.parametrize("mishap", MISHAPS)
def test_a_mishap_is_told_and_the_next_reply_used(talk, api, mishap):
    answer, words = MISHAPS[mishap]
    product = talk(answer, HANDS_IN)
    assert [node["name"] for node in product["graph"]["nodes"]] == ["Box", "Lid"]
    assert words in told(api)
    assert len(api.bodies) == 2


@pytest.mark.parametrize("mishap", MISHAPS)
def test_what_goes_back_is_what_the_service_takes(talk, api, mishap):
    """Turns alternate, none is empty, every call has its result, and no message of the model ends with a thought."""
    talk(MISHAPS[mishap][0], HANDS_IN)
    messages = api.bodies[1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert all(message["content"] for message in messages)
    assert messages[1]["content"][-1]["type"] in ("text", "tool_use")
    called = [block["id"] for block in messages[1]["content"] if block["type"] == "tool_use"]
    answered = [block["tool_use_id"] for block in messages[2]["content"] if block["type"] == "tool_result"]
    assert called == answered


PASSING = {
    "a rate limit": Fault(429, "rate_limit_error", headers={"retry-after": "3"}),
    "overload": Fault(529, "overloaded_error"),
    "a timeout": Answer(delay_s=30),
    "a reset connection": Drop(),
    "a stream that is dropped": Answer([tool_use("submit_scene_graph", **GRAPH)], cut_after=3),
    "input that is no JSON": Answer([tool_use("submit_scene_graph", **GRAPH)], broken_input='{"nodes": [}'),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_of_the_service_is_waited_out_and_leaves_no_trace_in_the_conversation(talk, api, fault, tmp_path):
    product = talk(PASSING[fault], HANDS_IN, silence_s=0.5)
    assert product is not None
    assert api.bodies[0] == api.bodies[1] and len(api.bodies) == 2
    replies = [one for one in read_journal(tmp_path / "journal.jsonl") if one.get("key", "").startswith("reply/")]
    assert [one["value"]["retries"] for one in replies if one["event"] == "step"] == [1]
    [line] = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["http"] == [getattr(PASSING[fault], "status", 0)]


def test_a_refusal_ends_the_conversation_and_not_the_run(talk, api):
    assert talk(Answer([text("I will not.")], stop_reason="refusal")) is None
    assert len(api.bodies) == 1


def test_a_service_that_stays_away_can_be_asked_again_by_resuming(talk, api, tmp_path):
    api.always = Fault(529, "overloaded_error", headers={"retry-after": "60"})
    with pytest.raises(ModelUnavailable):
        talk(patience_s=1.0)
    assert Journal(tmp_path).in_flight == {}, "nothing is booked as lost"
    api.always = HANDS_IN
    assert talk() is not None


def test_a_refused_key_ends_the_run_at_once(talk, api):
    with pytest.raises(ModelRefused):
        talk(Fault(401, "authentication_error"))
    assert len(api.bodies) == 1
