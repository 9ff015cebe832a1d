import pytest

from protocol.models import DescribeReply, FingerprintReply
from sandbox.comparison import FACTORS, compare, outside, sentence, with_details

EVERYTHING = frozenset(FACTORS)
SHAPE = frozenset({"structure", "geometry", "transform"})
CUP = {
    "structure": {"object:Cup": "1"},
    "geometry": {"object:Cup": "1", "mesh:Cup": "1"},
    "transform": {"object:Cup": "1"},
    "material": {"slots:Cup": "1", "mesh:Cup": "1", "material:Wood": "1"},
}
LAMP = {"light": {"object:Lamp": "1", "light:Lamp": "1"}}


def scene(*layers, topology=None, objects=None):
    factors = {name: {} for name in FACTORS}
    for layer in layers:
        for factor, keys in layer.items():
            factors[factor] = {key: digest for key, digest in {**factors[factor], **keys}.items() if digest}
    return FingerprintReply(factors=factors, topology=topology or {}, objects=objects or {})


def found(before, after, scope=EVERYTHING):
    return {(change.factor, change.key, change.how) for change in compare(before, after, frozenset(scope))}


def test_equal_scenes_have_no_changes():
    assert compare(scene(CUP), scene(CUP), EVERYTHING) == ()


@pytest.mark.parametrize("factor", FACTORS)
def test_a_changed_datablock_is_named_in_its_factor(factor):
    before, after = scene(CUP, {factor: {"scene:Scene": "1"}}), scene(CUP, {factor: {"scene:Scene": "2"}})
    (change,) = compare(before, after, EVERYTHING)
    assert (change.factor, change.key, change.how, change.found_in) == (factor, "scene:Scene", "changed", factor)
    assert outside((change,), EVERYTHING - {factor}) == (change,) and outside((change,), frozenset({factor})) == ()


def test_a_new_part_with_its_own_new_material_is_structure_and_geometry():
    assert found(scene(), scene(CUP), SHAPE) == {
        ("structure", "object:Cup", "added"),
        ("geometry", "mesh:Cup", "added"),
        ("structure", "material:Wood", "added"),
    }
    assert outside(compare(scene(), scene(CUP), SHAPE), SHAPE) == ()


def test_a_part_may_go_with_its_material_where_structure_may_change():
    assert outside(compare(scene(CUP), scene(), SHAPE), SHAPE) == ()


def test_a_new_material_is_a_material_where_structure_may_not_change():
    new = scene(CUP, {"material": {"material:Gold": "1"}})
    assert found(scene(CUP), new, {"material"}) == {("material", "material:Gold", "added")}


def test_giving_an_old_part_another_material_is_no_geometry():
    after = scene(CUP, {"material": {"material:Gold": "1", "slots:Cup": "2"}})
    wrong = outside(compare(scene(CUP), after, SHAPE), SHAPE)
    assert [(change.factor, change.key) for change in wrong] == [("material", "slots:Cup")]


def test_changing_an_old_material_while_adding_a_part_is_no_geometry():
    before = scene({"material": {"material:Old": "1"}})
    after = scene(CUP, {"material": {"material:Old": "2"}})
    wrong = outside(compare(before, after, SHAPE), SHAPE)
    assert [change.key for change in wrong] == ["material:Old"]


def test_the_surface_of_a_mesh_whose_topology_changed_is_geometry():
    before = scene(CUP, topology={"mesh:Cup": "a"})
    surface, shape = {"material": {"mesh:Cup": "2"}}, {"geometry": {"mesh:Cup": "2"}}
    assert found(before, scene(CUP, surface, shape, topology={"mesh:Cup": "b"})) == {
        ("geometry", "mesh:Cup", "changed")
    }
    assert found(before, scene(CUP, surface, topology={"mesh:Cup": "a"})) == {("material", "mesh:Cup", "changed")}


def test_a_swapped_mesh_is_geometry():
    after = scene(
        CUP,
        {"geometry": {"mesh:Cup": "", "mesh:Cup.001": "1", "object:Cup": "2"}},
        {"material": {"mesh:Cup": "", "mesh:Cup.001": "1"}},
    )
    assert {change.factor for change in compare(scene(CUP), after, SHAPE)} == {"geometry"}


def test_cameras_and_lights_are_their_own_factors_when_they_come_move_and_go():
    moved = scene({"light": {"object:Lamp": "2", "light:Lamp": "1"}})
    for before, after in ((scene(), scene(LAMP)), (scene(LAMP), moved), (scene(LAMP), scene())):
        assert {change.factor for change in compare(before, after, EVERYTHING)} == {"light"}


def test_a_factor_that_we_do_not_know_is_outside_every_scope():
    before, after = scene(), scene()
    after.factors["smell"] = {"object:Cup": "1"}
    assert [change.factor for change in outside(compare(before, after, EVERYTHING), EVERYTHING)] == ["smell"]


def test_details_show_only_what_differs_and_not_too_much():
    (change,) = compare(scene(CUP), scene(CUP, {"material": {"material:Wood": "2"}}), EVERYTHING)
    before = DescribeReply(texts={"material:Wood": {"roughness": "0.5", "name": "Wood"}})
    after = DescribeReply(texts={"material:Wood": {"roughness": "0.7", "name": "Wood", "coat": "1"}})
    detailed = with_details(change, before, after)
    assert detailed.details == ("coat: (none) → 1", "roughness: 0.5 → 0.7")
    assert sentence(detailed) == "material: material 'Wood' changed (coat: (none) → 1; roughness: 0.5 → 0.7)"
    many = DescribeReply(texts={"material:Wood": {f"p{n}": "1" for n in range(100)}})
    assert len(with_details(change, before, many).details) == 9
