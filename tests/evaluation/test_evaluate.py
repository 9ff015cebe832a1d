"""The command finds runs, matches them with their pictures, and says of each what it scored or why it has no score."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from evaluated_runs import begun, draw_picture, failed, finished, write
from PIL import Image

from agent.evaluation.trivial import ANOTHER, TRIVIAL
from agent.farm.batch import begin_batch
from agent.farm.manifest import read_manifest
from sandbox.folders import ROOT

SIZE = ("--size", "96", "--weight-free")


def seig(*arguments, cwd=ROOT, **environment):
    command = [sys.executable, "-m", "agent", "evaluate", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=110)


def report(*arguments, out, code=0):
    ended = seig(*arguments, *SIZE, "--out", out, "--json")
    assert ended.returncode == code, ended.stderr
    said = json.loads(ended.stdout)
    assert said == json.loads((out / "evaluation.json").read_text())
    return said


def rows(said, trivial=False):
    return {(row["method"], row["id"]): row for row in said["rows"] if row["trivial"] == trivial}


def value(row, metric):
    return next(score["value"] for score in row["scores"] if score["metric"] == metric)


@pytest.fixture
def pictures(tmp_path):
    """Three cut-outs and a full picture, by name."""
    return {name: draw_picture(tmp_path / "pictures" / f"{name}.png", seed, cutout=name != "full")
            for seed, name in enumerate(("chair", "lamp", "train", "full"))}  # fmt: skip


def test_runs_are_measured_beside_their_own_pictures_and_the_trivial_answers(tmp_path, pictures):
    for name, picture in pictures.items():
        finished(tmp_path / "runs" / name, picture)
    said = report(tmp_path / "runs", out=tmp_path / "out")
    found = rows(said)
    assert {id for _, id in found} == set(pictures) and all(row["outcome"] == "scored" for row in found.values())
    for row in found.values():
        assert 15 < value(row, "psnr_db") < 40 and 0 < value(row, "ssim") < 1
    assert value(found["runs", "chair"], "iou") == 1.0 and value(found["runs", "full"], "iou") is None
    trivial = rows(said, trivial=True)
    assert set(trivial) == {(method, name) for method in TRIVIAL for name in pictures}
    assert [one["method"] for one in said["summaries"]] == ["runs", *TRIVIAL]
    flat = value(trivial["flat mean colour", "chair"], "psnr_db")
    assert flat < value(found["runs", "chair"], "psnr_db")
    for name in ("evaluation.md", "evaluation.csv", "evaluation.json", "evaluation.tex", "evaluation.html"):
        assert (tmp_path / "out" / name).stat().st_size > 500
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ("evaluation.md", "evaluation.csv", "evaluation.json", "evaluation.tex", "evaluation.html")
    )


def test_each_run_that_has_no_score_is_a_row_with_its_reason(tmp_path, pictures):
    runs, chair = tmp_path / "runs", pictures["chair"]
    finished(runs / "good", chair)
    failed(runs / "failed", chair, "the scene is too large.")
    failed(runs / "unread", message="Cannot read the picture.")
    write(begun(runs / "stopped", chair) / "status.json", {"where": "material", "message": "the service is away."})
    (finished(runs / "norender", chair) / "render.png").unlink()
    (finished(runs / "empty", chair) / "render.png").write_bytes(b"")
    (finished(runs / "noreference", pictures["lamp"]) / "reference.png").unlink()
    (runs / "garbled").mkdir()
    (runs / "garbled" / "journal.jsonl").write_text("no json\n")
    (runs / "garbled" / "result.json").write_text("{")
    write(finished(runs / "changed", chair) / "result.json", {"status": "accepted", "measures": [1]})
    write(finished(runs / "altered", chair) / "result.json", {"status": "accepted", "spent": {"calls": "many"}})
    write(finished(runs / "odd", chair) / "result.json", {"status": ["accepted"]})
    said = report(runs, out=tmp_path / "out")
    found = {id: (row["outcome"], row["reason"]) for (_, id), row in rows(said).items()}
    assert found.pop("good") == ("scored", "")
    expected = {"failed": ("failed", "the scene is too large"), "unread": ("failed", "Cannot read the picture"),
                "stopped": ("unfinished", "the service is away"), "norender": ("failed", "there is no such file"),
                "empty": ("failed", "the file is empty"), "noreference": ("unscored", "reference is missing"),
                "changed": ("scored", ""), "altered": ("scored", ""), "odd": ("unfinished", "is not finished"),
                "garbled": ("unfinished", "is not finished")}  # fmt: skip
    assert found.keys() == expected.keys()
    for id, (outcome, reason) in expected.items():
        assert found[id][0] == outcome and reason in found[id][1], id
    summary = said["summaries"][0]
    assert (summary["scored"], summary["failed"], summary["unfinished"], summary["unscored"]) == (3, 4, 3, 1)
    left_out, as_worst = ({one["metric"]: one for one in summary[name]} for name in ("left_out", "as_worst"))
    assert left_out["psnr_db"]["value"] == value(rows(said)["runs", "good"], "psnr_db")
    assert as_worst["psnr_db"]["value"] < left_out["psnr_db"]["value"]
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "failures as the worst value" in text and "the scene is too large" in text


def test_only_failures_is_an_evaluation_too(tmp_path, pictures):
    failed(tmp_path / "runs" / "one", pictures["chair"])
    said = report(tmp_path / "runs", out=tmp_path / "out")
    summary = said["summaries"][0]
    assert summary["left_out"][0]["value"] is None and summary["as_worst"][0]["value"] == 0.0


def test_a_batch_is_evaluated_with_the_rows_that_never_began(tmp_path, pictures):
    (tmp_path / "rows.csv").write_text("id,image\n" + "".join(f"{name},{path}\n" for name, path in pictures.items()))
    root = tmp_path / "batch"
    begin_batch(root, tmp_path / "rows.csv", read_manifest(tmp_path / "rows.csv"))
    finished(root / "chair", pictures["chair"])
    finished(root / "lamp", pictures["lamp"])
    said = report(root, out=tmp_path / "out")
    outcomes = {id: row["outcome"] for (_, id), row in rows(said).items()}
    assert outcomes == {"chair": "scored", "lamp": "scored", "train": "unfinished", "full": "unfinished"}
    assert "there is no folder" in rows(said)["runs", "train"]["reason"]


def test_with_a_data_set_runs_are_matched_by_the_file_that_they_were_made_from(tmp_path, pictures):
    runs = tmp_path / "runs"
    finished(runs / "any-name", pictures["chair"])
    finished(runs / "lamp", draw_picture(tmp_path / "other" / "lamp.png", seed=77))  # by its id alone
    finished(runs / "stranger", draw_picture(tmp_path / "other" / "stranger.png", seed=78))
    said = report(runs, "--data", tmp_path / "pictures", out=tmp_path / "out")
    found = rows(said)
    assert {row["picture"]: id for (_, id), row in found.items()} == {"chair": "any-name", "lamp": "lamp"}
    assert value(found["runs", "lamp"], "psnr_db") < value(found["runs", "any-name"], "psnr_db")
    assert len(said["unmatched"]) == 1 and "stranger" in said["unmatched"][0]
    assert set(said["without_run"]) == {"full", "train"}
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "stranger" in text and "No run was made from" in text
    assert "runs: lamp is measured beside lamp by its name: it was made from another file." in text


def test_a_picture_twice_is_no_other_scene_and_no_more_are_two_of_a_group_that_a_list_names(tmp_path, pictures):
    """The trivial answer of another scene is of the train's picture each time."""
    names = {"chair": "a", "again": "a", "lamp": "a", "train": "b"}
    (tmp_path / "list.csv").write_text(
        "id,group,image\n" + "".join(f"{id},{group},{id}.png\n" for id, group in names.items())
    )
    shutil.copy(pictures["chair"], tmp_path / "again.png")
    for name in ("chair", "lamp", "train"):
        shutil.copy(pictures[name], tmp_path)
    for name in names:
        finished(tmp_path / "runs" / name, tmp_path / f"{name}.png")
    said = report(tmp_path / "runs", "--data", tmp_path / "list.csv", out=tmp_path / "grouped")
    scores = {id: value(row, "psnr_db") for (method, id), row in rows(said, trivial=True).items() if method == ANOTHER}
    assert set(scores) == set(names) and scores["chair"] == scores["again"] < 40
    (tmp_path / "list.csv").write_text("id,image\nchair,chair.png\nagain,again.png\n")
    alone = report(tmp_path / "runs", "--data", tmp_path / "list.csv", out=tmp_path / "alone")
    assert ANOTHER not in {method for method, _ in rows(alone, trivial=True)}


def test_two_methods_are_compared_on_the_same_pictures(tmp_path, pictures):
    for name, picture in pictures.items():
        finished(tmp_path / "A" / name, picture, sigma=10.0)
        finished(tmp_path / "B" / f"{name}-again", picture, sigma=40.0)
    failed(tmp_path / "B" / "chair-again", pictures["chair"])
    said = report("--compare", f"A={tmp_path / 'A'}", f"B={tmp_path / 'B'}", out=tmp_path / "out")
    comparison = said["comparisons"][0]
    assert (comparison["first"], comparison["second"]) == ("A", "B")
    psnr = comparison["left_out"][0]
    assert (psnr["pictures"], psnr["wins"], psnr["losses"]) == (3, 3, 0) and psnr["low"] > 5
    assert comparison["as_worst"][0]["pictures"] == 4
    assert "A − B" in (tmp_path / "out" / "evaluation.md").read_text()


def test_runs_of_one_picture_are_measured_beside_its_largest_copy(tmp_path):
    large = draw_picture(tmp_path / "p.png", size=(192, 128))
    finished(tmp_path / "A" / "p", large)
    finished(tmp_path / "B" / "p", large)
    Image.open(large).resize((48, 32)).save(tmp_path / "B" / "p" / "reference.png")
    Image.open(large).resize((48, 32)).save(tmp_path / "B" / "p" / "render.png")
    said = report("--compare", f"A={tmp_path / 'A'}", f"B={tmp_path / 'B'}", out=tmp_path / "out")
    assert len({row["picture"] for row in said["rows"]}) == 1
    assert value(rows(said)["B", "p"], "psnr_db") < 99.0, "not beside its own small copy"


def test_stages_say_what_each_earns_beside_the_verifiers_rates(tmp_path, pictures):
    stages = (("initialisation", 60.0, 2, 0.1), ("geometry", 30.0, 4, 0.25), ("material", 20.0, 1, None))
    for name, picture in pictures.items():
        finished(tmp_path / "runs" / name, picture, stages=stages)
    rate = {"rate": 0.1, "low": 0.0, "high": 1.0}
    rates = {"false_approval": {"wrong": 1, "judged": 9, **rate}, "false_rejection": {"wrong": 5, "judged": 20, **rate},
             "unnamed": {"wrong": 0, "judged": 8, **rate}}  # fmt: skip
    told = {"model": "some-model", "rates": [{"stage": "geometry", "cases": 29, "no_verdict": 0, **rates}]}
    write(tmp_path / "calibration" / "calibration.json", told)
    options = ("--stages", "--calibration", tmp_path / "calibration")
    said = report(tmp_path / "runs", *options, out=tmp_path / "out")
    found = {one["stage"]: one for one in said["stages"]}
    assert list(found) == ["initialisation", "geometry", "material"] and found["initialisation"]["gains"] == []
    geometry = found["geometry"]
    gain = geometry["gains"][0]
    assert gain["metric"] == "psnr_db" and gain["value"] > 3 and gain["low"] <= gain["value"] <= gain["high"]
    assert (geometry["calls"], geometry["minutes"], geometry["usd"]) == (4.0, 2.0, 1.0)
    assert gain["per_usd"] == pytest.approx(gain["value"], abs=1e-4)
    assert gain["per_call"] == pytest.approx(gain["value"] / 4, abs=1e-4)
    assert found["material"]["usd"] is None and found["material"]["gains"][0]["per_usd"] is None
    assert geometry["verifier"] == {"false_approval": [1, 9], "false_rejection": [5, 20]}
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "1/9" in text and "some-model" in text


def test_without_an_optional_package_the_command_finishes_and_says_what_is_missing(tmp_path, pictures):
    finished(tmp_path / "runs" / "chair", pictures["chair"])
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "flip_evaluator.py").write_text("raise ImportError\n")
    paths = {"PYTHONPATH": f"{tmp_path / 'lacking'}{os.pathsep}{ROOT}"}
    ended = seig(tmp_path / "runs", *SIZE, "--out", tmp_path / "out", **paths)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"– in column flip: flip-evaluator is not installed", ended.stdout)
    said = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert "flip" in [one["metric"] for one in said["unavailable"]]
    (flip,) = [score for score in said["rows"][0]["scores"] if score["metric"] == "flip"]
    assert flip["value"] is None and "not installed" in flip["reason"], "no 0 and no stand-in"


def test_wrong_usage_is_told_with_its_documented_code(tmp_path, pictures):
    finished(tmp_path / "runs" / "chair", pictures["chair"])
    (tmp_path / "nothing").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    run, out = tmp_path / "runs", ("--out", tmp_path / "out")
    cases = [
        ((), 64, "no run is named"),
        ((tmp_path / "nothing",), 64, "holds no run"),
        ((tmp_path / "missing",), 65, "there is no folder"),
        ((run, "--data", tmp_path / "missing"), 65, "missing"),
        ((run, "--weights", tmp_path / "missing"), 65, "weights"),
        ((run, "--calibration", tmp_path / "nothing"), 65, "calibration.json"),
        ((run, "--size", "9"), 64, "number of pixels"),
        ((run, "--compare", "nonsense"), 64, "NAME=DIR"),
        (("--compare", f"our-viga={run}"), 64, "name of another system, VIGA"),
    ]
    for arguments, code, said in cases:
        ended = seig(*arguments, *out)
        assert (ended.returncode, said in ended.stderr) == (code, True), (arguments, ended.stderr)
        assert "Traceback" not in ended.stderr and not (tmp_path / "out").exists()
    ended = seig(run, "--out", tmp_path / "full")
    assert ended.returncode == 64 and "holds no evaluation" in ended.stderr
    ended = seig(run, "--out", tmp_path / "full" / "letter.txt")
    assert ended.returncode == 64 and "is, or lies below, a file" in ended.stderr


def test_an_evaluation_is_written_again_over_itself(tmp_path, pictures):
    finished(tmp_path / "runs" / "chair", pictures["chair"])
    first = report(tmp_path / "runs", out=tmp_path / "out")
    assert report(tmp_path / "runs", out=tmp_path / "out") == first


LEARNED = {"lpips_alex", "lpips_vgg", "dreamsim", "dino", "clip"}
STAND_INS = {"enlite0_cos", "vgg16hed_dist"}


def test_without_networks_and_without_a_network_the_command_finishes_and_says_what_is_missing(tmp_path, pictures):
    finished(tmp_path / "runs" / "chair", pictures["chair"])
    empty = {"HF_HOME": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path / "torch"), "HF_HUB_OFFLINE": "1"}
    ended = seig(tmp_path / "runs", "--size", "96", "--out", tmp_path / "out", **empty)
    assert ended.returncode == 0, ended.stderr
    said = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    missing = {one["metric"]: one["reason"] for one in said["unavailable"]}
    assert missing.keys() >= LEARNED and not missing.keys() & STAND_INS
    assert all("evaluation-weights.md" in missing[name] for name in LEARNED)
    values = {one["metric"]: one["value"] for one in said["rows"][0]["scores"]}
    assert all(values[name] is None for name in LEARNED) and all(values[name] is not None for name in STAND_INS)


def test_with_a_folder_of_networks_every_learned_metric_has_a_value(tmp_path, pictures):
    from tiny_networks import write_weights  # needs torch

    finished(tmp_path / "runs" / "chair", pictures["chair"])
    write_weights(tmp_path / "weights")
    ended = seig(tmp_path / "runs", "--size", "96", "--weights", tmp_path / "weights", "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    said = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    values = {one["metric"]: one["value"] for one in said["rows"][0]["scores"]}
    assert all(values[name] is not None for name in LEARNED | STAND_INS), said["unavailable"]
    named = seig(tmp_path / "runs", "--size", "96", "--out", tmp_path / "again", SEIG_WEIGHTS=str(tmp_path / "weights"))
    assert named.returncode == 0, named.stderr
    again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    assert again["rows"][0]["scores"] == said["rows"][0]["scores"]
