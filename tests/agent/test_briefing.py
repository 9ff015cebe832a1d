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
from agent.stages.briefing import Briefing, SceneNow
from agent.tools.workbench import Remark


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (64, 48), (200, 40, 40)).save(path)
    return SimpleNamespace(
        config=Config(), reference=read_reference(path, 64), blender=SimpleNamespace(version="4.5.1")
    )


def scene(run):
    written = io.BytesIO()
    Image.new("RGBA", (64, 48), (180, 60, 40, 255)).save(written, "PNG")
    return SceneNow(png=written.getvalue(), measures=measure(run.reference, written.getvalue()))


def facts(message):
    return json.loads(message.content[-1].text.split("```json\n")[1].removesuffix("\n```"))


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
    assert len(message.content) == 2 and "as it stands" not in message.content[-1].text
