"""The set of known scenes is complete and does what it says; the command counts a verifier's errors, and asks once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.calibration.building import Builder
from agent.calibration.command import CASES, SCENES, cases_for
from agent.calibration.judging import Judgement
from agent.calibration.rates import rate, rates_of
from agent.calibration.scenes import ALL
from agent.config import load_config
from agent.console import Screen
from agent.errors import UsageError
from agent.evaluation.alignment import render_side
from agent.opening import opened
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal
from agent.stages.rounds import attempt
from agent.stages.table import INITIALISATION
from agent.tools.scene import NoInput, measure
from agent.tools.workbench import Workbench
from sandbox.folders import ROOT

pytestmark = pytest.mark.evaluation

SCRIPTED = Path(__file__).resolve().parents[1] / "fakes" / "run_scripted.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SCRIPTED.parent}"}
CLEARLY = 25
"""Of 255: a difference of colour that nobody overlooks."""
SEEN, UNSEEN = 0.005, 0.001
"""Parts of the picture that differ clearly: what every break exceeds, and no good variant reaches."""
KINDS = {
    "missing object": "missing_",
    "extra object": "extra_",
    "floating object": "floating_",
    "sunken object": "sunken_",
    "cropped": "cropped",
    "camera from another side": "from_",
    "black": "black",
    "burnt out": "burnt_out",
}


# ── the set ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("stage", ALL)
def test_every_verified_stage_has_good_and_broken_cases_of_each_scene(stage):
    for scene in SCENES:
        expected = [case.expected for case in CASES if (case.scene, case.stage) == (scene.name, stage)]
        assert expected.count("approve") >= 3 and expected.count("revise") >= 3


def test_no_two_cases_share_an_id_or_a_number():
    assert len({case.id for case in CASES}) == len({case.number for case in CASES}) == len(CASES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_scene_has_each_kind_of_fault(scene, kind):
    assert any(variant.name.startswith(KINDS[kind]) and variant.breaks for variant in scene.variants)


def test_a_case_without_a_fault_is_expected_to_be_approved_by_all_and_a_fault_has_words():
    for scene in SCENES:
        for variant in scene.variants:
            if variant.name in ("as_it_is", "unseen"):
                assert variant.spares == ALL and not variant.breaks
            else:
                assert variant.breaks and variant.named_by and variant.factors
            assert not set(variant.breaks) & set(variant.spares)


def test_a_stage_without_a_verifier_is_refused_with_those_that_have_one():
    assert {case.stage for case in cases_for("lighting, geometry")} == {"lighting", "geometry"}
    with pytest.raises(UsageError, match=r"'camera' is no stage with a verifier.*initialisation, geometry"):
        cases_for("camera")


# ── the scenes, built ─────────────────────────────────────────────────────────────────────────────────────────────────
class Seen:
    """Every variant of every scene, built and rendered small."""

    def __init__(self, open_folder):
        self.differing, self.factors, self.boxes, self.measures = {}, {}, {}, {}
        for scene in SCENES:
            with Builder(open_folder) as builder:
                reference = builder.reference(scene)
                built = [(variant, builder.variant(scene, variant)) for variant in scene.variants]
            with Workbench(open_folder.run(reference), scene.graph, built[0][1]) as bench:
                bench.begin(INITIALISATION)
                for variant, snapshot in built:
                    bench.move_to(snapshot.id)
                    self._look(bench, (scene.name, variant.name), snapshot)

    def _look(self, bench, name, snapshot):
        seen = attempt(bench, 0, 0)
        self.measures[name] = seen.measures
        render = render_side(bench.run.reference, seen.png).rgb.astype(int)
        if name[1] == "as_it_is":
            self.true, self.head = render, snapshot
            self.boxes[name[0]] = {part: of["seen_box"] for part, of in objects_of(bench).items()}
        self.differing[name] = float((np.abs(render - self.true).max(axis=2) > CLEARLY).mean())
        before, after = (bench.run.store.fingerprint(one.id).factors for one in (self.head, snapshot))
        self.factors[name] = {factor for factor in after if after[factor] != before[factor]}


def objects_of(bench):
    return json.loads(measure(bench, NoInput()).content[0].text)["objects"]


@pytest.fixture(scope="module")
def seen(blender, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("scenes") / "all")
    folder.prepare()
    config = load_config({"preset": "quick"})
    with (folder.path / "said").open("w") as stream:
        with opened(folder, config, Journal(folder.path), _Nobody(), blender, Screen(stream), "") as open_folder:
            return Seen(open_folder)


class _Nobody:
    """Is never asked."""

    name = "nobody"


VARIANTS = [(scene, variant) for scene in SCENES for variant in scene.variants if variant.source]


@pytest.mark.blender
@pytest.mark.parametrize(("scene", "variant"), VARIANTS, ids=lambda one: one.name)
def test_an_edit_changes_the_factors_that_it_declares_and_no_other_and_is_seen_where_it_breaks(seen, scene, variant):
    name = scene.name, variant.name
    assert seen.factors[name] == set(variant.factors)
    if variant.breaks:
        assert seen.differing[name] > SEEN
    else:
        assert seen.differing[name] < UNSEEN


@pytest.mark.blender
def test_the_true_scene_is_its_reference_a_black_one_is_black_and_a_burnt_one_burnt(seen):
    for scene in SCENES:
        true, black, burnt = (seen.measures[scene.name, name] for name in ("as_it_is", "black", "burnt_out"))
        assert true.psnr_db > 30 and true.black_fraction < 0.1 and true.clipped_fraction < 0.1
        assert black.black_fraction > 0.9 and burnt.clipped_fraction > 0.9


@pytest.mark.blender
def test_the_graph_says_where_the_picture_shows_each_part(seen):
    for scene in SCENES:
        for node in scene.graph.leaves():
            assert node.picture_box == pytest.approx(seen.boxes[scene.name][node.name], abs=0.03), node.name


# ── the rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def judgement(expected, decision, names_fault=None):
    return Judgement(
        id="x", number=0, scene="s", stage="geometry", fault="", expected=expected, decision=decision,
        names_fault=names_fault, items=(), critique="", found_by_machine=(),
    )  # fmt: skip


def test_errors_are_counted_among_those_with_a_verdict():
    told = [
        judgement("revise", "approve"),
        judgement("revise", "revise", True),
        judgement("revise", "revise", False),
        judgement("revise", "none"),
        judgement("approve", "approve"),
        judgement("approve", "revise"),
        judgement("approve", "none"),
    ]
    rates = rates_of("geometry", told)
    assert (rates.cases, rates.no_verdict) == (7, 2)
    assert (rates.false_approval.wrong, rates.false_approval.judged) == (1, 3)
    assert (rates.false_rejection.wrong, rates.false_rejection.judged) == (1, 2)
    assert (rates.unnamed.wrong, rates.unnamed.judged) == (1, 2)


@pytest.mark.parametrize(
    ("wrong", "judged", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1, 20, 0.0089, 0.2361), (10, 10, 0.7225, 1.0)],
)
def test_a_rate_has_wilsons_interval(wrong, judged, low, high):
    found = rate(wrong, judged)
    assert found.rate == wrong / judged
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_nothing_judged_has_no_rate():
    assert rate(0, 0).rate is None


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────
CASES_OF = [case for case in CASES if case.stage == "lighting"]


def calibrate(folder, asked, *options):
    return subprocess.run(
        [sys.executable, str(SCRIPTED), "calibrate", "--out", str(folder), "--blender", "wheel", "--preset", "quick",
         "--stages", "lighting", *options],
        env={**ENVIRONMENT, "ASKED": str(asked)},
        capture_output=True,
        text=True,
        timeout=110,
    )  # fmt: skip


@pytest.fixture(scope="module")
def calibrated(blender, tmp_path_factory):
    """Begun with too small a budget, then finished."""
    folder = tmp_path_factory.mktemp("calibrated") / "all"
    stopped = calibrate(folder, folder.parent / "asked", "--max-calls", "3")
    partly = json.loads((folder / "calibration.json").read_text())
    ended = calibrate(folder, folder.parent / "asked")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, stopped, partly, ended


@pytest.mark.blender
def test_a_verifier_that_approves_everything_is_found_out(calibrated):
    folder, _, _, ended = calibrated
    report = json.loads((folder / "calibration.json").read_text())
    broken = [case.id for case in CASES if (case.stage, case.expected) == ("lighting", "revise")]
    good = [case.id for case in CASES if (case.stage, case.expected) == ("lighting", "approve")]
    for rates in report["rates"]:
        assert (rates["false_approval"]["wrong"], rates["false_approval"]["judged"]) == (len(broken), len(broken))
        assert (rates["false_rejection"]["wrong"], rates["false_rejection"]["judged"]) == (0, len(good))
        assert rates["no_verdict"] == 0
    assert [rates["stage"] for rates in report["rates"]] == ["lighting", "all"]
    cost = report["cost"]
    assert (cost["calls"], cost["tokens"]) == (len(CASES_OF), 110 * len(CASES_OF))
    assert cost["usd"] == pytest.approx(0.01 * len(CASES_OF))
    assert sorted(path.stem for path in (folder / "cases").iterdir()) == sorted(broken + good)
    assert f"{len(broken)}/{len(broken)} = 100 %" in ended.stdout and str(folder / "calibration.md") in ended.stdout
    assert "still_life-lighting-black: approved: false approval" in (folder / "calibration.md").read_text()


@pytest.mark.blender
def test_a_budget_leaves_cases_out_which_is_told_and_exits_10_and_later_only_they_are_asked(calibrated):
    folder, stopped, partly, _ = calibrated
    assert stopped.returncode == 10
    assert f"3 of {len(CASES_OF)} cases are judged" in stopped.stderr and "--max-calls 6" in stopped.stderr
    assert len(partly["judgements"]) == 3 and len(partly["unanswered"]) == len(CASES_OF) - 3
    asked = (folder.parent / "asked").read_text().splitlines()
    assert len(asked) == len(set(asked)) == len(CASES_OF)


@pytest.mark.blender
def test_the_same_command_again_asks_nothing_and_says_the_same(calibrated, tmp_path):
    folder = calibrated[0]
    before = (folder / "calibration.json").read_bytes()
    again = calibrate(folder, tmp_path / "asked")
    assert again.returncode == 0, again.stderr
    assert not (tmp_path / "asked").exists()
    assert (folder / "calibration.json").read_bytes() == before


@pytest.mark.blender
def test_a_folder_with_another_calibration_or_none_is_not_entered(calibrated, tmp_path):
    folder = calibrated[0]
    ended = calibrate(folder, tmp_path / "asked", "--seed", "5")
    assert ended.returncode == 64 and "another calibration (settings not the same)" in ended.stderr
    ended = subprocess.run(
        [sys.executable, "-m", "agent", "resume", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 64 and "holds a calibration, no run" in ended.stderr
