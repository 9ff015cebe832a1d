"""The search behind the fit tool finds minima within bounds and looks, deterministically; paths cannot carry code."""

import pytest

from agent.tools.fit import FitInput, FitValue, assignments, is_plain_path, search


def bowl(centre):
    return lambda values: sum((value - at) ** 2 for value, at in zip(values, centre, strict=True))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_minimum_near_the_start_is_found_within_the_looks(count):
    looked = []
    loss = bowl([0.3] * count)
    values = [FitValue(path=f'objects["A"].location[{i}]', lower=-1, upper=1, start=0.1) for i in range(count)]
    best, after = search(lambda at: looked.append(at) or loss(at), values, 120, seed=3)
    assert len(looked) <= 122
    assert after < loss([0.1] * count) / 20
    assert all(-1 <= value <= 1 for value in best)


def test_the_same_seed_finds_the_same_values():
    values = [FitValue(path=f"scenes[0].gravity[{i}]", lower=0, upper=4, start=1) for i in range(3)]
    assert search(bowl([2, 3, 1]), values, 40, 1) == search(bowl([2, 3, 1]), values, 40, 1)


def test_the_start_is_kept_where_nothing_is_better():
    values = [FitValue(path="lights[0].energy", lower=0, upper=10, start=4), FitValue(
        path="lights[1].energy", lower=0, upper=10, start=4)]  # fmt: skip
    best, after = search(bowl([4, 4]), values, 20, 0)
    assert best == [4, 4] and after == 0


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


def test_bounds_must_hold_the_start():
    with pytest.raises(ValueError, match="outside"):
        FitInput.model_validate({"purpose": "x", "values": [{"path": "a", "lower": 0, "upper": 1, "start": 2}]})


def test_assignments_are_literal():
    assert assignments(['objects["A"].location[0]'], [0.25]).endswith('bpy.data.objects["A"].location[0] = 0.25\n')
