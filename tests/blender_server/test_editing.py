"""An edit is settled into what a loaded scene is, and editing.py alone, in a stock Blender, does the same."""

import subprocess
import textwrap
from pathlib import Path

import pytest

from protocol.models import ExecuteRequest, SettleRequest
from tests.blender_server.scenes import RICH, SMALL
from tests.blender_server.servers import changed

pytestmark = [pytest.mark.blender, pytest.mark.matrix("handlers")]

EDITING = Path(__file__).parents[2] / "blender_server" / "editing.py"


def test_the_empty_start_is_empty_and_the_hosts(server):
    assert (
        server.evaluate("[len(bpy.data.objects), len(bpy.data.materials), bpy.context.scene.name]") == "[0, 0, 'Scene']"
    )
    found = server.evaluate("""[
        bpy.context.scene.render.engine, bpy.context.scene.view_settings.view_transform,
        bpy.context.scene.render.resolution_x, bpy.context.scene.frame_current, bpy.context.scene.world]""")
    assert found == "['CYCLES', 'Standard', 512, 1, None]"


def test_settling_leaves_edit_mode_with_what_was_edited(server):
    server.edit("""
bpy.ops.mesh.primitive_cube_add()
bpy.ops.object.mode_set(mode="EDIT")
bpy.ops.mesh.subdivide()
""")
    assert (
        server.evaluate('(bpy.data.objects["Cube"].mode, len(bpy.data.objects["Cube"].data.vertices))')
        == "('OBJECT', 26)"
    )


def test_settling_purges_what_nothing_uses_down_to_the_last_image(server):
    server.edit("""
material = bpy.data.materials.new("Lost")
material.use_nodes = True
material.node_tree.nodes.new("ShaderNodeTexImage").image = bpy.data.images.new("Lost", 4, 4)
bpy.data.meshes.new("Lost")
""")
    assert server.evaluate("len(bpy.data.materials) + len(bpy.data.images) + len(bpy.data.meshes)") == "0"


def test_settling_packs_painted_and_external_pictures(server):
    resets = server.edit("""
import os
painted = bpy.data.images.new("Painted", 4, 4)
painted.pixels[:] = [0.2, 0.4, 0.6, 1.0] * 16
painted.filepath_raw, painted.file_format = os.path.abspath("outside.png"), "PNG"
painted.save()
painted.pixels[0] = 1.0
outside = bpy.data.images.load(os.path.abspath("outside.png"))
outside.name = "Outside"
painted.use_fake_user = outside.use_fake_user = True
""")
    assert resets == ()
    (server.folder / "outside.png").unlink()
    server.reload()
    found = server.evaluate('[[round(v, 1) for v in bpy.data.images[n].pixels[:4]] for n in ("Painted", "Outside")]')
    assert found == "[[1.0, 0.4, 0.6, 1.0], [0.2, 0.4, 0.6, 1.0]]"


def test_an_edit_that_changes_no_setting_resets_nothing(server):
    assert server.edit(SMALL) == ()


def test_the_host_sets_frame_and_film_with_an_edit_of_its_own(server):
    server.edit('bpy.context.scene["frame_px"] = (320, 200)\nbpy.context.scene["cut_out"] = 1')
    resets = server.edit("bpy.context.scene.render.resolution_x = 64")
    assert resets == ("scene.render.resolution_x: 64 → 320",)
    found = "bpy.context.scene.render.{}"
    values = [server.evaluate(found.format(name)) for name in ("resolution_x", "resolution_y", "film_transparent")]
    assert values == ["320", "200", "True"]


def test_removed_objects_leave_no_hole_that_settling_falls_into(server):
    server.edit(SMALL)
    server.edit("for thing in list(bpy.data.objects): bpy.data.objects.remove(thing)")
    assert server.evaluate("len(bpy.data.objects)") == "0"


# ── slots ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
SWAP = """
table = bpy.data.objects["Table"]
mesh = bpy.data.meshes.new("Better")
mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
table.data = mesh
"""
SLOTS = '[slot.material.name if slot.material else None for slot in bpy.data.objects["Table"].material_slots]'
UVS = '[layer.name for layer in bpy.data.objects["Table"].data.uv_layers]'


def test_a_swapped_mesh_keeps_its_slots_and_uv_maps_when_asked(server):
    server.edit(SMALL)
    server.edit(SWAP, keep_slots=True)
    assert server.evaluate(SLOTS) == "['Red', 'Blue']"
    assert server.evaluate(UVS) == "['UVMap']"
    inside = 'all(0 <= v <= 1 for d in bpy.data.objects["Table"].data.uv_layers[0].data for v in d.uv)'
    assert server.evaluate(inside) == "True"


def test_a_swapped_mesh_loses_its_slots_when_not_asked(server):
    server.edit(SMALL)
    server.edit(SWAP)
    assert server.evaluate(SLOTS) == "[]"


def test_a_mesh_made_anew_by_deleting_the_object_keeps_its_slots(server):
    server.edit(SMALL)
    server.edit("""
bpy.data.objects.remove(bpy.data.objects["Table"])
bpy.ops.mesh.primitive_uv_sphere_add()
bpy.context.object.name = "Table"
""", keep_slots=True)  # fmt: skip
    assert server.evaluate(SLOTS) == "['Red', 'Blue']"


def test_face_assignment_and_uvs_come_back_where_the_mesh_is_as_large_as_before(server):
    server.edit(SMALL)
    server.edit('bpy.data.objects["Table"].data.polygons[2].material_index = 1')
    before = server.fingerprint()
    server.edit("""
import bmesh
old = bpy.data.objects["Table"].data
new = bpy.data.meshes.new("Table.new")
new.from_pydata([v.co * 2 for v in old.vertices], [], [tuple(p.vertices) for p in old.polygons])
bpy.data.objects["Table"].data = new
bpy.data.meshes.remove(old)
new.name = "Table"
""", keep_slots=True)  # fmt: skip
    assert {factor for factor, _ in changed(before, server.fingerprint())} == {"geometry"}


def test_slots_that_the_edit_itself_filled_stay_as_it_left_them(server):
    server.edit(SMALL)
    server.edit(SWAP + 'mesh.materials.append(bpy.data.materials["Blue"])', keep_slots=True)
    assert server.evaluate(SLOTS) == "['Blue']"


def test_nothing_happens_to_objects_that_lost_nothing(server):
    server.edit(RICH)
    before = server.fingerprint()
    server.edit("", keep_slots=True)
    assert server.fingerprint() == before


# ── the same without us ───────────────────────────────────────────────────────────────────────────────────────────────
def test_editing_py_alone_builds_the_same_scene_in_a_stock_blender(server, kind, tmp_path):
    edits = [
        RICH,
        'bpy.data.objects["Cup"].location.x = 0.25',
        "import random\nfor o in bpy.data.objects: o['n'] = random.random()",
    ]
    for number, source in enumerate(edits):
        server.edit(source, seed=number)
    steps = "".join(
        f"run_edit({source!r}, {number})\nsettle()\nreload({str(tmp_path / 'w.blend')!r})\n"
        for number, source in enumerate(edits)
    )
    script = tmp_path / "build.py"
    out = server.folder / "built.blend"
    script.write_text(
        f"{EDITING.read_text()}\n\nstart_empty()\nreload({str(tmp_path / 'w.blend')!r})\n{steps}save({str(out)!r})\n"
    )
    stock = [str(kind.executable), "-b", "--factory-startup", "--python-exit-code", "1", "-P", str(script)]
    run = [str(kind.executable), "-I", str(script)] if kind.kind == "wheel" else stock
    subprocess.run(run, check=True, timeout=60, stdout=subprocess.DEVNULL)
    built_by_server = server.fingerprint()
    server.fresh("built.blend")
    assert changed(built_by_server, server.fingerprint()) == set()


def test_editing_py_imports_nothing_but_bpy_and_the_standard_library():
    imports = {
        line.split()[1] for line in EDITING.read_text().splitlines() if line.strip().startswith(("import ", "from "))
    }
    assert imports == {"array", "linecache", "random", "bpy", "numpy"}
    assert textwrap.dedent(EDITING.read_text()) == EDITING.read_text()


def test_settling_twice_is_settling_once(server):
    server.edit(RICH)
    before = server.fingerprint()
    server.call(ExecuteRequest(source=""))
    assert server.call(SettleRequest()).resets == server.call(SettleRequest()).resets == ()
    server.reload()
    assert server.fingerprint() == before
