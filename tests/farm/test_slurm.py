"""A batch on a real Slurm, small and on loopback: what ends is done once, what is interrupted goes on where it was."""

import json


def test_a_batch_runs_from_submission_to_report(a_batch):
    batch = a_batch(rows=3)
    ended = batch.submit("--licenses", "vlm:1", "--gres", "blender:1")
    batch.until_ended()
    batch.assert_all_accepted()
    batch.assert_each_paid_once()
    report = json.loads((batch.root / "batch.json").read_text())
    assert report["totals"]["states"] == {"accepted": 3}
    assert {row["job"] for row in report["rows"]} == {f"{ended[0]}_{index}" for index in (1, 2, 3)}
    assert (batch.root / "batch.html").exists() and (batch.root / "batch.csv").exists()
    status = batch.farm("status", batch.root)
    assert status.returncode == 0 and "3 of 3 rows final" in status.stdout
