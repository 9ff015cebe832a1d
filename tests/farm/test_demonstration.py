"""`make farm-local`: the demonstration itself, on its own Slurm and with a real Blender."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from box_helpers import eventually
from farm_batches import QUICK, in_folder
from needs import lacking
from scripted_runs import draw_box

from agent.errors import NodeUnfit
from agent.farm.slurm.loopback import refuse_missing_programs
from sandbox.folders import ROOT

pytestmark = [pytest.mark.farm, pytest.mark.blender]


@pytest.mark.timeout(300)
def test_the_demonstration_takes_a_manifest_from_submission_to_report_and_leaves_no_slurm_behind(blender, tmp_path):
    try:
        refuse_missing_programs()
    except NodeUnfit as error:
        lacking(str(error))
    draw_box(tmp_path / "box.png")
    (tmp_path / "rows.csv").write_text("image\nbox.png\n")
    own = [tmp_path / "rows.csv", "--out", tmp_path / "out", "--nodes", "1", "--slots", "1"]
    run = [*QUICK, "--model", "offline", "--blender", blender.executable]
    command = [sys.executable, "-m", "agent.farm.slurm.demonstration", *map(str, (*own, "--", *run))]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 rows submitted as job" in ended.stdout and "1 of 1 rows final" in ended.stdout
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["totals"]["final"] == 1
    assert (tmp_path / "out" / "box" / "scene.blend").exists() and (tmp_path / "out" / "batch.html").exists()
    folder = Path(re.search(r"its files are in (\S+)", ended.stdout)[1])
    eventually(lambda: not in_folder(folder))
    assert not folder.exists()
