"""A fingerprint is complete for what its factors cover, and stable under everything that changes no scene."""

import shutil

import pytest

from protocol.models import DescribeRequest, ExecuteRequest, OrbitView, PresetView, RenderRequest, RestoreRequest
from tests.blender_server.scenes import RICH
from tests.blender_server.servers import changed

pytestmark = [pytest.mark.blender, pytest.mark.matrix("fingerprint")]

TABLE = 'bpy.data.objects["Table"]'
CUP = 'bpy.data.objects["Cup"]'
RED = 'bpy.data.materials["Red"].node_tree'
BLUE = 'bpy.data.materials["Blue"].node_tree'
PRINCIPLED = f'{RED}.nodes["Principled BSDF"].inputs'
TALL = f'{TABLE}.data.shape_keys.key_blocks["Tall"]'
PAINT = 'bpy.data.node_groups["Paint"].nodes["Value"]'
WOOD = 'bpy.data.images["Wood"]'
SCENE = "bpy.context.scene"
RAMP = f'{BLUE}.nodes["Ramp"]'
BACKGROUND = 'bpy.data.worlds["World"].node_tree.nodes["Background"].inputs'
OTHER_SCENE = {(factor, "scene:Other") for factor in ("structure", "camera", "world", "view", "host")}

CHANGES = [
    # what is done, code, what the fingerprint must name and nothing else
    ("a moved vertex", f"{TABLE}.data.vertices[3].co.x += 0.001", {("geometry", "mesh:Table")}),
    ("a face turned smooth", f"{TABLE}.data.polygons[2].use_smooth = True", {("geometry", "mesh:Table")}),
    ("a modifier's setting", f'{TABLE}.modifiers["Bevel"].width = 0.021', {("geometry", "object:Table")}),
    ("a modifier off", f'{TABLE}.modifiers["Smooth"].show_render = False', {("geometry", "object:Table")}),
    ("modifiers swapped", "MODIFIERS", {("geometry", "object:Table")}),
    ("a new modifier", f'{CUP}.modifiers.new("Thick", "SOLIDIFY")', {("geometry", "object:Cup")}),
    ("a shape key's value", f'{TALL}.value = 0.5', {("geometry", "key:Key")}),
    ("a shape key's point", f'{TALL}.data[1].co.x += 0.1', {("geometry", "key:Key")}),
    ("a weight", f'{TABLE}.vertex_groups["Legs"].add([1], 0.75, "REPLACE")', {("geometry", "mesh:Table")}),
    ("a vertex group", f'{CUP}.vertex_groups.new(name="Rim")', {("geometry", "object:Cup")}),
    ("a crease", "CREASE", {("geometry", "mesh:Cup")}),
    ("a curve's point", "POINT", {("geometry", "curve:Wire")}),
    ("a curve's bevel", 'bpy.data.curves["Wire"].bevel_depth = 0.1', {("geometry", "curve:Wire")}),
    ("a letter", 'bpy.data.curves["Letters"].body = "Seig"', {("geometry", "curve:Letters")}),
    ("a place", f"{CUP}.location.x += 0.001", {("transform", "object:Cup")}),
    ("a turn", f"{CUP}.rotation_euler.z += 0.001", {("transform", "object:Cup")}),
    ("a delta scale", f"{CUP}.delta_scale.z = 1.1", {("transform", "object:Cup")}),
    ("a parent inverse", f"{CUP}.matrix_parent_inverse[0][3] = 1", {("transform", "object:Cup")}),
    ("a constraint's setting", f'{CUP}.constraints["Limit"].max_x = 3', {("transform", "object:Cup")}),
    ("a new constraint", f'{TABLE}.constraints.new("LIMIT_SCALE")', {("transform", "object:Table")}),
    ("another parent", f'{CUP}.parent = bpy.data.objects["Kitchen"]', {("structure", "object:Cup")}),
    ("hidden from render", f"{CUP}.hide_render = True", {("structure", "object:Cup")}),
    ("hidden from the camera", "HIDE_FROM_CAMERA", {("structure", "object:Cup")}),
    ("hidden in the view layer", f"{CUP}.hide_set(True)", {("structure", "object:Cup")}),
    ("a custom property", f'{CUP}["maker"] = "them"', {("structure", "object:Cup")}),
    ("a new empty collection", "COLLECTION", {("structure", "collection:Dishes"), ("structure", "collection:Things")}),
    ("into a collection", f'bpy.data.collections["Things"].objects.link({CUP})', {("structure", "object:Cup")}),
    ("a collection left out", "EXCLUDE", {("structure", "scene:Scene")}),
    ("a node's value", f'{PRINCIPLED}["Roughness"].default_value = 0.51', {("material", "material:Red")}),
    ("a node's option", f'{RED}.nodes["Picture"].interpolation = "Closest"', {("material", "material:Red")}),
    ("a cut link", f"{RED}.links.remove({RED}.links[-1])", {("material", "material:Red")}),
    ("a new node", f'{BLUE}.nodes.new("ShaderNodeTexNoise")', {("material", "material:Blue")}),
    ("a colour ramp's stop", f'{RAMP}.color_ramp.elements[0].position = 0.1', {("material", "material:Blue")}),
    ("a group's value", f'{PAINT}.outputs[0].default_value = 2', {("material", "nodetree:Paint")}),
    ("a painted pixel", f'{WOOD}.pixels[5] = 0.75', {("material", "image:Wood")}),
    ("a swapped image", "SWAP", {("material", "material:Red"), ("material", "image:Wood"), ("material", "image:Oak")}),
    ("an image read as data", f'{WOOD}.colorspace_settings.name = "Non-Color"', {("material", "image:Wood")}),
    ("a slot's material", f'{CUP}.material_slots[0].material = bpy.data.materials["Red"]', {("material", "slots:Cup")}),
    ("slots of the object", f'{CUP}.material_slots[0].link = "OBJECT"', {("material", "slots:Cup")}),
    ("a face's material", f"{TABLE}.data.polygons[1].material_index = 1", {("material", "mesh:Table")}),
    ("a UV", f"{CUP}.data.uv_layers[0].data[2].uv = (0.5, 0.25)", {("material", "mesh:Cup")}),
    ("a vertex colour", "PAINT", {("material", "mesh:Cup")}),
    ("a new material", "NEW_MATERIAL", {("material", "material:Gold"), ("material", "slots:Ground")}),
    ("the camera's lens", 'bpy.data.cameras["Camera"].lens = 51', {("camera", "camera:Camera")}),
    ("the camera's place", 'bpy.data.objects["Camera"].location.x += 0.1', {("camera", "object:Camera")}),
    ("no active camera", f"{SCENE}.camera = None", {("camera", "scene:Scene")}),
    ("a second camera", "SECOND_CAMERA", {("camera", "object:Eye"), ("camera", "camera:Eye")}),
    ("a light's energy", 'bpy.data.lights["Lamp"].energy = 501', {("light", "light:Lamp")}),
    ("a light's place", 'bpy.data.objects["Lamp"].location.x += 0.1', {("light", "object:Lamp")}),
    ("a light off", 'bpy.data.objects["Lamp"].hide_render = True', {("light", "object:Lamp")}),
    ("a second light", "SECOND_LIGHT", {("light", "object:Sun"), ("light", "light:Sun")}),
    ("the world's strength", f'{BACKGROUND}["Strength"].default_value = 0.9', {("world", "world:World")}),
    ("the sky's pixel", 'bpy.data.images["Sky"].pixels[0] = 1', {("world", "image:Sky")}),
    ("no world", f"{SCENE}.world = None", {("world", "scene:Scene"), ("world", "world:World"), ("world", "image:Sky")}),
    ("exposure", f"{SCENE}.view_settings.exposure = 0.1", {("view", "scene:Scene")}),
    ("view transform", f'{SCENE}.view_settings.view_transform = "Raw"', {("view", "scene:Scene")}),
    ("a driver", f'{CUP}.driver_add("location", 0).driver.expression = "0"', {("host", "object:Cup")}),
    ("a driver in a node tree", "NODE_DRIVER", {("host", "material:Red")}),
    ("a key frame", f'{CUP}.keyframe_insert("location")', {("host", "object:Cup"), ("host", "action:CupAction")}),
    ("a text", 'bpy.data.texts.new("run.py").write("import os")', {("host", "text:run.py")}),
    ("a second scene", 'bpy.data.scenes.new("Other")', OTHER_SCENE),
    ("a marker", f'{SCENE}.timeline_markers.new("M", frame=3)', {("host", "scene:Scene")}),
    ("the frame", f'{SCENE}["frame_px"] = (320, 200)', {("host", "scene:Scene")}),
]  # fmt: skip

LONGER = {
    "MODIFIERS": """
modifiers = bpy.data.objects["Table"].modifiers
bpy.context.view_layer.objects.active = bpy.data.objects["Table"]
bpy.ops.object.modifier_move_up(modifier="Smooth")
""",
    "CREASE": """
mesh = bpy.data.objects["Cup"].data
if hasattr(mesh.edges[0], "crease"):
    mesh.edges[0].crease = 0.5
else:
    mesh.attributes.new("crease_edge", "FLOAT", "EDGE").data[0].value = 0.5
""",
    "POINT": 'bpy.data.curves["Wire"].splines[0].bezier_points[1].co.z += 0.01',
    "HIDE_FROM_CAMERA": """
thing = bpy.data.objects["Cup"]
if hasattr(thing, "visible_camera"):
    thing.visible_camera = False
else:
    thing.cycles_visibility.camera = False
""",
    "COLLECTION": """
dishes = bpy.data.collections.new("Dishes")
bpy.data.collections["Things"].children.link(dishes)
""",
    "NODE_DRIVER": f'{PRINCIPLED}["Metallic"].driver_add("default_value").driver.expression = "0"',
    "EXCLUDE": 'bpy.context.view_layer.layer_collection.children["Things"].indirect_only = True',
    "SWAP": """
oak = bpy.data.images.new("Oak", 4, 4)
oak.pixels[:] = [0.1] * 64
bpy.data.materials["Red"].node_tree.nodes["Picture"].image = oak
""",
    "PAINT": """
mesh = bpy.data.objects["Cup"].data
layers = getattr(mesh, "color_attributes", mesh.vertex_colors)
layers["Dirt"].data[3].color = (1, 0, 0.5, 1)
""",
    "NEW_MATERIAL": """
gold = bpy.data.materials.new("Gold")
bpy.data.objects["Ground"].data.materials.append(gold)
""",
    "SECOND_CAMERA": """
eye = bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
bpy.context.scene.collection.objects.link(eye)
""",
    "SECOND_LIGHT": """
sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
bpy.context.scene.collection.objects.link(sun)
""",
    "COMPOSITOR": """
scene = bpy.context.scene
if hasattr(scene, "compositing_node_group"):
    scene.compositing_node_group = bpy.data.node_groups.new("Glow", "CompositorNodeTree")
else:
    scene.use_nodes = True
""",
}


@pytest.fixture(scope="session")
def base(shared):
    """The rich scene as the file rich.blend, and its fingerprint."""
    shared.fresh()
    shared.edit(RICH)
    shutil.copy(shared.folder / "edit.blend", shared.folder / "rich.blend")
    return shared.fingerprint()


@pytest.fixture
def rich(shared, base):
    shared.fresh("rich.blend")
    return shared


@pytest.mark.parametrize(("source", "expected"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_is_found_in_its_factor_and_names_its_datablock(rich, base, source, expected):
    rich.edit(LONGER.get(source, source))
    assert changed(base, rich.fingerprint()) == expected


def test_a_compositor_is_the_hosts(rich, base):
    rich.edit(LONGER["COMPOSITOR"])
    assert {factor for factor, _ in changed(base, rich.fingerprint())} == {"host"}


def test_a_renamed_object_is_gone_under_its_old_name_and_new_under_the_other(rich, base):
    rich.edit(f'{CUP}.name = "Mug"')
    after = rich.fingerprint()
    assert {("structure", "object:Cup"), ("structure", "object:Mug")} <= changed(base, after)
    assert "Mug" in after.objects and "Cup" not in after.objects


def test_a_camera_on_a_moved_parent_has_moved(rich):
    rich.edit('bpy.data.objects["Camera"].parent = bpy.data.objects["Kitchen"]')
    before = rich.fingerprint()
    rich.edit('bpy.data.objects["Kitchen"].location.x += 1')
    moved = {("transform", "object:Kitchen"), ("camera", "object:Camera")}
    assert changed(before, rich.fingerprint()) == moved


def test_an_image_that_material_and_world_share_belongs_to_both(rich):
    rich.edit(f'{RED}.nodes["Picture"].image = bpy.data.images["Sky"]')
    before = rich.fingerprint()
    rich.edit('bpy.data.images["Sky"].pixels[0] = 1')
    assert changed(before, rich.fingerprint()) == {("material", "image:Sky"), ("world", "image:Sky")}


def test_topology_tells_a_moved_vertex_from_a_new_face(rich, base):
    rich.edit(f"{TABLE}.data.vertices[3].co.x += 0.001")
    assert rich.fingerprint().topology == base.topology
    rich.edit(
        f"import bmesh\nm = bmesh.new(); m.from_mesh({CUP}.data)\nm.faces.remove(m.faces[:][0])\nm.to_mesh({CUP}.data)"
    )
    after = rich.fingerprint().topology
    assert {key for key in after if after[key] != base.topology.get(key)} == {"mesh:Cup"}


def test_what_is_no_scene_changes_nothing(rich, base):
    rich.edit(f"""
{CUP}.select_set(True)
{CUP}.show_name = True
bpy.context.view_layer.objects.active = {CUP}
{RED}.nodes["Picture"].location = (500, 500)
{RED}.nodes["Picture"].select = False
bpy.context.scene.cursor.location = (1, 2, 3)
bpy.data.meshes.new("unused")
bpy.data.materials.new("unused")
""")
    assert changed(base, rich.fingerprint()) == set()


def test_saving_and_loading_changes_nothing(rich, base):
    for _ in range(3):
        rich.reload()
    assert rich.fingerprint() == base


def test_another_process_finds_the_same(rich, base, another):
    shutil.copy(rich.folder / "rich.blend", another.folder / "rich.blend")
    another.fresh("rich.blend")
    assert another.fingerprint() == base


def test_rendering_changes_nothing(rich, base):
    for view in (RenderRequest().view, OrbitView(azimuth_deg=30, focus="Cup"), PresetView(side="top")):
        rich.call(RenderRequest(view=view, width_px=16, height_px=16, samples=1, isolate=("Table",), transparent=True))
    rich.call(RenderRequest(picture="object_id", width_px=16, height_px=16))
    assert rich.fingerprint() == base
    rich.edit("")
    assert rich.fingerprint() == base


def test_what_the_host_resets_is_told_and_leaves_no_trace(rich, base):
    resets = rich.edit("""
scene = bpy.context.scene
scene.render.engine = "BLENDER_WORKBENCH"
scene.render.resolution_x, scene.cycles.samples, scene.frame_current = 99, 7, 5
scene.render.filepath, scene.render.film_transparent = "/tmp/x.png", True
scene.render.image_settings.file_format = "JPEG"
scene.cycles.max_bounces = 2
""")
    assert changed(base, rich.fingerprint()) == set()
    for name in ("engine", "resolution_x", "samples", "frame_current", "filepath", "film_transparent", "file_format"):
        assert sum(f".{name}:" in line for line in resets) == 1
    assert "scene.render.engine: 'BLENDER_WORKBENCH' → 'CYCLES'" in resets


def test_a_description_shows_what_the_numbers_were(rich):
    keys = (("transform", "object:Cup"), ("geometry", "mesh:Cup"), ("material", "nothing:here"))
    texts = rich.call(DescribeRequest(keys=keys)).texts
    assert texts["object:Cup"]["location"] == "(0, 0, 1.25)"
    assert texts["mesh:Cup"]["vertices"].startswith("8 × 3, ")
    assert "nothing:here" not in texts


def test_edits_before_the_file_is_reopened_are_seen_too(rich, base):
    rich.call(ExecuteRequest(source=f"{CUP}.location.x = 3"))
    assert changed(base, rich.fingerprint()) == {("transform", "object:Cup")}
    rich.call(RestoreRequest(file="rich.blend"))
    assert rich.fingerprint() == base
