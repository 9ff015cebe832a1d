"""Each ablation leaves out the one part of the method that it names, in whole runs."""

import json

import pytest
from scripted_runs import draw_box, start

pytestmark = pytest.mark.blender

REPAINT = {"purpose": "darker", "code": 'import bpy\nbpy.data.materials["Box"].diffuse_color = (0, 0, 0, 1)'}
PAINTS_IN_LIGHTING = [["lighting", "generator", [["run_code", REPAINT]]]]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return draw_box(tmp_path_factory.mktemp("picture") / "box.png")


@pytest.fixture
def run(picture, tmp_path, blender):
    def work(settings, script=(), stages="lighting"):
        (tmp_path / "c.toml").write_text(settings)
        ended = start(
            "run", picture, "--out", tmp_path / "run", "--preset", "quick", "--blender", "wheel", "--stages", stages,
            "--config", tmp_path / "c.toml", asked=tmp_path / "asked", TOLD=str(tmp_path / "told"),
            SCRIPT=json.dumps(list(script)),
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        asked = [key.split("/")[1:4:2] for key in (tmp_path / "asked").read_text().split()]
        told = [json.loads(line)[2] for line in (tmp_path / "told").read_text().splitlines()]
        return json.loads((tmp_path / "run" / "result.json").read_text()), asked, told, tmp_path / "run"

    return work


def used(folder, stage):
    entries = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    outcomes = [one["value"] for one in entries if one.get("tool") == "run_code" and f"/{stage}/" in one["key"]]
    return [json.loads(outcome["content"][0]["text"])["result"] for outcome in outcomes]


def test_without_a_verifier_none_is_asked_and_each_stage_has_one_attempt(run):
    result, asked, _, _ = run("verifier = false")
    assert "verifier" not in {role for _, role in asked}
    assert result["stages"] == ["initialisation", "lighting"]


def test_without_scopes_a_stage_may_change_what_is_not_its_own(run):
    _, _, _, folder = run("scopes = false", PAINTS_IN_LIGHTING)
    assert used(folder, "lighting") == ["committed"]


def test_with_scopes_it_may_not(run):
    _, _, _, folder = run("", PAINTS_IN_LIGHTING)
    assert used(folder, "lighting") == ["violation"]


def test_without_hints_nobody_is_told_a_figure(run):
    _, _, told, _ = run("hints = false")
    assert told and not any("psnr" in text for text in told)


def test_monolithic_is_one_loop_over_all_factors_in_place_of_the_four_stages(run):
    result, asked, _, folder = run(
        "monolithic = true", [["monolithic", "generator", [["run_code", REPAINT]]]], stages="geometry,lighting,camera"
    )
    assert result["stages"] == ["initialisation", "monolithic", "camera"]
    assert {"geometry", "lighting"}.isdisjoint(stage for stage, _ in asked)
    assert used(folder, "monolithic") == ["committed"]
    assert result["proof"]["outcome"] == "identical"
