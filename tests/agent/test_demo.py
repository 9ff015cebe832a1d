"""The recorded run that is shipped with the examples replays with a real Blender, without key or network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.blender, pytest.mark.timeout(900), pytest.mark.evaluation]

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "examples" / "toy_train_run"
SCORED_DB, SCORED_IOU = 25.30, 0.984
"""What the run scored when it was recorded."""


def test_the_demonstration_replays_to_what_it_scored_when_it_was_recorded(blender, tmp_path):
    keyless = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    command = [sys.executable, "-m", "agent", "run", "examples/toy_train.png", "--recording", str(RECORDING)]
    ended = subprocess.run(
        [*command, "--blender", "wheel", "--out", str(tmp_path / "run"), "--max-minutes", "60"],
        cwd=ROOT,
        env=keyless,
        capture_output=True,
        text=True,
        timeout=890,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["model"], result["proof"]["outcome"]) == ("recorded", "identical")
    assert result["measures"]["psnr_db"] > SCORED_DB - 1.0
    assert result["measures"]["iou"] > SCORED_IOU - 0.01
    assert f"{result['recording']['requests']} requests" in ended.stdout
