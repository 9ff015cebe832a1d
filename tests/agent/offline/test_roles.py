"""The offline model's roles, driven through conversations without a Blender."""

import pytest
from driving import Tools, after, begin, graph_of, play, png_of
from pictures import awkward, blocks, patchwork, ring, table

from agent.models.offline import OfflineModel
from agent.scene_graph import SceneGraph

STAGES = ("initialisation", "geometry", "material", "composition", "lighting", "camera")
PICTURES = {"blocks": (blocks(), "cutout"), "ring": (ring(), "cutout"), "table": (table(), "full"), **awkward()}


def run_through(png, kind):
    """Every reply of a whole run."""
    model, tools = OfflineModel(), Tools(png)
    graph = graph_of(model, png, kind)
    known = {"environment": graph["environment"], "nodes": graph["nodes"]}
    said = [graph]
    for stage in STAGES:
        for role in ("generator", "verifier"):
            if (stage, role) != ("camera", "verifier"):
                calls, _ = play(model, begin(stage, role, png, kind, known), tools)
                said += [call.model_dump() for call in calls]
    return said


@pytest.mark.parametrize("name", PICTURES)
def test_every_role_comes_to_an_end_whatever_the_picture(name):
    pixels, kind = PICTURES[name]
    said = run_through(png_of(pixels), kind)
    graph = SceneGraph(environment=said[0]["environment"], nodes=said[0]["nodes"])
    assert list(graph.leaves())
    assert sum(one.get("name") == "finish" for one in said) == len(STAGES)


@pytest.mark.parametrize("name", ["blocks", "table", "dust"])
def test_the_same_picture_and_seed_get_the_same_replies(name):
    pixels, kind = PICTURES[name]
    assert run_through(png_of(pixels), kind) == run_through(png_of(pixels), kind)


@pytest.mark.parametrize("stage", STAGES)
def test_a_fresh_model_gives_the_same_reply_to_a_conversation_in_its_middle(stage):
    png = png_of(blocks())
    graph = graph_of(OfflineModel(), png)
    first = begin(stage, "generator", png, graph={"environment": graph["environment"], "nodes": graph["nodes"]})
    calls, requests = play(OfflineModel(), first, Tools(png))
    for call, request in zip(calls, requests, strict=True):
        assert OfflineModel().reply(request).content[0] == call


def test_the_same_conversation_may_be_asked_twice():
    png, model = png_of(blocks()), OfflineModel()
    _, requests = play(model, begin("material", "generator", png, graph=None), Tools(png))
    twice = [(model.reply(request), model.reply(request)) for request in requests]
    assert all(one == other for one, other in twice)


def test_rollouts_differ():
    png = png_of(patchwork())
    graphs = [graph_of(OfflineModel(), png, rollout=rollout) for rollout in range(3)]
    assert len({len(graph["nodes"]) for graph in graphs}) == 3


def test_a_later_stage_reads_the_picture_as_the_chosen_rollout_did():
    png = png_of(patchwork())
    graph = graph_of(OfflineModel(), png, rollout=2)
    known = {"environment": graph["environment"], "nodes": graph["nodes"]}
    calls, _ = play(OfflineModel(), begin("geometry", "generator", png, graph=known, rollout=-1), Tools(png))
    code = next(call.input["code"] for call in calls if call.name == "run_code")
    assert all(f"reshape({node['name']!r}" in code for node in graph["nodes"] if node["kind"] == "part")


def test_it_names_parts_by_colour_and_shape():
    graph = graph_of(OfflineModel(), png_of(blocks()))
    assert {node["name"] for node in graph["nodes"]} >= {"red_ball", "green_box"}


def test_parts_of_one_silhouette_form_a_group():
    graph = graph_of(OfflineModel(), png_of(blocks()))
    parents = {node["name"]: node["parent"] for node in graph["nodes"]}
    assert parents["red_ball"] is None
    assert parents["green_box"] == "green_box_group"


def test_a_full_picture_has_a_ground_and_a_wall():
    graph = graph_of(OfflineModel(), png_of(table()), "full")
    assert {"Ground", "Wall"} <= {node["name"] for node in graph["nodes"]}


def test_it_says_what_it_is():
    assert "offline model" in graph_of(OfflineModel(), png_of(blocks()))["environment"]


def test_an_edit_that_makes_the_picture_worse_is_taken_back():
    png = png_of(blocks())

    class Worse(Tools):
        def __call__(self, call):
            self._psnr -= 2.0 if call.name == "run_code" else 0.0
            return super().__call__(call)

    calls, _ = play(OfflineModel(), begin("geometry", "generator", png), Worse(png))
    assert [call.name for call in calls] == ["measure", "run_code", "revert", "finish"]


def test_a_refused_edit_ends_the_attempt_in_peace():
    png = png_of(blocks())

    class Refusing(Tools):
        def __call__(self, call):
            return super().__call__(call) if call.name != "run_code" else ({"result": "violation", "message": "no"},)

    for stage in STAGES:
        calls, _ = play(OfflineModel(), begin(stage, "generator", png), Refusing(png))
        assert calls[-1].name == "finish"


def test_the_last_call_allowed_is_an_ending():
    png = png_of(blocks())
    request = begin("geometry", "generator", png)
    only_finish = request.model_copy(update={"tools": tuple(t for t in request.tools if t.name == "finish")})
    assert OfflineModel().reply(only_finish).content[0].name == "finish"


def test_the_selector_takes_the_best_figures():
    png = png_of(blocks())
    request = begin("selection", "selector", png)
    from agent.models.base import Message, Picture, Text

    shown = []
    for letter, psnr in (("A", 18.0), ("B", 22.0), ("C", 20.0)):
        facts = f'{{"candidate": "{letter}", "measures": {{"psnr_db": {psnr}, "ssim": 0.8, "iou": null}}}}'
        shown += [Picture(png=png, caption=f"candidate {letter}"), Text(text=facts)]
    reference, task = request.messages[0].content
    message = Message(role="user", content=(reference, *shown, task))
    reply = OfflineModel().reply(request.model_copy(update={"messages": (message,)}))
    assert reply.content[0].input["candidate"] == "B"


def test_the_verifier_states_what_is_wrong_and_withdraws_what_stays_so():
    png = png_of(blocks())
    graph = graph_of(OfflineModel(), png)
    known = {"environment": graph["environment"], "nodes": graph["nodes"]}
    first, _ = play(OfflineModel(), begin("geometry", "verifier", png, graph=known), Tools(png))
    assert first[-1].input["decision"] == "revise"
    items = [{**item, "id": n} for n, item in enumerate(first[-1].input["items"], start=1)]
    again = begin("geometry", "verifier", png, graph=known, number=2, previous_checklist=items)
    second, _ = play(OfflineModel(), again, Tools(png))
    assert second[-1].input["decision"] == "approve"
    assert {item["id"] for item in second[-1].input["items"]} == {item["id"] for item in items}
    assert any(item["withdrawn"] for item in second[-1].input["items"])


def test_a_later_round_is_its_own_task():
    png = png_of(blocks())
    _, requests = play(OfflineModel(), begin("material", "generator", png), Tools(png))
    ended = after(requests[-1], OfflineModel().reply(requests[-1]), ({"ok": True},))
    again = begin("material", "generator", png, number=2)
    told = again.messages[0].model_copy(update={"content": again.messages[0].content[1:]})
    place = ended.place.model_copy(update={"round": 2, "ordinal": 0})
    request = ended.model_copy(update={"messages": (*ended.messages, told), "place": place})
    assert OfflineModel().reply(request).content[0].name == "measure"


def test_a_second_round_of_colours_tints_what_is_off():
    png = png_of(blocks())

    class Off(Tools):
        def __call__(self, call):
            facts, *pictures = super().__call__(call)
            right, dark = [0.5, 0.5, 0.5], [0.25, 0.5, 0.5]
            facts["objects"] = {
                "red_ball": {"mean_color": [right, dark]},
                "green_box": {"seen_box": [0.1, 0.1, 0.2, 0.2]},
            }
            return facts, *pictures

    calls, _ = play(OfflineModel(), begin("material", "generator", png, number=2), Off(png))
    assert [call.name for call in calls] == ["measure", "run_code", "finish"]
    code = calls[1].input["code"]
    assert "tint('red_ball', (2, 1, 1))" in code and "green_box" not in code
