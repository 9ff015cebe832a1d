"""One scene in two versions: what nobody has set is no difference, what one lacks is counted, all else is told."""

from __future__ import annotations

import pytest

from agent.rebuild.across import Side, compare_across, readable
from agent.rebuild.equivalence import Dump

ROUGHNESS = "node_tree.nodes['Principled BSDF'].inputs['Roughness'].default_value"
WOOD = "material:Wood"


def side(value: float | str, default: float | str | None = None, key: str = WOOD, path: str = ROUGHNESS) -> Side:
    """A scene of one property, beside its default; None: that cannot be told."""
    return Side(dump(value, key, path), None if default is None else dump(default, key, path))


def dump(value: float | str, key: str = WOOD, path: str = ROUGHNESS) -> Dump:
    return Dump({}, {key: {path: value}}, {}) if isinstance(value, str) else Dump({key: {path: (value,)}}, {}, {})


def test_a_property_at_its_own_versions_default_on_both_sides_did_not_change() -> None:
    found = compare_across(side(0.5, default=0.5), side(0.4, default=0.4))
    assert found.different == ()
    assert found.defaults == ("material node Principled BSDF input Roughness: 0.5 → 0.4",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (side(0.5, default=0.3), side(0.4, default=0.4)),
        (side(0.5, default=0.5), side(0.4, default=0.3)),
        (side(0.5, default="0.5"), side(0.4, default=0.4)),
        (Side(dump(0.5), Dump({}, {}, {})), side(0.4, default=0.4)),
    ],
    ids=["set before", "set after", "another kind", "not to be told"],
)
def test_what_was_set_on_either_side_is_a_difference_named_down_to_the_property(first: Side, second: Side) -> None:
    found = compare_across(first, second)
    assert found.different == ("material:Wood node Principled BSDF input Roughness: 0.5 → 0.4",)


def test_where_the_older_ones_defaults_cannot_be_asked_what_is_left_to_blender_is_presumed_one() -> None:
    assert compare_across(side(0.5), side(0.4, default=0.4)).different == ()
    assert compare_across(side(0.5), side(0.4, default=0.5)).different != ()


def test_the_view_transform_must_match() -> None:
    views = [side(name, "Filmic", "scene:Scene", "view_settings.view_transform") for name in ("Standard", "AgX")]
    assert compare_across(*views).different == ("scene:Scene view_settings.view_transform: Standard → AgX",)


def test_what_is_alike_of_many_things_is_told_once() -> None:
    many = [Dump({f"material:{name}": {ROUGHNESS: (value,)} for name in "ABC"}, {}, {}) for value in (0.5, 0.4)]
    found = compare_across(*(Side(one, Dump({}, {}, {})) for one in many))
    assert found.different == ("material:A (and 2 more) node Principled BSDF input Roughness: 0.5 → 0.4",)


def test_properties_of_only_one_version_are_listed_those_that_were_set_first() -> None:
    names = ("Anisotropic", "Specular")
    paths = {name: f"node_tree.nodes['Principled BSDF'].inputs['{name}'].default_value" for name in names}
    scene = Dump({WOOD: {paths["Anisotropic"]: (0.0,), paths["Specular"]: (0.1,), ROUGHNESS: (0.5,)}}, {}, {})
    plain = Dump({WOOD: {paths["Anisotropic"]: (0.0,), paths["Specular"]: (0.5,), ROUGHNESS: (0.5,)}}, {}, {})
    found = compare_across(Side(scene, plain), side(0.5, default=0.5))
    assert found.only_first == tuple(f"material node Principled BSDF input {name}" for name in names[::-1])
    assert (found.only_second, found.different) == ((), ())


def test_things_that_are_in_only_one_scene_are_differences() -> None:
    found = compare_across(side(0.5, default=0.5), side(0.5, default=0.5, key="material:Stone"))
    assert found.different == ("material:Wood is not built", "material:Stone is built besides")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (ROUGHNESS, "node Principled BSDF input Roughness"),
        ("node_tree.nodes['A.B'].outputs[1].default_value", "node A.B output 1"),
        ("node_tree.nodes['Mix'].blend_type", "node Mix blend_type"),
        ("modifiers['Round'].segments", "modifiers['Round'].segments"),
        ("cycles.use_light_tree", "cycles.use_light_tree"),
    ],
)
def test_paths_are_said_as_a_person_would(path: str, said: str) -> None:
    assert readable(path) == said
