"""Meshes of other programs: what they say is read in Blender's axes, and none of them can do harm."""

import json
import struct
from importlib.util import find_spec

import numpy as np
import pytest

from agent.evaluation.data import MeshFile
from agent.evaluation.geometry import mesh_file
from agent.evaluation.geometry.mesh import surface_of
from agent.evaluation.geometry.mesh_file import read_mesh
from agent.evaluation.score import Unavailable
from tests.evaluation.shapes import box
from tests.fakes.needs import lacking


@pytest.fixture(autouse=True)
def extra():
    if find_spec("trimesh") is None:
        lacking("trimesh, of the extra 'evaluation'")


TRIANGLE = np.array(((0, 0, 0), (1, 0, 0), (0, 2, 3)), dtype=np.float32)


def glb(path, document, binary=b""):
    def chunk(kind, content, filler):
        content += filler * (-len(content) % 4)
        return struct.pack("<II", len(content), kind) + content

    document = {"asset": {"version": "2.0"}} | document
    chunks = chunk(0x4E4F534A, json.dumps(document).encode(), b" ") + chunk(0x004E4942, binary, b"\0")
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return path


def triangles(primitives=1, mode=4):
    """A glTF document and its binary: one mesh of that many equal triangles, each a primitive of its own."""
    indices = np.arange(3, dtype=np.uint32).tobytes()
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}
    document = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "chair", "mesh": 0, "translation": [0, 0, -10]}],
        "meshes": [{"name": "chair.001", "primitives": [primitive] * primitives}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0] * 3, "max": [1, 2, 3]},
            {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 12},
        ],
        "buffers": [{"byteLength": 48}],
    }
    return document, TRIANGLE.tobytes() + indices


def read(path, up="Y"):
    return read_mesh(MeshFile(path=path, up=up))


def test_a_gltf_is_turned_to_z_up_and_its_nodes_are_where_they_are_put(tmp_path):
    mesh = read(glb(tmp_path / "a.glb", *triangles()))
    assert mesh.parts == (("chair", 3, 1),)
    assert mesh.vertices.tolist() == [[0, 10, 0], [1, 10, 0], [0, 7, 2]]
    assert mesh.faces.tolist() == [[0, 1, 2]]


def test_a_file_that_has_z_up_is_left_as_it_is(tmp_path):
    assert read(glb(tmp_path / "a.glb", *triangles()), up="Z").vertices[2].tolist() == [0, 2, -7]


def test_an_object_of_several_materials_is_one_object_under_its_own_name(tmp_path):
    mesh = read(glb(tmp_path / "a.glb", *triangles(primitives=3)))
    assert mesh.parts == (("chair", 9, 3),)
    assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_a_gltf_beside_its_binary_is_read(tmp_path):
    document, binary = triangles()
    document["buffers"][0]["uri"] = "a.bin"
    (tmp_path / "a.bin").write_bytes(binary)
    (tmp_path / "a.gltf").write_text(json.dumps({"asset": {"version": "2.0"}} | document))
    assert read(tmp_path / "a.gltf").vertices[2].tolist() == [0, 7, 2]


def test_a_gltf_reaches_no_file_outside_its_folder(tmp_path):
    document, binary = triangles()
    document["buffers"][0]["uri"] = "../a.bin"
    (tmp_path / "a.bin").write_bytes(binary)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/a.gltf").write_text(json.dumps({"asset": {"version": "2.0"}} | document))
    with pytest.raises(Unavailable, match="escapes"):
        read(tmp_path / "inside/a.gltf")


def test_an_obj_is_read_with_its_objects_joined(tmp_path):
    vertices, faces = box((0, 0, 1), (1, 2, 2), cells=1)
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in faces + 1]
    (tmp_path / "a.OBJ").write_text("mtllib none.mtl\no box\n" + "\n".join(lines))
    mesh = read(tmp_path / "a.OBJ", up="Z")
    low, high = surface_of(mesh).box
    assert (low.tolist(), high.tolist()) == ([-0.5, -1, 0], [0.5, 1, 2])
    assert len(mesh.faces) == len(faces)


PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face {faces}
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
0 2 {last}
"""


def test_a_ply_is_read(tmp_path):
    (tmp_path / "a.ply").write_text(PLY.format(faces=1, last=3) + "3 0 1 2\n")
    assert read(tmp_path / "a.ply", up="Z").vertices.tolist() == TRIANGLE.tolist()


def test_a_ply_of_points_alone_is_read_and_has_no_surface(tmp_path):
    (tmp_path / "a.ply").write_text(PLY.format(faces=0, last=3))
    with pytest.raises(Unavailable, match="3 points but no triangle"):
        surface_of(read(tmp_path / "a.ply"))


def test_a_mesh_whose_vertices_are_nan_is_read_and_has_no_surface(tmp_path):
    (tmp_path / "a.ply").write_text(PLY.format(faces=1, last="nan") + "3 0 1 2\n")
    with pytest.raises(Unavailable, match="1 of 1 triangles have a corner that is not finite"):
        surface_of(read(tmp_path / "a.ply"))


def test_a_scene_of_nothing_is_read_and_is_empty(tmp_path):
    with pytest.raises(Unavailable, match="the mesh is empty"):
        surface_of(read(glb(tmp_path / "a.glb", {"scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"name": "none"}]})))


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".glb", b""),
        (".glb", b"glTF\2\0\0\0" + b"\xff" * 8 + b"JSON"),
        (".gltf", b'{"a":' * 99_999),
        (".obj", b"\0" * 64),
        (".ply", b"\0" * 64),
    ],
    ids=["empty", "glb of -1 bytes", "deep json", "obj of zeros", "ply of zeros"],
)
def test_a_file_of_anything_ends_in_a_reason(tmp_path, ending, content):
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"a\.\w+ cannot be read|the mesh is empty"):
        surface_of(read(path))


def test_a_face_of_vertices_that_are_not_there_ends_in_a_reason(tmp_path):
    (tmp_path / "a.ply").write_text(PLY.format(faces=1, last=3) + "3 0 1 7\n")
    with pytest.raises(Unavailable, match="vertex that is not there"):
        read(tmp_path / "a.ply")


def test_a_few_bytes_that_ask_for_a_terabyte_take_no_memory_here(tmp_path):
    document, binary = triangles()
    document["accessors"][0] = {"componentType": 5126, "count": 10**11, "type": "VEC3"}
    with pytest.raises(Unavailable, match=r"cannot be read: .*more memory than is allowed"):
        read(glb(tmp_path / "a.glb", document, binary))


def test_a_tree_that_branches_a_million_times_to_one_leaf_has_one_leaf(tmp_path):
    document, binary = triangles()
    branches = [{"name": f"n{i}", "children": [i + 1, i + 1]} for i in range(20)]
    document["nodes"] = [*branches, {"name": "leaf", "mesh": 0}]
    assert read(glb(tmp_path / "a.glb", document, binary)).parts == (("leaf", 3, 1),)


def test_a_node_that_is_its_own_child_is_read_once(tmp_path):
    document, binary = triangles()
    document["nodes"][0]["children"] = [0]
    assert read(glb(tmp_path / "a.glb", document, binary)).parts == (("chair", 3, 1),)


def test_a_mesh_that_is_used_too_often_ends_in_a_reason(tmp_path):
    document, _ = triangles()
    count, uses = 30_000, 1000
    binary = bytes(12 * count) + np.arange(3, dtype=np.uint32).tobytes()
    document["accessors"][0]["count"] = count
    document["bufferViews"] = [
        {"buffer": 0, "byteLength": 12 * count},
        {"buffer": 0, "byteOffset": 12 * count, "byteLength": 12},
    ]
    document["buffers"][0]["byteLength"] = len(binary)
    document["nodes"] = [{"name": f"n{i}", "mesh": 0} for i in range(uses)]
    document["scenes"][0]["nodes"] = list(range(uses))
    with pytest.raises(Unavailable, match="30,000,000 vertices, the limit is 15,000,000"):
        read(glb(tmp_path / "a.glb", document, binary))


def test_what_takes_too_long_to_read_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh_file, "READ_S", 0.01)
    with pytest.raises(Unavailable, match=r"not read within 0\.01 s"):
        read(glb(tmp_path / "a.glb", *triangles()))


def test_what_is_no_mesh_by_its_name_is_not_opened(tmp_path):
    with pytest.raises(Unavailable, match=r"is none of \.glb"):
        read(tmp_path / "a.blend")
    with pytest.raises(Unavailable, match="there is no file"):
        read(tmp_path / "a.glb")


def test_a_file_beyond_the_limit_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh_file, "MOST_FILE_BYTES", 100)
    with pytest.raises(Unavailable, match="the limit is 100"):
        read(glb(tmp_path / "a.glb", *triangles()))
