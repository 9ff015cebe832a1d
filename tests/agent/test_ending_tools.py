"""What ends a conversation is checked by machine: a graph covers the picture, a plan comes first, tickets go back."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from agent.config import Config
from agent.evaluation.comparison import RULER_PX
from agent.models.base import ToolCall
from agent.picture import read_reference
from agent.stages.table import CAMERA, MONOLITHIC, REFINING
from agent.tools.table import TABLE, Toolbox, tools_of
from agent.tools.workbench import Ticket, Workbench

GEOMETRY, _, _, LIGHTING = REFINING


def told(outcome):
    return json.loads(outcome.content[0].text)


def submit(mask, *boxes):
    nodes = [
        {"name": f"Part{n}", "kind": "part", "description": "a thing", "picture_box": box}
        for n, box in enumerate(boxes)
    ]
    given = {"environment": "white", "nodes": nodes, "complete": True}
    toolbox = Toolbox("decomposition", "decomposer", SimpleNamespace(mask=mask))
    return toolbox.use(ToolCall(id="1", name="submit_scene_graph", input=given))


def two_things():
    mask = np.zeros((100, 200), dtype=bool)
    mask[20:80, 20:60] = mask[20:80, 140:180] = True
    return mask


def test_a_graph_that_leaves_out_what_a_cut_out_shows_is_refused_with_how_much_and_where():
    outcome = submit(two_things(), [0.1, 0.2, 0.3, 0.8])
    assert outcome.is_error and outcome.product is None
    (problem,) = told(outcome)["problems"]
    assert problem.startswith("50% of what the picture shows") and "(0.80, 0.49)" in problem


def test_a_graph_that_covers_a_cut_out_up_to_what_eyes_miss_is_accepted():
    assert submit(two_things(), [0.1, 0.2, 0.3, 0.8], [0.71, 0.22, 0.9, 0.8]).product is not None


def test_a_full_picture_may_show_what_belongs_to_no_part():
    assert submit(None, [0.1, 0.2, 0.3, 0.8]).product is not None


@pytest.mark.parametrize("box", [[0.5, 0, 0.4, 1], [0, 0, 1.2, 1], [0, -0.1, 1, 1], [0, 0.3, 1, 0.3]])
def test_a_box_that_is_none_is_refused(box):
    assert "picture_box" in json.dumps(told(submit(None, box)))


def test_parts_of_the_picture_can_be_looked_at_before_a_graph_is_handed_in(tmp_path):
    picture = Image.new("RGB", (200, 100), "navy")
    picture.paste((200, 30, 20), (100, 50, 120, 60))
    picture.save(tmp_path / "p.png")
    toolbox = Toolbox("decomposition", "decomposer", read_reference(tmp_path / "p.png"))
    outcome = toolbox.use(ToolCall(id="1", name="reference", input={"region": [0.5, 0.5, 0.6, 0.6]}))
    shown = Image.open(io.BytesIO(outcome.content[1].png))
    assert shown.getpixel((RULER_PX + 300, RULER_PX + 100)) == (200, 30, 20) and outcome.product is None


def test_who_builds_from_words_alone_has_no_tool_that_shows_the_reference():
    def shows(stage, role):
        return {"compare", "reference"} & set(tools_of(stage, role, Config(text_only_scaffold=True)))

    assert not shows("initialisation", "generator")
    assert all(shows(*key) for key in TABLE if key[1] != "selector" and key != ("initialisation", "generator"))


def test_all_refining_generators_have_the_same_tools_in_the_same_order():
    """Else the service would read none of a conversation's beginning from its cache."""
    assert len({TABLE[stage.name, "generator"] for stage in (*REFINING, MONOLITHIC, CAMERA)}) == 1


@pytest.mark.parametrize("name", ["run_code", "fit"])
def test_nothing_is_built_before_a_plan_was_handed_in(name):
    toolbox = Toolbox("initialisation", "generator", SimpleNamespace(plan=None))
    outcome = toolbox.use(ToolCall(id="1", name=name, input={"purpose": "x", "code": "y"}))
    assert outcome.is_error and "plan" in told(outcome)["error"]


def test_a_plan_is_carried_on_and_an_empty_one_is_none():
    toolbox = Toolbox("initialisation", "generator", SimpleNamespace(plan=None))
    assert toolbox.use(ToolCall(id="1", name="submit_plan", input={"plan": "box first"})).plan == "box first"
    assert toolbox.use(ToolCall(id="1", name="submit_plan", input={"plan": " \n"})).is_error


def judge(*tickets):
    given = {"items": [], "critique": "", "decision": "approve", "tickets": list(tickets)}
    return Toolbox("lighting", "verifier", None).use(ToolCall(id="1", name="verdict", input=given))


def test_a_verdict_may_ask_something_of_the_four_refining_stages_and_of_no_other():
    for stage in REFINING:
        assert judge({"stage": stage.name, "text": "Cup: too tall by a third"}).product is not None
    assert judge({"stage": "camera", "text": "x"}).is_error


def bench(tickets):
    return Workbench(
        SimpleNamespace(), None, None, (), [Ticket(stage=of, by=by, text=text) for of, by, text in tickets]
    )


def test_a_stage_is_told_once_what_earlier_ones_ask_of_it():
    made = bench([("lighting", "geometry", "the lamp is off"), ("geometry", "lighting", "too tall")])
    assert [(one.stage, one.text) for one in made.asked_of(LIGHTING)] == [("geometry, verifier", "the lamp is off")]
    assert made.asked_of(LIGHTING) == []
    assert [one.stage for one in made.tickets] == ["geometry"]


def test_a_reopened_stage_keeps_its_tickets_as_its_checklist():
    made = bench([("geometry", "lighting", "too tall")])
    assert made.asked_of(GEOMETRY.model_copy(update={"reopened": True})) == []
    assert len(made.tickets) == 1


def test_what_a_stage_asks_of_itself_or_twice_is_no_ticket():
    made = bench([("geometry", "material", "too tall")])
    made.file(
        [
            Ticket(stage="lighting", by="lighting", text="x"),
            Ticket(stage="geometry", by="lighting", text="too tall"),
            Ticket(stage="geometry", by="lighting", text="too wide"),
        ]
    )
    assert [one.text for one in made.tickets] == ["too tall", "too wide"]


def test_a_reopened_stage_has_a_label_of_its_own():
    assert (GEOMETRY.label, GEOMETRY.model_copy(update={"reopened": True}).label) == ("geometry", "geometry_again")
