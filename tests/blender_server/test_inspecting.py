"""What inspect tells is where things are, in the world and in the picture, and all of it is JSON."""

import json

import pytest

from protocol.models import DumpRequest, ExecuteRequest, InspectRequest
from tests.blender_server.scenes import RICH
from tests.blender_server.test_rendering import ids

pytestmark = [pytest.mark.blender, pytest.mark.matrix("handlers")]


@pytest.fixture(scope="session")
def rich_file(shared):
    shared.fresh()
    shared.edit(RICH)
    (shared.folder / "edit.blend").rename(shared.folder / "inspected.blend")
    return "inspected.blend"


@pytest.fixture
def rich(shared, rich_file):
    shared.fresh(rich_file)
    return shared


def inspect(server, subject, name="", short=False):
    what = server.call(InspectRequest(subject=subject, name=name, short=short)).what
    assert json.loads(json.dumps(what, allow_nan=False)) == what
    return what


def entries(server):
    return {entry["name"]: entry for entry in inspect(server, "scene")["objects"]}


def test_objects_are_told_in_the_world(rich):
    cup = entries(rich)["Cup"]
    assert cup["parent"] == "Table" and cup["materials"] == ["Blue"] and cup["type"] == "MESH"
    assert cup["location"] == pytest.approx([0, 0, 1.75])
    assert cup["world_box"][0] == pytest.approx([-0.25, -0.25, 1.5]) and cup["dimensions"] == pytest.approx([0.5] * 3)
    assert (cup["vertices"], cup["faces"], cup["hidden"]) == (8, 6, False)


def test_projected_boxes_are_where_the_render_shows_the_objects(rich):
    for aspect in ((128, 128), (160, 80), (80, 160)):
        rich.edit(f'bpy.context.scene["frame_px"] = {aspect}\nbpy.data.cameras["Camera"].shift_x = 0.1')
        shown, told = ids(rich, width_px=aspect[0], height_px=aspect[1]), entries(rich)
        for name in ("Cup", "Wire", "Label"):
            rows, columns = shown[name].any(axis=1).nonzero()[0], shown[name].any(axis=0).nonzero()[0]
            box = (
                columns[0] / aspect[0],
                rows[0] / aspect[1],
                (columns[-1] + 1) / aspect[0],
                (rows[-1] + 1) / aspect[1],
            )
            if name in ("Cup", "Wire"):
                assert told[name]["projected_box"] == pytest.approx(box, abs=0.02)
            left, top, right, bottom = told[name]["projected_box"]
            assert left < box[0] + 0.02 and top < box[1] + 0.02 and right > box[2] - 0.02 and bottom > box[3] - 0.02


def test_an_orthographic_camera_is_projected_too(rich):
    rich.call(
        ExecuteRequest(
            source="""
camera = bpy.data.objects["Camera"]
camera.data.type, camera.data.ortho_scale = "ORTHO", 4
camera.location, camera.rotation_euler = (0, 0, 10), (0, 0, 0)
bpy.data.objects["Table"].modifiers.clear()
"""
        )
    )
    told = entries(rich)["Cup"]
    assert told["projected_box"] == pytest.approx([0.4375, 0.4375, 0.5625, 0.5625], abs=1e-4)
    assert told["in_frame"] == 1.0


def test_in_frame_is_the_part_of_the_box_that_is_seen(rich):
    rich.call(
        ExecuteRequest(
            source="""
camera = bpy.data.objects["Camera"]
camera.data.type, camera.data.ortho_scale = "ORTHO", 4
camera.location, camera.rotation_euler = (2, 0, 10), (0, 0, 0)
bpy.data.objects["Cup"].parent = None
bpy.data.objects["Cup"].location = (0, 0, 0)
"""
        )
    )
    assert entries(rich)["Cup"]["in_frame"] == pytest.approx(0.5, abs=1e-3)
    rich.call(ExecuteRequest(source='bpy.data.objects["Cup"].location.x = -9'))
    assert entries(rich)["Cup"]["in_frame"] == 0.0


def test_what_is_behind_the_camera_has_no_projected_box(rich):
    rich.call(
        ExecuteRequest(source='bpy.data.objects["Cup"].parent = None\nbpy.data.objects["Cup"].location = (8, -16, 7)')
    )
    assert entries(rich)["Cup"]["projected_box"] is None


def test_a_ground_that_reaches_behind_the_camera_has_a_bounded_box(rich):
    rich.call(ExecuteRequest(source='bpy.data.objects["Ground"].scale = (50, 50, 50)'))
    box = entries(rich)["Ground"]["projected_box"]
    assert all(-10 <= value <= 11 for value in box) and box[0] < 0 and box[2] > 1 and box[1] < 0.5


def test_camera_lights_world_and_view_are_told(rich):
    what = inspect(rich, "scene")
    camera = what["camera"]
    assert camera["location"] == [4.0, -8.0, 4.0] and camera["rotation_deg"] == pytest.approx([68, 0, 25], abs=1e-3)
    assert camera["fov_deg"] == pytest.approx([39.5978, 39.5978]) and camera["lens_mm"] == 50.0
    assert what["lights"][0]["name"] == "Lamp" and what["lights"][0]["energy"] == 500.0
    assert what["world"]["color"] == pytest.approx([0.3, 0.4, 0.6]) and what["world"]["strength"] == 1.0
    assert what["view"] == {"view_transform": "Standard", "look": "None", "exposure": 0.0, "gamma": 1.0}


def test_a_scene_without_anything_is_told_too(server):
    what = inspect(server, "scene")
    assert (what["objects"], what["camera"], what["world"]) == ([], None, None)


def test_a_wire_is_as_large_as_it_is_seen_not_as_its_control_points_reach(rich):
    low, high = entries(rich)["Wire"]["world_box"]
    assert low == pytest.approx([0, -0.05, 1.95], abs=1e-3) and high == pytest.approx([2, 0.05, 2.05], abs=1e-3)


def test_an_object_shows_its_modifiers_slots_and_keys(rich):
    what = inspect(rich, "object", "Table")
    assert [modifier["type"] for modifier in what["modifiers"]] == ["BEVEL", "SUBSURF"]
    assert what["modifiers"][0]["values"]["width"] == 0.02
    assert what["slots"] == [{"material": "Red", "faces": 6}, {"material": "Blue", "faces": 0}]
    assert what["shape_keys"] == {"Basis": 0.0, "Tall": 0.0} and what["vertex_groups"] == ["Legs"]
    assert what["children"] == ["Cup"] and what["uv_maps"] == ["UVMap"]
    assert inspect(rich, "object", "Cup")["custom"] == {"maker": "us"}
    for name in ("Camera", "Lamp", "Kitchen", "Wire", "Label"):
        assert inspect(rich, "object", name)["name"] == name


def test_a_material_shows_values_and_links(rich):
    what = inspect(rich, "material", "Red")
    nodes = {node["name"]: node for node in what["nodes"]}
    assert nodes["Principled BSDF"]["values"]["Roughness"] == 0.5
    assert "Base Color" not in nodes["Principled BSDF"]["values"]
    assert "Picture.Color → Principled BSDF.Base Color" in what["links"]
    assert what["users"] == ["Table"]


# ── in short ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_tree_names_every_object_below_its_parent(rich):
    tree = inspect(rich, "scene", short=True)["tree"]
    assert tree == ["Camera", "Ground", "Kitchen", "Label", "Lamp", "Table", "  Cup", "Wire"]


def test_what_is_as_usual_is_left_out(rich):
    told = {entry["name"]: entry for entry in inspect(rich, "scene", short=True)["objects"]}
    assert told["Kitchen"] == {"name": "Kitchen", "type": "EMPTY", "location": [0.0, 0.0, 0.0]}
    assert told["Cup"]["parent"] == "Table" and not {"hidden", "rotation_deg", "collections"} & told["Cup"].keys()
    assert told["Wire"]["collections"] == ["Scene Collection", "Things"]


def test_what_is_nought_is_no_reason_to_leave_it_out(rich):
    rich.call(ExecuteRequest(source='bpy.data.objects["Cup"].location.x = -90'))
    cup = next(one for one in inspect(rich, "scene", short=True)["objects"] if one["name"] == "Cup")
    assert cup["in_frame"] == 0.0


def test_modifiers_and_constraints_show_what_was_set(rich):
    bevel, smooth = inspect(rich, "object", "Table", short=True)["modifiers"]
    assert bevel.startswith("Bevel (BEVEL): width=0.02") and smooth == "Smooth (SUBSURF)"
    assert inspect(rich, "object", "Cup", short=True)["constraints"] == ["Limit (LIMIT_LOCATION)"]
    for name in ("Camera", "Lamp", "Kitchen", "Wire", "Label"):
        assert inspect(rich, "object", name, short=True)["name"] == name


def test_a_material_shows_what_was_set_and_its_links(rich):
    rich.call(
        ExecuteRequest(
            source="""
nodes = bpy.data.materials["Red"].node_tree.nodes
nodes["Principled BSDF"].inputs["Roughness"].default_value = 0.125
nodes["Picture"].interpolation = "Closest"
made = nodes.new("ShaderNodeValToRGB")
made.color_ramp.elements[0].position = 0.25
value = nodes.new("ShaderNodeValue")
value.outputs[0].default_value = 3.5
bpy.data.materials["Red"].use_backface_culling = True
"""
        )
    )
    what = inspect(rich, "material", "Red", short=True)
    assert [node.replace("ColorRamp", "Color Ramp") for node in what["nodes"]] == [  # 4.0 wrote it apart
        "Principled BSDF (ShaderNodeBsdfPrincipled): Roughness=0.125",
        "Material Output (ShaderNodeOutputMaterial)",
        "Picture (ShaderNodeTexImage): image=image:Wood; interpolation=Closest",
        "Color Ramp (ShaderNodeValToRGB): color_ramp.elements[0].position=0.25",
        "Value (ShaderNodeValue): Value=3.5",
    ]
    assert "Picture.Color -> Principled BSDF.Base Color" in what["links"]
    assert what["users"] == ["Table"] and what["settings"] == {"use_backface_culling": "True"}
    group = next(node for node in inspect(rich, "material", "Blue", short=True)["nodes"] if node.startswith("Group"))
    assert group.startswith("Group (ShaderNodeGroup)")


def test_inspecting_leaves_nothing_behind(rich):
    """Defaults are read from new datablocks, which are gone again."""
    count = "[len(getattr(bpy.data, n)) for n in ('materials', 'objects', 'meshes', 'node_groups', 'cameras')]"
    before = rich.evaluate(count)
    fingerprint = rich.fingerprint()
    for subject, name in (("scene", ""), ("object", "Table"), ("object", "Cup"), ("material", "Blue")):
        inspect(rich, subject, name, short=True)
    inspect(rich, "contacts")
    assert rich.evaluate(count) == before and rich.fingerprint() == fingerprint


# ── contacts ──────────────────────────────────────────────────────────────────────────────────────────────────────────
BODIES = """
def box(name, size, place, parent=None):
    bpy.ops.mesh.primitive_cube_add(size=size, location=place)
    made = bpy.context.object
    made.name = name
    made.parent = parent
    return made

bpy.ops.mesh.primitive_plane_add(size=10)
bpy.context.object.name = "Ground"
box("Stands", 1, (-3, 0, 0.5))
box("Rests", 0.5, (-3, 0, 1.25))
box("Hovers", 1, (0, 0, 0.75))
box("Hovers too", 0.5, (0, 0, 1.5))
box("Sunk", 1, (3, 0, 0.25))
box("Deep", 1, (3, 3, 0.5))
box("Deeper", 1, (3.75, 3, 0.5))
group = bpy.data.objects.new("Group", None)
bpy.context.scene.collection.objects.link(group)
box("Body", 1, (0, 3, 0.5), group)
box("Handle", 0.5, (0.5, 3, 0.5), group)
hidden = box("Hidden", 1, (0, 0, 0.75))
hidden.hide_render = True
"""


@pytest.fixture
def bodies(shared):
    shared.fresh()
    shared.edit(BODIES)
    return shared


def test_bodies_that_reach_into_each_other_are_named_with_share_and_depth(bodies):
    told = {tuple(sorted(one["objects"])): one for one in inspect(bodies, "contacts")["interpenetrating"]}
    assert told.keys() == {("Deep", "Deeper"), ("Ground", "Sunk")}
    deep, sunk = told["Deep", "Deeper"], told["Ground", "Sunk"]
    assert deep["share"] == pytest.approx(0.25, abs=0.03) and deep["along"] == "x"
    assert deep["depth_m"] == pytest.approx(0.25, abs=0.05)
    assert sunk["share"] == pytest.approx(0.25, abs=0.03) and sunk["depth_m"] == pytest.approx(0.25, abs=0.08)


def test_parts_of_one_group_may_overlap_and_are_only_counted(bodies):
    told = inspect(bodies, "contacts")
    assert told["within_groups"] == 1 and told["checked"] == 10 and told["not_checked"] == []


def test_what_stands_on_nothing_is_named_together_with_what_it_carries(bodies):
    told = inspect(bodies, "contacts")["floating"]
    assert told == [{"objects": ["Hovers", "Hovers too"], "gap_below_m": 0.25, "above": "Ground"}]


def test_a_thing_in_an_open_vessel_is_not_in_its_wall(shared):
    shared.fresh()
    shared.edit(
        """
bpy.ops.mesh.primitive_cylinder_add(radius=1, depth=2, end_fill_type="NOTHING", location=(0, 0, 1))
bpy.context.object.name = "Vessel"
bpy.ops.mesh.primitive_cube_add(size=0.5, location=(0, 0, 0.25))
"""
    )
    assert inspect(shared, "contacts")["interpenetrating"] == []


DISHES = """
def box(name, size, place):
    bpy.ops.mesh.primitive_cube_add(size=1, location=place)
    made = bpy.context.object
    made.name, made.scale = name, size
    return made

def foot(name, place, fill):
    bpy.ops.mesh.primitive_cylinder_add(radius=0.04, depth=0.004, end_fill_type=fill, location=place)
    bpy.context.object.name = name

box("Top", (1.2, 0.8, 0.03), (0, 0, 0.735))
"""


@pytest.mark.parametrize("fill", ["NGON", "NOTHING"], ids=["closed", "open"])
@pytest.mark.parametrize(("sunk", "told"), [(0.0, None), (0.0002, None), (0.002, 0.002), (0.02, 0.004)])
def test_what_lies_flush_on_another_only_touches_it_and_nothing_is_deeper_than_it_is_high(shared, fill, sunk, told):
    """A foot of 4 mm on a table top, and up to wholly inside it: nothing to do with how wide either is."""
    shared.fresh()
    shared.edit(f"{DISHES}\nfoot('Foot', (0.2, 0.1, {0.752 - sunk}), '{fill}')")
    found = inspect(shared, "contacts")
    assert found["floating"] == []
    if told is None:
        assert found["interpenetrating"] == []
    else:
        (entry,) = found["interpenetrating"]
        assert entry["objects"] == ["Top", "Foot"] and entry["depth_m"] == pytest.approx(told, rel=0.15)


def test_a_small_sheet_that_stands_in_a_large_body_reaches_in_as_far_as_its_edge(shared):
    shared.fresh()
    shared.edit(f"""{DISHES}
bpy.ops.mesh.primitive_plane_add(size=0.1, location=(0, 0, 0.79), rotation=(1.5707963, 0, 0))
bpy.context.object.name = "Card"
""")
    (entry,) = inspect(shared, "contacts")["interpenetrating"]
    assert entry["objects"] == ["Top", "Card"] and entry["share"] == pytest.approx(0.5, abs=0.11)
    assert entry["depth_m"] == pytest.approx(0.01, abs=1e-4)


def test_a_table_with_all_that_it_carries_may_hang_over_a_far_floor_but_not_close_to_one(shared):
    """Most of the scene, without its legs: half its height is where it counts as meant."""
    for floor, told in ((-0.1, []), (0.62, [0.1])):
        shared.fresh()
        shared.edit(f"""{DISHES}
box("Mug", (0.1, 0.1, 0.25), (0, 0, 0.875))
foot("Foot", (0.2, 0.1, 0.752), "NGON")
bpy.ops.mesh.primitive_plane_add(size=10, location=(0, 0, {floor}))
""")
        assert [entry["gap_below_m"] for entry in inspect(shared, "contacts")["floating"]] == told


def test_contacts_of_a_scene_of_many_faces_come_in_time(shared):
    shared.fresh()
    shared.edit(
        """
for n in range(40):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=40, location=(n % 8 * 1.9, n // 8 * 1.9, 1))
"""
    )
    told = shared.client.call(InspectRequest(subject="contacts"), 30)[0].what
    assert told["checked"] == 40 and told["floating"] == []


def test_an_empty_scene_has_no_contacts(server):
    told = inspect(server, "contacts")
    assert told == {"interpenetrating": [], "floating": [], "checked": 0, "not_checked": [], "within_groups": 0}


def test_the_world_shows_its_nodes_with_what_drives_them(rich):
    tree = 'bpy.data.worlds["World"].node_tree'
    rich.call(
        ExecuteRequest(
            source=f'{tree}.links.new({tree}.nodes["Environment Texture"].outputs[0], '
            f'{tree}.nodes["Background"].inputs["Color"])'
        )
    )
    what = inspect(rich, "world")
    background = next(node for node in what["nodes"] if node["type"] == "ShaderNodeBackground")
    assert what["name"] == "World" and background["values"] == {"Strength": 1.0}
    assert [link for link in what["links"] if "→ Background.Color" in link]


def test_a_scene_without_a_world_has_no_nodes_to_show(server):
    assert inspect(server, "world") == {}


def test_a_dump_holds_meshes_as_buffers_and_the_rest_as_numbers(rich):
    reply, payloads = rich.client.call(DumpRequest(), 60)
    cup = reply.meshes["mesh:Cup"]
    assert len(payloads[cup["vertices"]]) == 8 * 12 and len(payloads[cup["uv:UVMap"]]) == 24 * 8
    assert len(payloads[cup["loop_starts"]]) == 6 * 4 and len(payloads[cup["corner_vertices"]]) == 24 * 4
    assert reply.numbers["object:Cup"]["location"] == (0.0, 0.0, 1.25)
    assert reply.texts["slots:Cup"]["material_slots[0].material"] == "Blue"


def test_sockets_that_share_a_name_are_told_by_their_number(server):
    source = """
import bpy
made = bpy.data.materials.new("Glow")
made.use_nodes = True
node = made.node_tree.nodes.new("ShaderNodeMath")
node.name, node.operation = "Gain", "MULTIPLY_ADD"
node.inputs[1].default_value, node.inputs[2].default_value = 1.7, 0.03
"""
    server.call(ExecuteRequest(source=source))
    told = inspect(server, "material", name="Glow", short=True)
    (line,) = [one for one in told["nodes"] if one.startswith("Gain")]
    assert "inputs[1]=1.7" in line and "inputs[2]=0.03" in line
