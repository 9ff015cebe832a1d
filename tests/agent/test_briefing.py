"""What a role is shown and told first: no stage begins blind, or without what the one before it left open."""

import io
import json
from types import SimpleNamespace

import pytest
from PIL import Image

from agent.config import Config
from agent.evaluation.measures import measure
from agent.models.base import Picture
from agent.picture import read_reference
from agent.scene_graph import SceneGraph, SceneNode
from agent.stages.briefing import Briefing, Candidate, SceneNow
from agent.tools.workbench import Remark


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (64, 48), (200, 40, 40)).save(path)
    blender = SimpleNamespace(version="4.5.1", facts=SimpleNamespace(dialect={"sky types": ("NISHITA",)}))
    return SimpleNamespace(config=Config(), reference=read_reference(path, 64), blender=blender)


def scene(run):
    written = io.BytesIO()
    Image.new("RGBA", (64, 48), (180, 60, 40, 255)).save(written, "PNG")
    return SceneNow(png=written.getvalue(), measures=measure(run.reference, written.getvalue()))


def facts(message):
    return json.loads(message.content[-1].text.split("```json\n")[1].removesuffix("\n```"))


def test_a_generator_is_told_what_the_runs_blender_calls_things(run):
    assert "- sky types: `NISHITA`" in Briefing(run, "material", "generator", frozenset({"material"}), 3, -1).system()


@pytest.mark.parametrize("role", ["generator", "verifier"])
def test_a_conversation_begins_with_the_scene_beside_the_reference_and_its_figures(run, role):
    briefing = Briefing(run, "material", role, frozenset({"material"}), 3, -1)
    now = scene(run)
    message = briefing.first(1, None, now)
    pictures = [block for block in message.content if isinstance(block, Picture)]
    assert [picture.caption.partition(",")[0] for picture in pictures] == ["reference", "reference"]
    with Image.open(io.BytesIO(pictures[1].png)) as shown:
        assert shown.width > 3 * 60, "reference, render and difference side by side"
    assert facts(message)["scene_measures"]["psnr_db"] == pytest.approx(now.measures.psnr_db)


def test_a_generator_is_told_what_the_stages_before_left_open(run):
    briefing = Briefing(run, "lighting", "generator", frozenset({"light"}), 2, -1)
    remark = Remark(stage="material, verifier", text="The highlight on the cone is the light's place.")
    assert (
        f"- material, verifier: {remark.text}" in briefing.first(1, None, scene(run), remarks=[remark]).content[-1].text
    )


def test_where_there_is_no_scene_yet_none_is_spoken_of(run):
    message = Briefing(run, "initialisation", "generator", frozenset({"structure"}), 2, 0).first(1)
    assert len(message.content) == 3 and "as it stands" not in message.content[-1].text


GRAPH = SceneGraph(environment="a room", nodes=(SceneNode(name="Box", kind="part", description="a box"),))


def test_what_does_not_change_in_a_run_stands_before_what_does_and_is_told_once(run):
    """So that it lies in the cached beginning of every conversation of the stage."""
    briefing = Briefing(run, "material", "verifier", frozenset({"material"}), 3, -1)
    first, second = (briefing.first(number, GRAPH, scene(run), checklist=[]) for number in (1, 2))
    assert [getattr(block, "lasting", False) for block in first.content] == [False, True, True, False, False]
    assert first.content[:3] == second.content[:3]
    other = Briefing(run, "lighting", "verifier", frozenset({"light"}), 2, -1)
    assert other.system() == briefing.system() and other.first(1, GRAPH, scene(run)).content[:2] == first.content[:2]
    assert '"name": "Box"' in first.content[1].text
    assert "Box" not in first.content[-1].text and "Box" not in briefing.again(2, GRAPH).content[-1].text


def test_without_hints_no_figures_are_told(run):
    run.config = Config(hints=False)
    briefing = Briefing(run, "material", "generator", frozenset({"material"}), 3, -1)
    message = briefing.first(1, GRAPH, scene(run))
    assert "scene_measures" not in facts(message) and "figures" not in message.content[-1].text
    assert "as it stands" in message.content[-1].text
    now = scene(run)
    candidates = {"A": Candidate(png=now.png, measures=now.measures, notes={"parts": ["Box"]})}
    told = Briefing(run, "material", "selector", frozenset(), 1, -1).choice(1, candidates, "chooser")
    assert json.loads(told.content[3].text) == {"candidate": "A", "parts": ["Box"]}
    assert "`measure`" not in briefing.system() and "`psnr_db`" not in briefing.system()


def test_a_scaffold_from_words_alone_is_begun_without_the_reference(run):
    run.config = Config(text_only_scaffold=True)
    builder = Briefing(run, "initialisation", "generator", frozenset({"structure"}), 2, 0).first(1, GRAPH, scene(run))
    assert not [block for block in builder.content if isinstance(block, Picture)]
    assert "scene_measures" not in facts(builder)
    judge = Briefing(run, "initialisation", "verifier", frozenset({"structure"}), 2, 0).first(1, GRAPH, scene(run))
    assert len([block for block in judge.content if isinstance(block, Picture)]) == 2
