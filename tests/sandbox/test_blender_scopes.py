"""What each stage's edits may change, told by a real Blender's standby."""

import pytest
from box_helpers import ALL, KINDS, Editor, assert_nothing_left, real_pool

from sandbox.limits import Limits

pytestmark = [pytest.mark.blender, pytest.mark.matrix("transactions"), pytest.mark.timeout(120)]

STAGES = {
    "initialisation": ALL,
    "geometry": {"structure", "geometry", "transform"},
    "material": {"material"},
    "composition": {"transform", "camera"},
    "lighting": {"light", "world", "view"},
    "camera": {"camera"},
}

SCENE = """
def material(name, color):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
    return made

def part(name, x, *materials):
    bpy.ops.mesh.primitive_cube_add(location=(x, 0, 0))
    bpy.context.object.name = bpy.context.object.data.name = name
    for each in materials:
        bpy.context.object.data.materials.append(each)
    return bpy.context.object
"""
START = (
    SCENE
    + """
wood, gold = material("Wood", (.4, .2, .1, 1)), material("Gold", (.9, .7, .1, 1))
cup = part("Cup", 0, wood, gold)
cup.data.polygons[0].material_index = 1
part("Plate", 3, gold)
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "AREA"))
for each in (camera, lamp):
    bpy.context.collection.objects.link(each)
    each.location = (0, -9, 4)
bpy.context.scene.camera = camera
bpy.context.scene.world = bpy.data.worlds.new("World")
bpy.context.scene.world.use_nodes = True
"""
)


@pytest.fixture(scope="module", params=KINDS)
def pool(request, tmp_path_factory):
    with real_pool(request.param, Limits(), tmp_path_factory.mktemp(request.param)) as pool:
        yield pool
    assert_nothing_left(pool.folder)


@pytest.fixture(scope="module")
def start(pool):
    """A committed scene to begin from."""
    with pool.session() as session:
        outcome = Editor(session)(START)
        assert outcome.kind == "committed", outcome.message
        yield session


@pytest.fixture
def attempt(start):
    """Runs code in a stage, from the start scene."""
    head, edit = start.head, Editor(start)

    def attempt(stage, source, **options):
        start.move_to(head)
        return edit(SCENE + source, STAGES[stage], stage=stage, **options)

    yield attempt
    start.move_to(head)


CUP, LAMP = "bpy.data.objects['Cup']", "bpy.data.objects['Lamp']"
WOOD = "bpy.data.materials['Wood'].node_tree.nodes['Principled BSDF'].inputs"
ALLOWED = [
    ("geometry", "part('Handle', 1, material('Steel', (.5, .5, .5, 1)))"),
    ("geometry", "part('Handle', 1, bpy.data.materials['Wood'])"),
    ("geometry", f"{CUP}.modifiers.new('Bevel', 'BEVEL').width = .1"),
    ("geometry", f"{CUP}.data.vertices[0].co.z += .5"),
    ("geometry", "bpy.data.objects.remove(bpy.data.objects['Plate'])"),
    (
        "geometry",
        "import bmesh\nmesh = bmesh.new(); mesh.from_mesh(bpy.data.objects['Cup'].data)\n"
        "bmesh.ops.subdivide_edges(mesh, edges=mesh.edges[:], cuts=2)\nmesh.to_mesh(bpy.data.objects['Cup'].data)",
    ),
    ("geometry", f"{CUP}.parent = bpy.data.objects['Plate']"),
    ("material", f"{WOOD}['Roughness'].default_value = .1"),
    ("material", f"{CUP}.data.materials[0] = material('Steel', (.5, .5, .5, 1))"),
    ("material", f"{CUP}.data.polygons[3].material_index = 1"),
    ("composition", f"{CUP}.location.x = 1; {CUP}.rotation_euler.z = 1; bpy.data.cameras['Camera'].lens = 70"),
    ("lighting", f"{LAMP}.data.energy = 500; bpy.context.scene.view_settings.exposure = 1"),
    ("lighting", "bpy.data.worlds['World'].node_tree.nodes['Background'].inputs[1].default_value = .3"),
    ("lighting", "bpy.ops.object.light_add(type='SUN')"),
    ("camera", "bpy.data.objects['Camera'].location.z += 1"),
]
REFUSED = [
    ("geometry", f"{CUP}.data.materials[0] = bpy.data.materials['Gold']", "material", "Cup"),
    ("geometry", f"part('Handle', 1); {WOOD}['Roughness'].default_value = .1", "material", "Wood"),
    ("geometry", f"{CUP}.data.polygons[3].material_index = 1", "material", "Cup"),
    ("geometry", "bpy.ops.object.light_add(type='SUN')", "light", "Sun"),
    ("geometry", "bpy.ops.object.camera_add()", "camera", "Camera.001"),
    ("geometry", "bpy.context.scene.camera = None", "camera", "Scene"),
    ("material", f"{CUP}.data.vertices[0].co.z += .5", "geometry", "Cup"),
    ("material", f"{CUP}.scale = (2, 2, 2)", "transform", "Cup"),
    ("material", f"{LAMP}.data.energy = 500", "light", "Lamp"),
    ("composition", f"{WOOD}['Roughness'].default_value = .1", "material", "Wood"),
    ("composition", "part('Handle', 1)", "structure", "Handle"),
    ("composition", f"{CUP}.hide_render = True", "structure", "Cup"),
    ("composition", f"{LAMP}.location.x = 1", "light", "Lamp"),
    ("lighting", f"{CUP}.location.x = 1", "transform", "Cup"),
    ("lighting", "bpy.data.cameras['Camera'].lens = 70", "camera", "Camera"),
    ("camera", "bpy.context.scene.view_settings.exposure = 1", "view", "Scene"),
    ("initialisation", "bpy.data.texts.new('run.py').write('import os')", "host", "run.py"),
    ("initialisation", f"{CUP}.driver_add('location', 0).driver.expression = 'frame'", "host", "Cup"),
    ("initialisation", f"{CUP}.keyframe_insert('location')", "host", "Cup"),
]


@pytest.mark.parametrize(("stage", "source"), ALLOWED)
def test_a_stage_may_change_its_own(attempt, stage, source):
    outcome = attempt(stage, source)
    assert outcome.kind == "committed", outcome.message
    assert outcome.changes


@pytest.mark.parametrize(("stage", "source", "factor", "name"), REFUSED)
def test_a_stage_may_not_change_anothers(attempt, start, stage, source, factor, name):
    head = start.head
    outcome = attempt(stage, source)
    assert outcome.kind == "violation" and start.head == head, outcome.message
    assert (factor, name) in {(change.factor, change.key.partition(":")[2]) for change in outcome.changes}
    assert f"'{name}'" in outcome.message


def test_a_mesh_swapped_in_the_geometry_stage_gets_its_slots_put_back(attempt):
    swap = (
        f"new = bpy.data.meshes.new('New')\nnew.from_pydata([(0,0,0),(1,0,0),(0,1,0)], [], [(0,1,2)])\n{CUP}.data = new"
    )
    outcome = attempt("geometry", swap, keep_slots=True)
    assert outcome.kind == "committed", outcome.message


def test_what_the_host_owns_is_put_back_and_told(attempt):
    outcome = attempt("camera", "bpy.context.scene.render.resolution_x = 99; bpy.data.cameras['Camera'].lens = 70")
    assert outcome.kind == "committed" and any("99" in reset for reset in outcome.resets), outcome
