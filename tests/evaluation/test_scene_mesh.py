"""What a Blender tells of triangles is not believed. What a picture's objects stand in does not count, and is named."""

import numpy as np
import pytest

from agent.evaluation.scene_mesh import ObjectMesh, at_both_edges, counted, everything, is_surroundings, read_objects
from agent.scene_graph import SceneGraph
from protocol.errors import ProtocolViolated
from protocol.models import Surface, SurfacesReply


def told(*objects):
    """(name, vertices, triangles) of each."""
    surfaces = tuple(Surface(name=name, vertices=v, triangles=t) for name, v, t in objects)
    return SurfacesReply(objects=surfaces, camera=None)


def raw(vertices, triangles):
    return [np.asarray(vertices, "<f4").tobytes(), np.asarray(triangles, "<i4").tobytes()]


def mesh(name, vertices=((0, 0, 0), (1, 0, 0), (0, 1, 0)), triangles=((0, 1, 2),)):
    return ObjectMesh(name, np.array(vertices, np.float32), np.array(triangles, np.int32).reshape(-1, 3))


TWO = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (5, 5, 5), (6, 5, 5), (5, 6, 5)]


def test_objects_are_read_by_name_each_with_its_own_numbers():
    second, first = read_objects(told(("b", 3, 1), ("a", 3, 1)), raw(TWO, [(0, 1, 2), (2, 1, 0)]))[::-1]
    assert (first.name, second.name) == ("a", "b")
    assert first.vertices.tolist() == [list(point) for point in TWO[3:]] and second.triangles.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("reply", "payloads"),
    [
        (told(("a", 3, 1)), []),
        (told(("a", 3, 1)), raw(TWO, [(0, 1, 2)])),
        (told(("a", 3, 2)), raw(TWO[:3], [(0, 1, 2)])),
        (told(("a", 3, 1), ("b", 3, 1)), raw(TWO, [(0, 1, 2), (0, 1, 3)])),
        (told(("a", 3, 1), ("b", 3, 1)), raw(TWO, [(0, 1, 2), (-1, 1, 2)])),
        (told(("a", 3, 1), ("a", 3, 1)), raw(TWO, [(0, 1, 2), (0, 1, 2)])),
        (told(("a", 10**15, 1)), raw(TWO, [(0, 1, 2)])),
    ],
    ids=["nothing", "too many vertices", "too few triangles", "beyond its own", "negative", "twice", "announced"],
)
def test_what_cannot_be_is_refused(reply, payloads):
    with pytest.raises(ProtocolViolated):
        read_objects(reply, payloads)


def test_an_object_without_faces_or_with_what_is_no_number_does_not_count_and_is_named():
    found = everything([mesh("fine"), mesh("bare", triangles=()), mesh("broken", ((0, 0, np.nan),) * 3)])
    assert [one.name for one in found.objects] == ["fine"]
    assert found.left_out == {"bare": "it has no faces", "broken": "it has vertices that are no finite numbers"}


def test_objects_are_joined_with_each_ones_triangles_on_its_own_vertices():
    joined = everything([mesh("a"), mesh("b", TWO[3:])]).joined()
    assert joined.faces.tolist() == [[0, 1, 2], [3, 4, 5]] and len(joined.vertices) == 6
    nothing = everything([]).joined()
    assert (nothing.vertices.shape, nothing.faces.shape) == ((0, 3), (0, 3))


@pytest.mark.parametrize(
    "name", ["Ground", "ground_plane", "Back Wall", "wall_left.001", "Wooden Floor", "SkyBackdrop"]
)
def test_surroundings_are_known_by_their_last_word(name):
    assert is_surroundings(name)


@pytest.mark.parametrize("name", ["WallClock", "Floor Lamp", "Grounds", "Cup", "plane", "Left", "", "12", "Wallet"])
def test_what_only_begins_like_surroundings_is_an_object(name):
    assert not is_surroundings(name)


def node(name, parent=None, kind="part"):
    return {"name": name, "parent": parent, "kind": kind, "description": ""}


def test_of_a_full_picture_surroundings_are_left_out_by_name_by_place_in_the_graph_and_by_reach():
    nodes = [node("Environment", kind="group"), node("Carpet", "Environment"), node("Cup"), node("Table")]
    graph = SceneGraph.model_validate({"environment": "", "nodes": nodes})
    objects = [mesh(name) for name in ("Carpet", "Cup", "Ground", "Rim", "Stripe", "Table")]
    found = counted(objects, {"Stripe": ("Ground",), "Rim": ("Cup",)}, graph, {"Table"})
    assert [one.name for one in found.objects] == ["Cup", "Rim"]
    assert found.left_out == {
        "Carpet": "surroundings by its name, 'Environment'",
        "Ground": "surroundings by its name, 'Ground'",
        "Stripe": "surroundings by its name, 'Ground'",
        "Table": "surroundings: it is seen at both the left and the right edge of the picture",
    }


def test_what_is_seen_at_both_edges_is_found_in_an_object_id_picture():
    ids = np.zeros((4, 6), np.uint32)
    ids[2:] = 2
    ids[1, :3], ids[2, 2:4], ids[0] = 1, 3, 9
    assert at_both_edges(ids, ["Cup", "Table", "Plate"]) == {"Table"}
