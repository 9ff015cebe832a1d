"""The searches behind the fit tool find minima within bounds and looks, deterministically; paths cannot carry code."""

import numpy as np
import pytest

from agent.tools.fit import FitInput
from agent.tools.fitting.search import Number, descend, search
from agent.tools.fitting.trial import decoded
from agent.tools.fitting.writing import assignments, is_plain_path
from protocol.errors import ProtocolViolated


def bowl(centre):
    return lambda values: sum((value - at) ** 2 for value, at in zip(values, centre, strict=True))


def numbers(count, lower, upper, start):
    return [Number(str(index), lower, upper, start) for index in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_minimum_near_the_start_is_found_within_the_looks(count):
    looked = []
    loss = bowl([0.3] * count)
    best, after = search(lambda at: looked.append(at) or loss(at), numbers(count, -1, 1, 0.1), 120, seed=3)
    assert len(looked) <= 122
    assert after < loss([0.1] * count) / 20
    assert all(-1 <= value <= 1 for value in best)


def test_the_same_seed_finds_the_same_values():
    assert search(bowl([2, 3, 1]), numbers(3, 0, 4, 1), 40, 1) == search(bowl([2, 3, 1]), numbers(3, 0, 4, 1), 40, 1)


def test_the_start_is_kept_where_nothing_is_better():
    best, after = search(bowl([4, 4]), numbers(2, 0, 10, 4), 20, 0)
    assert best == [4, 4] and after == 0


@pytest.mark.parametrize("looks", [5, 8, 30])
def test_steps_of_least_squares_count_their_looks_and_come_closer(looks):
    looked = []

    def residuals(at):
        looked.append(at)
        return np.array([at[0] - 0.5, 2 * (at[1] + at[0]) - 0.2, np.sin(at[2]) - 0.1])

    best, used = descend(residuals, numbers(3, -1, 1, 0.0), looks, 0.01)
    assert used == len(looked) <= looks
    assert np.allclose(best, [0.5, -0.4, np.arcsin(0.1)], atol=0.02 if looks > 20 else 0.1)


def test_steps_of_least_squares_stay_within_bounds_and_take_no_look_that_cannot_help():
    best, _ = descend(lambda at: np.array([at[0] - 5.0]), numbers(1, -1, 1, 0.0), 20, 0.01)
    assert best == [1.0]
    assert descend(lambda at: pytest.fail("looked"), numbers(3, -1, 1, 0.25), 4, 0.01) == ([0.25] * 3, 0)


def test_steps_of_least_squares_end_when_they_are_told_not_to_go_on():
    looked = []
    _, used = descend(
        lambda at: looked.append(at) or np.array(at) - 0.9,
        numbers(2, -1, 1, -1.0), 100, 0.01, lambda: len(looked) < 2,
    )  # fmt: skip
    assert used == len(looked) == 4


@pytest.mark.parametrize(
    "path",
    ['objects["Cup"].location[0]', 'materials["Cup (1)"].node_tree.nodes["A"].inputs[0].default_value[2]',
     'worlds["World"].node_tree.nodes["Background"].inputs[1].default_value'],
)  # fmt: skip
def test_names_and_constant_indices_are_a_path(path):
    assert is_plain_path(path)


@pytest.mark.parametrize(
    "path",
    ["objects.remove(x)", "objects[open('x')].location[0]", "a; import os", "a\nimport os", "a = 1", "", "a + b", "x'"],
)
def test_what_calls_or_computes_is_no_path(path):
    assert not is_plain_path(path)


POINT = {"picture": [0.5, 0.5], "world": [0, 0, 1]}
VALUE = {"path": 'lights["Sun"].energy', "lower": 0, "upper": 1, "start": 0.5}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"values": [{**VALUE, "start": 2}]}, "outside"),
        ({"values": [{**VALUE, "path": "objects.clear()"}]}, "no path"),
        ({"kind": "values"}, "at least one"),
        ({"kind": "camera", "values": [VALUE]}, "kind 'values'"),
        ({"kind": "placement"}, "name of an object"),
        ({"kind": "lights", "of": "Cup"}, "name of an object"),
        ({"kind": "camera", "goal": "silhouette", "region": "Cup"}, "leave region empty"),
        ({"kind": "camera", "points": [POINT, POINT]}, "3 at least"),
        ({"kind": "lights", "points": [POINT] * 4}, "kind 'camera'"),
        ({"kind": "camera", "points": [{**POINT, "picture": [300, 200]}] * 4}, "fractions"),
    ],
)
def test_an_input_that_contradicts_itself_is_refused_with_the_reason(given, reason):
    with pytest.raises(ValueError, match=reason):
        FitInput.model_validate({"purpose": "x", **given})


def test_assignments_are_literal():
    text = assignments({'objects["A"].location[0]': 0.25, 'lights["B"].color': (1, 0.5, 1 / 3)})
    assert text.endswith('bpy.data.objects["A"].location[0] = 0.25\nbpy.data.lights["B"].color = (1, 0.5, 0.333333)\n')


def test_light_that_is_no_picture_of_that_size_or_no_number_is_refused():
    good = np.arange(2 * 3 * 4, dtype="<f4")
    assert decoded(good.tobytes(), 3, 2)[0, 0].tolist() == [12, 13, 14, 15]
    for wrong in (good[1:], np.append(good, 1).astype("<f4"), np.where(good == 5, np.nan, good).astype("<f4")):
        with pytest.raises(ProtocolViolated):
            decoded(wrong.tobytes(), 3, 2)
