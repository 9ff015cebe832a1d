"""A conversation ends by a tool, is remembered call by call, and cannot be dragged on."""

import json
from types import SimpleNamespace

import pytest
from scripted_model import GRAPH, ScriptedModel

from agent.config import Budget, Config
from agent.console import Console
from agent.conversation import CONCLUDING, converse
from agent.models.base import Message, ModelReply, Place, Text, ToolCall, Usage
from agent.runs.budget import BudgetReached, Ledger
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal
from agent.tools.table import ALL, TABLE, Toolbox

GRAPHER = Place(rollout=0, stage="decomposition", round=1, role="decomposer", ordinal=0)


@pytest.fixture
def world(tmp_path):
    def make(model, budget=None):
        return SimpleNamespace(
            config=Config(),
            folder=RunFolder(tmp_path),
            journal=Journal(tmp_path),
            ledger=Ledger(tmp_path / "ledger.jsonl", budget or Budget()),
            console=Console(),
            model=model,
        )

    return make


def talk(world, script, most_calls=5):
    model = ScriptedModel({("decomposition", "decomposer"): script})
    messages = [Message(role="user", content=(Text(text="decompose"),))]
    toolbox = Toolbox("decomposition", "decomposer", SimpleNamespace(mask=None))
    product = converse(world(model), GRAPHER, "system", messages, toolbox, most_calls)
    return product, messages, model


def told(message):
    return json.loads(message.content[0].content[0].text)


def test_a_valid_graph_ends_the_conversation_with_it(world):
    product, messages, _ = talk(world, [("submit_scene_graph", GRAPH)])
    assert [node["name"] for node in product["graph"]["nodes"]] == ["Box", "Lid"]
    assert told(messages[-1]) == {"accepted": True, "problems": []}


def test_an_invalid_graph_is_told_and_tried_again(world):
    twice = {**GRAPH, "nodes": [GRAPH["nodes"][0]] * 2}
    product, messages, _ = talk(world, [("submit_scene_graph", twice), ("submit_scene_graph", GRAPH)])
    assert product is not None
    assert "unique" in told(messages[2])["problems"][0]
    assert messages[2].content[0].is_error


def test_a_tool_that_the_role_does_not_have_is_refused_by_name(world):
    product, messages, _ = talk(world, [("run_code", {"purpose": "x", "code": "y"})])
    assert told(messages[2])["error"].startswith("there is no tool 'run_code' here")
    assert product is not None


def test_malformed_input_is_told_by_field(world):
    _, messages, _ = talk(world, [("submit_scene_graph", {"environment": 3})])
    assert "nodes" in told(messages[2])["error"]


def test_words_where_a_tool_is_needed_are_answered_and_end_after_three(world):
    product, messages, model = talk(world, [("say", {"text": "hm"})] * 9, most_calls=9)
    assert product is None
    assert len(model.requests) == 3
    assert "submit_scene_graph" in messages[2].content[0].text


def test_on_the_last_call_the_model_is_told_and_only_what_ends_the_conversation_works(world):
    other = {**GRAPH, "nodes": []}
    product, messages, model = talk(world, [("submit_scene_graph", other)] * 9, most_calls=2)
    assert product is None
    said = [block.text for message in messages for block in message.content if block.type == "text"]
    assert sum("Your calls for this pass are used up" in text for text in said) == 1
    assert [request.tools for request in model.requests] == [model.requests[0].tools] * (2 + CONCLUDING)
    call = ToolCall(id="1", name="look", input={})
    refused = Toolbox("geometry", "verifier", None).use(call, last=True)
    assert json.loads(refused.content[0].text)["may_still_be_called"] == ["verdict"]


def test_an_end_that_was_not_accepted_on_the_last_call_can_still_be_mended(world):
    product, _, model = talk(world, [("submit_scene_graph", {**GRAPH, "nodes": []})] * 2, most_calls=2)
    assert product is not None
    assert len(model.requests) == 3


def test_a_conversation_does_not_end_in_a_reply_whose_other_call_failed(world):
    class Hasty(ScriptedModel):
        def reply(self, request):
            reply = super().reply(request)
            if request.place.ordinal:
                return reply
            failing = ToolCall(id="x", name="fly", input={})
            return reply.model_copy(update={"content": (failing, *reply.content)})

    messages = [Message(role="user", content=(Text(text="decompose"),))]
    model = Hasty({("decomposition", "decomposer"): [("submit_scene_graph", GRAPH)] * 2})
    toolbox = Toolbox("decomposition", "decomposer", SimpleNamespace(mask=None))
    assert converse(world(model), GRAPHER, "s", messages, toolbox, 5) is not None
    assert len(model.requests) == 2
    assert [result.is_error for result in messages[2].content] == [True, True]


def test_no_verifier_can_edit():
    edits = {"run_code", "revert", "fit"}
    assert not any(edits & set(tools) for (_, role), tools in TABLE.items() if role != "generator")
    assert {name for tools in TABLE.values() for name in tools} == set(ALL)


def test_a_resumed_conversation_asks_for_no_recorded_reply_again(world):
    bad = {**GRAPH, "nodes": []}
    first, _, asked = talk(world, [("submit_scene_graph", bad), ("submit_scene_graph", GRAPH)])
    assert len(asked.requests) == 2
    again, _, asked = talk(world, [])
    assert again == first
    assert asked.requests == []


def test_a_used_up_budget_stops_before_the_next_call_also_in_the_next_process(world):
    model = ScriptedModel({("decomposition", "decomposer"): [("say", {"text": "hm"})] * 5})
    budget = Budget(calls=2)
    for _ in range(2):
        messages = [Message(role="user", content=(Text(text="decompose"),))]
        with pytest.raises(BudgetReached, match="2 calls"):
            converse(
                world(model, budget),
                GRAPHER,
                "system",
                messages,
                Toolbox("decomposition", "decomposer", SimpleNamespace(mask=None)),
                9,
            )
        assert len(model.requests) == 2


def test_a_refusal_ends_the_conversation_without_a_product(world):
    class Refusing:
        name = "refusing"

        def worst_case(self, request):
            return Usage(usd=0.0)

        def reply(self, request):
            return ModelReply(content=(Text(text="no"),), stop="refusal", model="refusing")

    messages = [Message(role="user", content=(Text(text="decompose"),))]
    assert (
        converse(
            world(Refusing()),
            GRAPHER,
            "s",
            messages,
            Toolbox("decomposition", "decomposer", SimpleNamespace(mask=None)),
            5,
        )
        is None
    )
