"""A run can be gone on with from one of its stages in a copy, and a run can leave stages out."""

import json
import shutil

import pytest
from scripted_runs import draw_box, start

pytestmark = pytest.mark.blender


@pytest.fixture(scope="module")
def finished(blender, tmp_path_factory):
    """A quick run of two stages, and the keys of what was asked in it."""
    folder = tmp_path_factory.mktemp("runs")
    picture, asked = draw_box(folder / "box.png"), folder / "asked"
    ended = start(
        "run", picture, "--out", folder / "run", "--preset", "quick", "--blender", "wheel",
        "--stages", "material, lighting", asked=asked,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return folder / "run", asked.read_text().split()


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and "lease" not in path.name)
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_stages_that_are_not_named_are_left_out(finished):
    folder, asked = finished
    assert json.loads((folder / "result.json").read_text())["stages"] == ["initialisation", "material", "lighting"]
    assert {key.split("/")[1] for key in asked} == {"decomposition", "initialisation", "material", "lighting"}


def test_a_branch_asks_only_from_its_stage_on_and_leaves_the_run_as_it_was(finished, tmp_path):
    folder, asked = finished
    before = content(folder)
    ended = start("resume", folder, "--from-stage", "lighting", "--out", tmp_path / "new", asked=tmp_path / "asked")
    assert ended.returncode == 0, ended.stderr
    again = (tmp_path / "asked").read_text().split()
    assert again == [key for key in asked if "/lighting/" in key]
    assert content(folder) == before
    old, new = (json.loads((one / "result.json").read_text()) for one in (folder, tmp_path / "new"))
    assert new["stages"] == old["stages"]
    assert (tmp_path / "new" / "scene.py").read_text() == (folder / "scene.py").read_text()
    assert new["spent"]["calls"] == len(asked)


def test_a_branch_gets_a_free_folder_beside_the_run(finished, tmp_path):
    folder, _ = finished
    ended = start("resume", folder, "--from-stage", "material", asked=tmp_path / "asked")
    assert ended.returncode == 0, ended.stderr
    assert (folder.with_name("run-from-material") / "result.json").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--from-stage", "geometry"], "has not come to the stage geometry"),
        (["--from-stage", "lighting", "--out", "."], "is there already"),
        (["--from-stage", "roof"], "invalid choice"),
        (["--out", "elsewhere"], "--from-stage"),
    ],
)
def test_a_branch_that_cannot_be_is_refused_and_leaves_nothing(finished, tmp_path, options, told):
    folder, _ = finished
    beside = sorted(folder.parent.iterdir())
    ended = start("resume", folder, *options, asked=tmp_path / "asked")
    assert ended.returncode == 64
    assert told in ended.stderr and "Traceback" not in ended.stderr
    assert sorted(folder.parent.iterdir()) == beside


def test_an_unknown_stage_is_named_with_those_that_there_are(finished, tmp_path):
    ended = start("run", "box.png", "--stages", "material,roof", asked=tmp_path / "asked")
    assert ended.returncode == 64
    assert "'roof'" in ended.stderr and "geometry, material" in ended.stderr


@pytest.mark.parametrize("what", ["prompts", "model"])
def test_that_prompts_or_model_changed_since_the_run_began_is_said(finished, tmp_path, what):
    folder, _ = finished
    then = tmp_path / "then"
    shutil.copytree(folder, then)
    first, *rest = (then / "journal.jsonl").read_text().splitlines()
    changed = json.dumps({**json.loads(first), what: "another"})
    (then / "journal.jsonl").write_text("\n".join([changed, *rest]) + "\n")
    ended = start("resume", then, "--from-stage", "lighting", asked=tmp_path / "asked")
    assert ended.returncode == 0, ended.stderr
    assert f"the {what} changed since this run began" in ended.stdout
