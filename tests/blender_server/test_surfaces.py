"""What a render shows comes out as triangles of the world; other vertices take its place; any camera can be looked
through.
"""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from protocol import errors
from protocol.models import (
    ExecuteRequest,
    PinholeView,
    RenderRequest,
    SnapshotRequest,
    SurfacesRequest,
    WarpRequest,
)
from tests.blender_server.scenes import SMALL

pytestmark = [pytest.mark.blender, pytest.mark.matrix("handlers")]

PX = 96


def read(server, **fields):
    """(reply, name → (vertices, triangles))."""
    reply, (vertices, triangles) = server.client.call(SurfacesRequest(**fields), 60)
    vertices, triangles = (
        np.frombuffer(raw, kind).reshape(-1, 3) for raw, kind in ((vertices, "<f4"), (triangles, "<i4"))
    )
    found, v, t = {}, 0, 0
    for one in reply.objects:
        found[one.name] = vertices[v : v + one.vertices], triangles[t : t + one.triangles]
        v, t = v + one.vertices, t + one.triangles
    assert (v, t) == (len(vertices), len(triangles))
    return reply, found


def warp(server, **vertices):
    texts = {name: base64.b64encode(np.asarray(each, "<f4").tobytes()).decode() for name, each in vertices.items()}
    return server.call(WarpRequest(objects=texts))


def picture(server, **fields):
    request = RenderRequest(**{"width_px": PX, "height_px": PX, "samples": 4, **fields})
    with Image.open(io.BytesIO(server.client.call(request, 60)[1][0])) as image:
        return np.asarray(image.convert("RGBA")).astype(float)


def psnr(one, other):
    return 10 * np.log10(255**2 / max(np.mean((one - other) ** 2), 1e-9))


def volume(vertices, triangles):
    a, b, c = (vertices[triangles[:, corner]].astype(float) for corner in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


@pytest.fixture(scope="session")
def small_file(shared):
    shared.fresh()
    shared.edit(SMALL)
    shared.call(SnapshotRequest(file="surfaces.blend"))
    return "surfaces.blend"


@pytest.fixture
def small(shared, small_file):
    shared.fresh(small_file)
    return shared


def test_objects_come_in_the_world_with_their_faces_and_what_they_are_below(small):
    reply, found = read(small)
    assert set(found) == {"Table", "Cup", "Ground"}
    assert {one.name: one.above for one in reply.objects} == {"Table": (), "Cup": ("Table",), "Ground": ()}
    vertices, triangles = found["Cup"]
    assert (len(vertices), len(triangles)) == (8, 12)
    matrix = json.loads(small.evaluate("[list(row) for row in bpy.data.objects['Cup'].matrix_world]"))
    local = json.loads(small.evaluate("[[*vertex.co, 1] for vertex in bpy.data.meshes['Cup'].vertices]"))
    assert vertices == pytest.approx((np.array(local) @ np.array(matrix).T)[:, :3], abs=1e-5)
    assert abs(volume(vertices, triangles)) == pytest.approx(np.ptp(vertices, axis=0).prod(), rel=1e-4)


def test_what_renders_counts_and_not_what_the_viewport_shows(small):
    small.call(
        ExecuteRequest(
            source="""
table, cup = bpy.data.objects["Table"], bpy.data.objects["Cup"]
soft = table.modifiers.new("Soft", "SUBSURF")
soft.levels, soft.render_levels = 0, 2
cup.modifiers.new("Unseen", "SUBSURF").show_render = False
bpy.data.objects["Ground"].hide_render = True
card = bpy.data.objects.new("Card", table.data)
bpy.context.scene.collection.objects.link(card)
if hasattr(card, "visible_camera"):
    card.visible_camera = False
else:
    card.cycles_visibility.camera = False
cup.hide_viewport = True
"""
        )
    )
    before = small.fingerprint()
    found = read(small)[1]
    assert {name: len(triangles) for name, (_, triangles) in found.items()} == {"Table": 12 * 16, "Cup": 12}
    assert small.fingerprint() == before
    assert small.evaluate("bpy.data.objects['Cup'].hide_viewport, bpy.data.objects['Table'].modifiers[0].levels") == (
        "True 0"
    )


def test_instances_are_realised_under_the_name_of_what_they_stand_for(small):
    small.call(
        ExecuteRequest(
            source="""
parts = bpy.data.collections.new("Parts")
for x in (0, 1):
    part = bpy.data.objects.new("Part", bpy.data.objects["Cup"].data)
    part.location.x = x
    parts.objects.link(part)
for y in (5, 9):
    row = bpy.data.objects.new("Row {}".format(y), None)
    row.instance_type, row.instance_collection, row.location.y = "COLLECTION", parts, y
    bpy.context.scene.collection.objects.link(row)
line = bpy.data.curves.new("Wire", "CURVE")
line.dimensions, line.bevel_depth = "3D", 0.1
line.splines.new("POLY").points.add(1)
line.splines[0].points[1].co = (1, 0, 0, 1)
bpy.context.scene.collection.objects.link(bpy.data.objects.new("Wire", line))
"""
        )
    )
    found = read(small)[1]
    assert set(found) == {"Table", "Cup", "Ground", "Row 5", "Row 9", "Wire"}
    first, second = found["Row 5"], found["Row 9"]
    assert len(first[0]) == 16 and len(first[1]) == 24 and first[1].max() == 15
    assert second[0] - first[0] == pytest.approx(np.tile((0, 4, 0), (16, 1)), abs=1e-5)
    assert len(found["Wire"][1]) > 4


SCATTERED = """
group = bpy.data.node_groups.new("Scatter", "GeometryNodeTree")
if hasattr(group, "interface"):
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
else:
    group.outputs.new("NodeSocketGeometry", "Geometry")
line, cube, scatter, out = [group.nodes.new(kind) for kind in (
    "GeometryNodeMeshLine", "GeometryNodeMeshCube", "GeometryNodeInstanceOnPoints", "NodeGroupOutput")]
line.inputs["Count"].default_value = 3
line.inputs["Offset"].default_value = (0, 0, 2)
group.links.new(line.outputs[0], scatter.inputs["Points"])
group.links.new(cube.outputs[0], scatter.inputs["Instance"])
group.links.new(scatter.outputs[0], out.inputs[0])
cup = bpy.data.objects["Cup"]
cup.modifiers.new("Scatter", "NODES").node_group = group
cup.parent, cup.location, cup.scale = None, (0, 0, 1), (0.5, 0.5, 0.5)
"""


def test_what_geometry_nodes_instance_is_realised_and_can_be_warped(small):
    small.call(ExecuteRequest(source=SCATTERED))
    before, found = picture(small), read(small)[1]
    vertices, triangles = found["Cup"]
    assert (len(vertices), len(triangles)) == (24, 36)
    assert sorted(set(vertices[:, 2].round(3).tolist())) == [0.75, 1.25, 1.75, 2.25, 2.75, 3.25]
    warp(small, Cup=vertices)
    assert psnr(before, picture(small)) > 35


PAINTED = """
table = bpy.data.objects["Table"]
layer = table.data.uv_layers.new(name="Painted")
for index, each in enumerate(layer.data):
    each.uv = (index % 5 / 4, index % 7 / 6)
table.modifiers.new("Soft", "SUBSURF").render_levels = 2
table.modifiers.new("Bent", "SIMPLE_DEFORM").angle = 0.5
image = bpy.data.images.new("Checker", 4, 4)
image.pixels[:] = [value for i in range(16) for value in ((i + i // 4) % 2, 0.2, i / 16, 1)]
painted = bpy.data.materials.new("Painted")
painted.use_nodes = True
tree = painted.node_tree
texture, uv = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeUVMap")
texture.image, texture.interpolation, uv.uv_map = image, "Closest", "Painted"
tree.links.new(uv.outputs[0], texture.inputs[0])
tree.links.new(texture.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])
table.material_slots[0].link = "OBJECT"
table.material_slots[0].material = painted
"""


def test_surfaces_in_their_place_keep_uv_maps_and_materials_linked_to_the_object(small):
    small.call(ExecuteRequest(source=PAINTED))
    before = picture(small)
    vertices, _ = read(small)[1]["Table"]
    assert len(vertices) > 50
    warp(small, Table=vertices)
    assert psnr(before, kept := picture(small)) > 35
    small.call(ExecuteRequest(source="bpy.data.images['Checker'].pixels[:] = [1, 0, 0, 1] * 16"))
    assert psnr(kept, picture(small)) < 33, "it is the painted one that is seen"


def test_the_same_vertices_in_their_place_give_the_same_picture(small):
    before, found = picture(small), read(small)[1]
    assert warp(small, **{name: vertices for name, (vertices, _) in found.items()}).objects == 3
    assert psnr(before, picture(small)) > 35
    again = np.concatenate([vertices for vertices, _ in read(small)[1].values()])
    assert np.sort(again, axis=0) == pytest.approx(
        np.sort(np.concatenate([vertices for vertices, _ in found.values()]), axis=0), abs=1e-4
    )


def test_other_vertices_in_their_place_give_the_picture_of_an_object_that_was_moved(small, small_file):
    still, found = picture(small), read(small)[1]
    warp(small, Cup=found["Cup"][0] + np.array((0.5, 0.25, 0), "f4"))
    warped = picture(small)
    small.fresh(small_file)
    small.call(ExecuteRequest(source=MOVED))
    assert psnr(warped, picture(small)) > 35 > psnr(warped, still)


MOVED = """
from mathutils import Matrix
cup = bpy.data.objects["Cup"]
cup.matrix_world = Matrix.Translation((0.5, 0.25, 0)) @ cup.matrix_world
"""


def test_vertices_that_do_not_fit_are_refused_and_leave_the_scene_as_it_was(small):
    before, found = small.fingerprint(), read(small)[1]
    for vertices in (found["Cup"][0][:-1], found["Cup"][0][:0]):
        with pytest.raises(errors.RequestFailed, match=r"'Cup' has 8 vertices, \d were given") as caught:
            warp(small, Cup=vertices, Table=found["Table"][0])
        assert caught.value.code == errors.BAD_REQUEST
    with pytest.raises(errors.RequestFailed, match="'Nobody' has 0 vertices"):
        warp(small, Nobody=found["Cup"][0])
    with pytest.raises(errors.RequestFailed, match="base64"):
        small.call(WarpRequest(objects={"Cup": "?"}))
    assert small.fingerprint() == before


def test_too_large_a_scene_is_refused(small):
    small.call(ExecuteRequest(source='bpy.data.objects["Table"].modifiers.new("Much", "ARRAY").count = 600000'))
    with pytest.raises(errors.RequestFailed, match="shows more than 4,000,000 vertices") as caught:
        read(small)
    assert caught.value.code == errors.REFUSED


def test_the_scenes_own_camera_as_a_pinhole_gives_its_picture(small):
    small.call(
        ExecuteRequest(source="bpy.data.cameras['Camera'].shift_x, bpy.data.cameras['Camera'].shift_y = 0.2, -0.1")
    )
    for width_px, height_px in ((96, 64), (64, 96)):
        aspect = width_px / height_px
        right, left, top, bottom = read(small, aspect=aspect)[0].camera.edges
        assert (right - left) / (top - bottom) == pytest.approx(aspect)
        longer = max(right - left, top - bottom)
        center = (-left / (right - left), top / (top - bottom))
        view = PinholeView(to_world=read(small)[0].camera.to_world, focal=1 / longer, center=center)
        size = {"width_px": width_px, "height_px": height_px}
        assert psnr(picture(small, **size), picture(small, view=view, **size)) > 45


def test_a_camera_without_perspective_is_not_told(small):
    small.call(ExecuteRequest(source="bpy.data.cameras['Camera'].type = 'ORTHO'"))
    assert read(small)[0].camera is None


@pytest.mark.parametrize("focal", [0.01, 0.7, 40.0])
def test_a_principal_point_lies_where_it_is_told(small, focal):
    """A small box far along the axis is seen there, whatever the focal length."""
    small.call(
        ExecuteRequest(
            source="""
for thing in list(bpy.data.objects):
    if thing.type == "MESH" and thing.name != "Cup":
        bpy.data.objects.remove(thing)
cup = bpy.data.objects["Cup"]
cup.parent, cup.location = None, (0, 100, 0)
cup.scale = ({0}, 0.001, {0})
""".format(10 / focal)
        )
    )
    along_y = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    view = PinholeView(to_world=along_y, focal=focal, center=(0.75, 0.4))
    seen = picture(small, view=view, width_px=120, height_px=60, picture="object_id")[..., 3] > 0
    rows, columns = np.nonzero(seen)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((90, 24), abs=1.5)
