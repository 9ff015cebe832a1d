"""What no table names is read as well: every modifier, constraint and node that this Blender has."""

import shutil

import pytest

from protocol.models import DescribeRequest, DumpRequest, InspectRequest
from tests.blender_server.scenes import ZOO
from tests.blender_server.servers import changed

pytestmark = [pytest.mark.blender, pytest.mark.matrix("fingerprint")]


@pytest.fixture(scope="session")
def zoo_file(shared):
    shared.fresh()
    shared.edit(ZOO)
    shutil.copy(shared.folder / "edit.blend", shared.folder / "zoo.blend")
    return "zoo.blend"


@pytest.fixture
def zoo(shared, zoo_file):
    shared.fresh(zoo_file)
    return shared


def test_everything_is_covered_and_stays_the_same_through_files_and_processes(zoo, another):
    before = zoo.fingerprint()
    assert len(before.objects) > 12
    zoo.reload()
    assert changed(before, zoo.fingerprint()) == set()
    shutil.copy(zoo.folder / "edit.blend", another.folder / "zoo.blend")
    another.fresh("zoo.blend")
    assert another.fingerprint() == before


def test_everything_can_be_described_dumped_and_inspected(zoo):
    found = zoo.fingerprint()
    keys = tuple((factor, key) for factor, digests in found.factors.items() for key in digests)
    texts = zoo.call(DescribeRequest(keys=keys)).texts
    assert {"mesh:Cup", "object:Fur", "material:Red", "nodetree:Fields", "world:World"} <= texts.keys()
    zoo.call(DumpRequest())
    for name in found.objects:
        zoo.call(InspectRequest(subject="object", name=name))
    zoo.call(InspectRequest(subject="scene"))
    zoo.call(InspectRequest(subject="material", name="Red"))


def test_one_number_in_any_node_is_found(zoo):
    before = zoo.fingerprint()
    source = """
for node in bpy.data.materials["Red"].node_tree.nodes:
    for socket in node.inputs:
        if socket.type == "VALUE" and not socket.is_linked and node.bl_idname == {!r}:
            socket.default_value = socket.default_value * 0.5 + 0.125
"""
    for name in ("ShaderNodeTexNoise", "ShaderNodeBsdfGlass", "ShaderNodeMath", "ShaderNodeBump"):
        zoo.edit(source.format(name))
        after = zoo.fingerprint()
        assert changed(before, after) == {("material", "material:Red")}
        before = after


def test_an_input_of_a_node_group_is_its_objects_geometry(zoo):
    before = zoo.fingerprint()
    zoo.edit("""
fields = bpy.data.objects["Cup"].modifiers["Fields"]
if hasattr(fields, "properties"):
    for name in fields.properties.inputs.bl_rna.properties.keys():
        if name.startswith("Socket_"):
            getattr(fields.properties.inputs, name).value = 2.5
else:
    name = next(name for name in fields.keys() if not name.endswith(("_attribute_name", "_use_attribute")))
    fields[name] = 2.5
""")
    assert changed(before, zoo.fingerprint()) == {("geometry", "object:Cup")}


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ('bpy.data.metaballs["Drop"].elements[0].radius = 0.4', "metaball:Drop"),
        ('bpy.data.lattices["Cage"].points[1].co_deform.x += 0.1', "lattice:Cage"),
        ('bpy.data.curves["Sheet"].splines[0].points[2].weight = 3', "curve:Sheet"),
        ("BONE", "armature:Armature"),
        ("NORMALS", "mesh:Table"),
        ("ATTRIBUTE", "mesh:Table"),
        ('bpy.data.objects["Fur"].particle_systems[0].settings.count = 7', "particlesettings:Fur"),
        ('bpy.data.node_groups["Fields"].nodes["Math"].operation = "POWER"', "nodetree:Fields"),
        ("SOCKET", "nodetree:Fields"),
        ('bpy.data.objects["Table"].modifiers["REMESH"].mode = "SMOOTH"', "object:Table"),
        ('bpy.data.objects["Table"].modifiers["SIMPLE_DEFORM"].lock_x = True', "object:Table"),
    ],
)
def test_rare_geometry_is_covered_too(zoo, source, key):
    before = zoo.fingerprint()
    zoo.edit(RARE.get(source, source))
    after = zoo.fingerprint()
    assert ("geometry", key) in changed(before, after)
    assert {factor for factor, _ in changed(before, after)} == {"geometry"}


RARE = {
    "BONE": """
bones = bpy.data.objects["Bones"]
bpy.context.view_layer.objects.active = bones
bpy.ops.object.mode_set(mode="EDIT")
bones.data.edit_bones[0].tail.z += 0.5
""",
    "NORMALS": """
mesh = bpy.data.meshes["Table"]
if hasattr(mesh, "use_auto_smooth"):
    mesh.use_auto_smooth = True
mesh.normals_split_custom_set([(0.6, 0, 0.8)] * len(mesh.loops))
""",
    "ATTRIBUTE": """
mesh = bpy.data.meshes["Table"]
mesh.attributes.new("wear", "FLOAT", "POINT").data[2].value = 0.5
""",
    "SOCKET": """
tree = bpy.data.node_groups["Fields"]
if hasattr(tree, "interface"):
    tree.interface.items_tree["Amount"].max_value = 3
else:
    tree.inputs["Amount"].max_value = 3
""",
}


def test_an_overridden_material_and_a_pass_are_the_hosts(zoo):
    before = zoo.fingerprint()
    zoo.edit('bpy.context.view_layer.material_override = bpy.data.materials["Red"]')
    assert changed(before, zoo.fingerprint()) == {("host", "scene:Scene")}
