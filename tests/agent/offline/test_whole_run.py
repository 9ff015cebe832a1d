"""Whole offline runs with a real Blender: the final picture beats the scaffold, and the rebuild is identical."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pictures import blocks, table
from PIL import Image

from agent.evaluation.measures import measure
from agent.picture import read_reference

pytestmark = [pytest.mark.blender, pytest.mark.timeout(300), pytest.mark.evaluation]


@pytest.fixture(scope="module", params=["blocks", "table"])
def finished(request, blender, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    picture = folder / "picture.png"
    Image.fromarray({"blocks": blocks, "table": table}[request.param](160)).save(picture)
    command = [sys.executable, "-m", "agent", "run", picture, "--model", "offline", "--preset", "quick",
               "--out", folder / "run", "--blender", blender.executable]  # fmt: skip
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return request.param, read_reference(picture, 256), folder / "run"


def measured(reference, folder):
    return measure(reference, (folder / "render.png").read_bytes())


@pytest.mark.matrix("offline run")
def test_the_result_beats_its_scaffold_and_a_flat_picture(finished, record_property):
    _, reference, folder = finished
    scaffold, final = measured(reference, folder / "stages" / "1_initialisation"), measured(reference, folder)
    record_property("psnr_db", final.psnr_db)
    assert final.psnr_db > scaffold.psnr_db + 1
    assert final.ssim > scaffold.ssim
    flat = 10 * np.log10(255**2 / np.mean((reference.rgb - reference.rgb.mean(axis=(0, 1))) ** 2))
    assert final.psnr_db > flat + 2


def test_the_silhouette_is_the_pictures(finished):
    name, reference, folder = finished
    if name == "blocks":
        assert measured(reference, folder).iou > 0.9


@pytest.mark.matrix("rebuild")
def test_the_rebuild_is_identical(finished, record_property):
    _, _, folder = finished
    outcome = json.loads((folder / "result.json").read_text())["proof"]["outcome"]
    record_property("proof", outcome)
    assert outcome == "identical"


@pytest.mark.matrix("offline run")
def test_no_stage_was_refused_an_edit(finished):
    _, _, folder = finished
    steps = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    edits = [step for step in steps if step.get("tool") in ("run_code", "fit")]
    assert edits and not any(step["value"]["is_error"] for step in edits)
