"""Means, intervals, failures counted both ways and differences have the values that are known of them."""

import numpy as np
import pytest

from agent.evaluation.report import Row
from agent.evaluation.score import MetricFacts, Score
from agent.evaluation.statistics import comparisons_of, difference_of, mean_of, summaries_of

HIGH = MetricFacts(name="up", title="Up", better="higher", variant="v", size="s", background="b", worst=0.0)
LOW = HIGH.model_copy(update={"name": "down", "better": "lower", "worst": 9.0})
MASKED = HIGH.model_copy(update={"name": "masked"})


def row(method, picture, up=None, down=None, outcome="scored", trivial=False, id=None, masked=None, group=""):
    values = {"up": up, "down": down, "masked": masked}
    scores = tuple(Score(metric=name, value=value) for name, value in values.items()) if outcome == "scored" else ()
    return Row(method=method, trivial=trivial, id=id or picture, picture=picture, group=group, outcome=outcome,
               scores=scores)  # fmt: skip


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    covered = 0
    for trial in range(200):
        values = np.random.default_rng(1000 + trial).normal(5.0, 2.0, 40)
        mean = mean_of("up", {str(number): float(value) for number, value in enumerate(values)}, {})
        covered += mean.low <= 5.0 <= mean.high
    assert 0.89 * 200 <= covered <= 0.99 * 200


def test_the_interval_is_that_of_the_standard_error():
    values = np.random.default_rng(0).normal(0.0, 1.0, 400)
    mean = mean_of("up", {str(number): float(value) for number, value in enumerate(values)}, {})
    assert mean.value == pytest.approx(values.mean(), abs=1e-6)
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_same_values_have_the_same_interval_and_one_or_none_has_none():
    values = {"a": 1.0, "b": 2.0, "c": 4.0}
    assert mean_of("up", values, {}) == mean_of("up", values, {})
    assert mean_of("up", {"a": 3.0}, {}).model_dump() == {
        "metric": "up", "pictures": 1, "value": 3.0, "low": None, "high": None,
    }  # fmt: skip
    assert mean_of("up", {}, {}).value is None
    assert mean_of("up", {"a": 1.0, "b": 2.0}, {"a": "scene", "b": "scene"}).low is None, "one scene says nothing"


def test_pictures_of_one_scene_are_drawn_together():
    """Five views of each scene that agree say no more than one of each."""
    scenes = np.random.default_rng(3).normal(0.0, 1.0, 12)
    once = {f"{scene}": float(value) for scene, value in enumerate(scenes)}
    views = {f"{scene}/{view}": value for scene, value in once.items() for view in range(5)}
    groups = {name: name.split("/")[0] for name in views}
    assert mean_of("up", views, groups).high == pytest.approx(mean_of("up", once, {}).high, abs=1e-6)
    alone = mean_of("up", views, {})
    assert alone.high - alone.low < 0.6 * (mean_of("up", once, {}).high - mean_of("up", once, {}).low)


def test_failures_are_counted_both_ways():
    rows = [row("m", "a", up=10.0, down=1.0), row("m", "b", outcome="failed"), row("m", "c", outcome="unfinished"),
            row("m", "d", outcome="unscored")]  # fmt: skip
    summary = summaries_of(rows, (HIGH, LOW))[0]
    assert (summary.runs, summary.scored, summary.failed, summary.unfinished, summary.unscored) == (4, 1, 1, 1, 1)
    assert [one.value for one in summary.left_out] == [10.0, 1.0]
    assert [one.pictures for one in summary.left_out] == [1, 1]
    assert [one.value for one in summary.as_worst] == [pytest.approx(10 / 3), pytest.approx(19 / 3)]
    assert [one.pictures for one in summary.as_worst] == [3, 3], "nothing is counted of what has no reference"


def test_a_failure_counts_in_no_metric_that_says_nothing_of_its_picture():
    rows = [row("m", "cutout", up=1.0, masked=0.8), row("n", "full", up=1.0), row("m", "full", outcome="failed"),
            row("m", "unknown", outcome="failed")]  # fmt: skip
    up, masked = summaries_of(rows, (HIGH, MASKED))[0].as_worst
    assert up.pictures == 3 and up.value == pytest.approx(1 / 3)
    assert masked.pictures == 2 and masked.value == pytest.approx(0.4), "the full picture has no silhouette"


def broken(picture):
    """A run whose render is fine, while nothing of its scene can be measured."""
    scores = (Score(metric="up", value=2.0), Score(metric="down", value=None, reason="no shape", is_fault=True))
    return Row(method="m", id=picture, picture=picture, group="", scores=scores)


def test_a_scene_that_is_broken_counts_as_the_worst_though_its_run_is_scored_and_nobody_has_a_better_one():
    summary = summaries_of([row("m", "a", up=1.0, down=1.0), broken("b")], (HIGH, LOW))[0]
    assert [one.value for one in summary.left_out] == [1.5, 1.0]
    assert [one.value for one in summary.as_worst] == [1.5, 5.0]
    alone = summaries_of([broken("b")], (HIGH, LOW))[0]
    assert (alone.left_out[1].value, alone.as_worst[1].value) == (None, 9.0)
    assert summaries_of([broken("b")], (HIGH, LOW), {"down"})[0].as_worst[1].value is None, "it cannot be had here"


def test_nothing_is_worse_than_the_worst_of_a_method_and_of_a_trivial_answer():
    rows = [row("m", "a", down=20.0), row("another", "a", down=30.0, trivial=True)]
    assert [one.as_worst[0].value for one in summaries_of(rows, (LOW,))] == [9.0, 9.0]
    assert comparisons_of(rows, (LOW,))[0].as_worst[0].value == 0.0


def test_several_runs_of_a_picture_count_as_one():
    rows = [row("m", "a", up=1.0, id="a0"), row("m", "a", up=3.0, id="a1"), row("m", "b", up=8.0)]
    mean = summaries_of(rows, (HIGH,))[0].left_out[0]
    assert (mean.value, mean.pictures) == (5.0, 2)


def test_a_paired_difference_is_found_where_the_means_alone_would_drown_it():
    random = np.random.default_rng(5)
    level = random.normal(20.0, 5.0, 30)
    first = {str(number): float(value + 1.0) for number, value in enumerate(level)}
    second = {str(number): float(value + noise) for number, (value, noise) in
              enumerate(zip(level, random.normal(0.0, 0.3, 30), strict=True))}  # fmt: skip
    found = difference_of(HIGH, first, second, {})
    assert found.value == pytest.approx(1.0, abs=0.2) and found.low > 0.7
    assert mean_of("up", first, {}).low < mean_of("up", second, {}).high, "their intervals overlap"
    assert found.wins > 27 and found.losses <= 1


def test_only_what_both_have_is_compared_and_lower_may_be_better():
    found = difference_of(LOW, {"a": 1.0, "b": 5.0, "c": 2.0}, {"a": 2.0, "b": 4.0, "c": 2.0, "d": 0.0}, {})
    assert (found.pictures, found.value, found.wins, found.losses, found.ties) == (3, 0.0, 1, 1, 1)


def test_methods_are_compared_with_each_other_and_with_the_trivial_answers():
    rows = [row("A", "x", up=3.0), row("B", "x", up=2.0), row("flat", "x", up=1.0, trivial=True),
            row("A", "y", up=5.0), row("B", "y", outcome="failed"), row("flat", "y", up=1.0, trivial=True)]  # fmt: skip
    found = {(one.first, one.second): one for one in comparisons_of(rows, (HIGH,))}
    assert list(found) == [("A", "B"), ("A", "flat"), ("B", "flat")]
    assert [found[pair].trivial for pair in found] == [False, True, True]
    assert found["A", "B"].left_out[0].value == 1.0 and found["A", "B"].left_out[0].pictures == 1
    assert found["A", "B"].as_worst[0].value == 3.0, "the failure counts as 0"
    assert found["B", "flat"].as_worst[0].losses == 1
