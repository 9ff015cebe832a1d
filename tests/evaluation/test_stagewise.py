"""What a stage costs, and that a render which could not be measured is told."""

import json

import pytest
from evaluated_runs import draw_picture, finished

from agent.evaluation.evaluating import Question, evaluate
from agent.evaluation.finding import find_runs
from agent.evaluation.remarks import remarks
from agent.evaluation.stagewise import costs_of


def ledger(folder, *stages):
    """A call for each name, half a minute each, in time; of one dollar."""
    place = {"rollout": -1, "round": 1, "role": "generator", "ordinal": 0}
    lines = [{"at": 1000.0 + 30 * number, "seconds": 30.0, "usd": 1.0, "place": {**place, "stage": stage}}
             for number, stage in enumerate(stages)]  # fmt: skip
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "ledger.jsonl"


@pytest.mark.parametrize(
    "rendered, expected",
    [
        (("initialisation", "geometry", "camera"), {"initialisation": 3, "geometry": 3, "camera": 1}),
        (("initialisation", "geometry"), {"initialisation": 3, "geometry": 4}),
        (("geometry", "camera"), {"geometry": 6, "camera": 1}),
    ],
)
def test_calls_of_a_stage_without_a_render_count_with_what_comes_before_it(tmp_path, rendered, expected):
    called = ("decomposition", "initialisation", "selection", "geometry", "material", "lighting", "camera")
    costs = costs_of(ledger(tmp_path, *called), rendered)
    assert {stage: cost.calls for stage, cost in costs.items()} == expected
    assert {stage: cost.minutes for stage, cost in costs.items()} == {stage: n / 2 for stage, n in expected.items()}


def test_a_stages_render_that_is_broken_is_told_and_in_no_mean(tmp_path):
    picture = draw_picture(tmp_path / "p.png")
    run = finished(tmp_path / "run", picture, stages=(("initialisation", 60.0, 1, 0.1), ("geometry", 30.0, 1, 0.1)))
    broken = run / "stages" / "2_geometry" / "render.png"
    broken.write_bytes(broken.read_bytes()[:100])
    report = evaluate(Question(methods={"A": find_runs([run])}, size_px=64, by_stage=True)).report
    assert [stage.means[0].pictures for stage in report.stages] == [1, 0]
    assert f"{run}: its render of geometry could not be measured and is in no mean." in remarks(report)
