"""A scene graph is a tree of unique, valid names whose leaves are parts."""

import pytest
from pydantic import ValidationError

from agent.scene_graph import SceneGraph


def node(name, parent=None, kind="part"):
    return {"name": name, "parent": parent, "kind": kind, "description": "a thing"}


def graph(*nodes):
    return SceneGraph.model_validate({"environment": "a table", "nodes": nodes})


def test_leaves_and_required_objects_are_the_parts_and_all_nodes():
    made = graph(node("Cup", kind="group"), node("Body", "Cup"), node("Handle", "Cup"))
    assert [leaf.name for leaf in made.leaves()] == ["Body", "Handle"]
    assert made.required_objects() == {"Cup", "Body", "Handle"}


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node("Cup"), node("Cup")], "unique"),
        ([node("Cup", "Table")], "no node"),
        ([node("Cup"), node("Handle", "Cup")], "must be a group"),
        ([node("A", "B", "group"), node("B", "A", "group"), node("C", "A")], "circle"),
        ([node("A", kind="group")], "no part"),
        ([node("A", kind="group"), node("B")], "without parts"),
        ([node("x" * 64)], "valid Blender name"),
        ([node("")], "valid Blender name"),
        ([node("a\nb")], "valid Blender name"),
        ([node("Camera")], "taken"),
    ],
)
def test_what_is_no_tree_of_valid_names_is_refused_with_the_reason(nodes, told):
    with pytest.raises(ValidationError, match=told):
        graph(*nodes)


def test_what_was_never_built_leaves_the_graph_with_the_groups_it_empties():
    made = graph(node("Cup", kind="group"), node("Body", "Cup"), node("Plate"))
    assert [one.name for one in made.without(["Body"]).nodes] == ["Plate"]
    assert made.without(["Body", "Plate"]) is None


def test_relations_are_to_other_nodes_and_go_with_what_they_are_to():
    stands = {**node("Cup"), "relations": [{"relation": "stands on", "to": "Plate"}]}
    made = graph(stands, node("Plate"))
    assert made.without(["Plate"]).nodes[0].relations == ()
    for to in ("Table", "Cup"):
        with pytest.raises(ValidationError, match="no other node"):
            graph({**node("Cup"), "relations": [{"relation": "stands on", "to": to}]}, node("Plate"))
