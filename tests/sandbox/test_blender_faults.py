"""What generated code can do to a real Blender, and what it costs: its own edit, nothing else."""

import re
import time

import pytest
from box_helpers import ALL, KINDS, assert_nothing_left, eventually, processes_of, real_pool

from protocol.models import InspectRequest, RenderRequest
from sandbox.limits import GIB, MIB, Limits

pytestmark = [pytest.mark.blender, pytest.mark.timeout(180)]
IN_EACH = pytest.mark.matrix("transactions")

CUBE = "bpy.ops.mesh.primitive_cube_add()\nbpy.context.object.name = 'Cup'"
MOVE = "bpy.data.objects['Cup'].location.x += 1"
LIMITS = Limits(
    memory_bytes=3 * GIB // 2, folder_bytes=256 * MIB, file_bytes=128 * MIB, output_bytes=4 * MIB, processes=40
)


@pytest.fixture(scope="module", params=KINDS)
def pool(request, tmp_path_factory):
    with real_pool(request.param, LIMITS, tmp_path_factory.mktemp(request.param)) as pool:
        yield pool
    assert_nothing_left(pool.folder)


def place(session):
    """Where the object is, asked of the live scene."""
    what = session.call(InspectRequest(subject="object", name="Cup"))[0].what
    return round(what["location"][0], 4)


FAULTS = {
    "loops for ever": ("while True: pass", {"deadline"}),
    "swallows what should stop it": (
        "import signal\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\n"
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        {"deadline"},
    ),
    "holds the interpreter's lock in C": ("x = 3 ** 200_000_000", {"deadline"}),
    "calls os._exit": ("import os; os._exit(0)", {"exited"}),
    "reads address zero": ("import ctypes; ctypes.string_at(0)", {"crashed"}),
    "aborts": ("import os; os.abort()", {"crashed"}),
    "eats memory in Python": (
        "kept = []\nwhile True: kept.append(bytearray(b'x') * 50_000_000)",
        {"oom", "script_error"},
    ),
    "eats memory in Blender": (
        "bpy.ops.mesh.primitive_cube_add()\nm = bpy.context.object.modifiers.new('s', 'SUBSURF')\nm.levels = 11\n"
        "bpy.context.view_layer.update()\nbpy.context.evaluated_depsgraph_get().update()\n"
        "bpy.ops.object.modifier_apply(modifier='s')",
        {"oom", "crashed", "deadline"},
    ),
    "floods its output": ("import os\nwhile True: os.write(1, b'x' * 65536)", {"crashed"}),
    "fills its folder": ("n = 0\nwhile True:\n  open(f'f{n}', 'wb').write(bytes(20_000_000)); n += 1", {"crashed"}),
}  # fmt: skip


@IN_EACH
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_only_its_own_edit(pool, scene, edit, name):
    source, kinds = FAULTS[name]
    assert edit(CUBE).kind == "committed"
    head = scene.head
    outcome = edit(MOVE + "\n" + source, timeout_s=2 if kinds == {"deadline"} else 40)
    assert outcome.kind in kinds, outcome.message
    assert outcome.message and outcome.snapshot is None
    assert scene.head == head and place(scene) == 0
    assert edit(MOVE).kind == "committed" and place(scene) == 1
    eventually(lambda: len(processes_of(pool.folder)) == 4, 10)


@IN_EACH
def test_the_line_that_hung_is_told(edit):
    outcome = edit("a = 1\nwhile True: pass", timeout_s=1)
    assert outcome.kind == "deadline" and "at line 2: `while True: pass`" in outcome.message


@IN_EACH
def test_code_that_raises_is_told_where_and_costs_nothing(scene, edit):
    edit(CUBE)
    head = scene.head
    outcome = edit(MOVE + "\nprint('so far')\nbpy.data.objects['Nobody']")
    assert outcome.kind == "script_error" and "line 3" in outcome.message and outcome.stdout == "so far\n"
    assert scene.head == head and place(scene) == 0


@IN_EACH
def test_a_name_of_another_blender_is_told_with_what_it_is_here(edit):
    start = "made = bpy.data.materials.new('M')\nmade.use_nodes = True\n"
    names = ("Specular", "Specular IOR Level")
    outcomes = [edit(f"{start}made.node_tree.nodes['Principled BSDF'].inputs['{name}']") for name in names]
    ((failed, right),) = [
        (one, other) for one, other in zip(outcomes, names[::-1], strict=True) if one.kind == "script_error"
    ]
    assert re.search(rf'In this Blender \(\d.+\) it is called "{right}"\.\n', failed.message)


@IN_EACH
def test_printing_what_is_no_text_harms_nothing(edit):
    outcome = edit(CUBE + "\nprint('\\ud83d')")
    assert outcome.kind == "committed" and outcome.stdout in ("?\n", "\\ud83d\n")


@IN_EACH
def test_a_change_outside_the_scope_is_named_and_undone(scene, edit):
    edit(CUBE)
    head = scene.head
    outcome = edit(MOVE, {"material"}, stage="material")
    assert outcome.kind == "violation" and scene.head == head and place(scene) == 0
    assert "'Cup'" in outcome.message and "location: (0, 0, 0) → (1, 0, 0)" in outcome.message
    assert edit(MOVE, {"transform"}).kind == "committed"


@IN_EACH
def test_a_required_object_stays(scene, edit):
    edit(CUBE)
    outcome = edit("bpy.data.objects.remove(bpy.data.objects['Cup'])", required={"Cup"})
    assert outcome.kind == "missing_object" and place(scene) == 0


def test_recovery_takes_half_a_second_with_the_standby(pool, scene, edit):
    edit(CUBE)
    eventually(lambda: pool._standby.done(), 20)
    began = time.monotonic()
    assert edit("import os; os.abort()").kind == "crashed"
    assert place(scene) == 0
    assert time.monotonic() - began < 0.5


def test_what_fled_into_a_session_of_its_own_is_found(pool, edit):
    flee = (
        "import os, subprocess, sys, time\n"
        "if not os.fork():\n"
        "  os.setsid()\n"
        "  if os.fork(): os._exit(0)\n"
        "  while True: time.sleep(1)\n"
        "subprocess.Popen(['/bin/sleep', '600'], start_new_session=True)\n"
    )
    assert edit(flee + CUBE).kind == "committed"
    assert len(processes_of(pool.folder)) >= 5
    edit("import os; os.abort()")
    eventually(lambda: len(processes_of(pool.folder)) == 4, 10)


@IN_EACH
def test_temporary_looks_leave_no_trace(scene, edit):
    edit(CUBE + "\nbpy.ops.object.camera_add(location=(0, -9, 0), rotation=(1.5708, 0, 0))\n"
         "bpy.context.scene.camera = bpy.context.object", ALL)  # fmt: skip
    head = scene.head
    with scene.temporary():
        for _ in range(3):
            scene.execute(MOVE)
            _, payloads = scene.call(RenderRequest(width_px=32, height_px=32, samples=1))
            assert payloads[0].startswith(b"\x89PNG")
        assert place(scene) == 3
    assert place(scene) == 0 and scene.head == head


def test_an_ordinary_active_one_is_kept_from_edit_to_edit(scene, edit):
    assert edit(CUBE + "\nbpy.ops.object.camera_add(location=(0, -9, 0), rotation=(1.5708, 0, 0))\n"
                "bpy.context.scene.camera = bpy.context.object").kind == "committed"  # fmt: skip
    before = scene._active.hello.pid
    for _ in range(3):
        scene.call(RenderRequest(width_px=64, height_px=64, samples=2))
        time.sleep(0.5)
        assert edit(MOVE).kind == "committed"
        assert edit("1 / 0").kind == "script_error"
    assert scene._active.hello.pid == before


def test_a_thread_left_behind_does_not_meet_the_next_edit(scene, edit):
    spin = "import threading\ndef spin():\n  while True: pass\nthreading.Thread(target=spin, daemon=True).start()"
    before = scene._active.hello.pid
    outcome = edit(CUBE + "\n" + spin)
    assert outcome.kind == "committed" and "thread" in outcome.message
    assert edit(MOVE).kind == "committed" and scene._active.hello.pid != before


def test_a_thread_that_hides_is_known_by_the_time_it_takes(scene, edit):
    spin = "import _thread\ndef spin():\n  while True: pass\n_thread.start_new_thread(spin, ())"
    assert edit(CUBE + "\n" + spin).kind == "committed"
    before = scene._active.hello.pid
    eventually(lambda: scene._active.look().unfit)
    assert edit(MOVE).kind == "committed" and scene._active.hello.pid != before


@IN_EACH
def test_a_stage_begins_in_a_clean_process(scene, edit):
    edit(CUBE + "\nimport builtins; builtins.leftover = 1")
    scene.fresh()
    assert place(scene) == 0
    assert edit("leftover").kind == "script_error"
