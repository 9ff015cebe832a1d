"""The transaction on the fake Blender: real processes and sockets, a scene that tests can shape at will."""

import json
import threading
import time

import pytest
from box_helpers import ALL, Editor, eventually, processes_of
from fake_blender import adding, setting

from protocol.errors import CallTimedOut, ProcessCrashed, ProcessExited, RequestFailed, ScriptFailed, SetupFailed
from protocol.models import ExecuteRequest, InspectRequest
from sandbox.breaker import Breaker
from sandbox.pool import Pool
from sandbox.snapshots import Snapshot, SnapshotUnfit

CAMERA = setting("camera", "object:Camera", "1")
LAYOUT = {"transform", "camera"}
LOOK = InspectRequest(subject="scene")


SLEEP = "\nimport time; time.sleep(60)"


def refusing(method, code, message):
    """Code that makes the fake refuse a method from then on."""
    code = f"from fake_blender import Refused; raise Refused({code!r}, {message!r})"
    return f"server.instead[{method!r}] = {code!r}"


def objects(session):
    return session.call(LOOK)[0].what["objects"]


# ── commit and roll back ──────────────────────────────────────────────────────────────────────────────────────────────
def test_a_session_begins_at_the_empty_start(scene, store):
    assert scene.head.parent is None and scene.head.edit is None
    assert objects(scene) == []
    assert store.ancestry(scene.head.id) == [scene.head]


def test_an_edit_within_its_scope_is_committed(scene, edit, store):
    start = scene.head
    outcome = edit(adding("Cup") + "scene['reset'] = True")
    assert outcome.kind == "committed" and outcome.snapshot == scene.head and outcome.stdout == "printed"
    assert outcome.resets == ("render engine: EEVEE → CYCLES",)
    assert scene.head.parent == start.id and scene.head.edit.source.startswith("scene")
    assert store.fingerprint(scene.head.id).objects == {"Cup": "MESH"}
    assert {change.factor for change in outcome.changes} == {"structure", "geometry"}
    assert objects(scene) == ["Cup"]


def test_an_edit_that_changes_nothing_makes_no_snapshot(scene, edit):
    start = scene.head
    outcome = edit("1 + 1")
    assert outcome.kind == "committed" and outcome.snapshot == start == scene.head
    assert "changed nothing" in outcome.message


def test_an_error_in_the_code_is_told_and_costs_nothing(scene, edit):
    edit(adding("Cup"))
    head = scene.head
    outcome = edit(adding("Plate") + "1 / 0")
    assert outcome.kind == "script_error" and "ZeroDivisionError" in outcome.message and outcome.stdout == "printed"
    assert scene.head == head and objects(scene) == ["Cup"]
    assert edit(adding("Spoon")).kind == "committed"


def test_characters_that_are_no_text_are_refused_before_anything_runs(scene, edit):
    assert edit("x = '\ud83d'").kind == "script_error"
    assert edit("print('\\ud83d')").kind == "committed"


def test_what_lies_outside_the_scope_is_named_with_its_values_and_undone(scene, edit):
    edit(adding("Cup") + setting("material", "material:Wood", "old"))
    head = scene.head
    source = setting("transform", "object:Cup", "2") + setting("material", "material:Wood", "new")
    outcome = edit(source, LAYOUT, stage="composition")
    assert outcome.kind == "violation" and scene.head == head
    (change,) = outcome.changes
    assert (change.factor, change.key, change.how) == ("material", "material:Wood", "changed")
    assert change.details == ("value: old → new",)
    assert "composition stage may change transform, camera only" in outcome.message
    assert "material: material 'Wood' changed (value: old → new)" in outcome.message
    assert edit(setting("transform", "object:Cup", "2"), LAYOUT).kind == "committed"


def test_a_violation_leaves_nothing_of_itself_in_the_active_one(scene, edit):
    edit(adding("Cup"), {"world"})
    assert objects(scene) == []


@pytest.mark.parametrize(
    "source", ["scene['objects'].pop('Cup')", "scene['objects']['Mug'] = scene['objects'].pop('Cup')"]
)
def test_a_required_object_cannot_be_lost(scene, edit, source):
    edit(adding("Cup"))
    outcome = edit(source, required={"Cup"})
    assert outcome.kind == "missing_object" and "Cup" in outcome.message
    assert objects(scene) == ["Cup"]


def test_a_file_that_cannot_be_saved_is_told(scene, edit):
    outcome = edit(refusing("snapshot", "refused", "needs wood.png"))
    assert outcome.kind == "snapshot_failed" and "needs wood.png" in outcome.message


@pytest.mark.parametrize(
    "save",
    [
        "open(body['file'], 'wb').write(b'no blend')",
        "import os; os.symlink('/etc/passwd', body['file'])",
        "import os; os.mkfifo(body['file'])",
        "import os; os.mkdir(body['file'])",
        "open(body['file'], 'wb').write(b'BLENDER-v502' + bytes(100))",
        "open(body['file'], 'wb').write(b'\\x28\\xb5\\x2f\\xfd' + bytes(100))",
        "pass",
    ],
    ids=["no blend", "link", "fifo", "folder", "newer", "compressed", "nothing"],
)
def test_what_is_no_snapshot_is_never_accepted(scene, edit, store, save):
    head, known = scene.head, sorted(store.folder.iterdir())
    reply = f"{save}\nserver.reply(id, method, {{'file': body['file'], 'bytes': 1}})"
    outcome = edit(f"server.instead['snapshot'] = {reply!r}")
    assert outcome.kind == "snapshot_failed", outcome.message
    assert scene.head == head and sorted(store.folder.iterdir()) == known


def test_a_file_that_kills_whoever_opens_it_is_refused_and_both_are_replaced(scene, edit):
    outcome = edit(adding("Cup") + "scene['on_open'] = 'import os; os._exit(7)'")
    assert outcome.kind == "snapshot_failed" and "cannot be opened" in outcome.message
    assert edit(adding("Plate")).kind == "committed"
    assert objects(scene) == ["Plate"]


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────────
FAULTS = {
    "loops": ("while True: pass", "deadline"),
    "swallows everything": ("import time\nwhile True:\n  try: time.sleep(9)\n  except BaseException: pass", "deadline"),
    "exits with 0": ("import os; os._exit(0)", "exited"),
    "exits with 3": ("import os; os._exit(3)", "exited"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "crashed"),
    "aborts": ("import os; os.abort()", "crashed"),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "crashed"),
    "stops itself": ("import os; os.kill(os.getpid(), 19)", "deadline"),
    "closes its sockets": ("server.socket.close(0)" + SLEEP, "protocol_error"),
    "floods its output": ("while True: print('x' * 5000)", "crashed"),
    "eats memory": ("kept = []\nwhile True: kept.append(bytearray(b'x') * 20_000_000)", "oom"),
    "fills its folder": ("for n in range(100):\n  open(f'f{n}', 'wb').write(bytes(5_000_000))" + SLEEP, "crashed"),
    "forks and forks": ("import os, time\nfor _ in range(60):\n  if not os.fork(): time.sleep(60)" + SLEEP, "crashed"),
    "answers garbage": ("server.socket.send_multipart([b'x', b'y'])" + SLEEP, "protocol_error"),
    "answers with wrong types": ("for id in range(30): server.reply(id, 'execute', {'stdout': 3})", "protocol_error"),
    "answers too much": ("server.socket.send_multipart([b'x', bytes(600 << 20)])" + SLEEP, "protocol_error"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_only_its_own_edit(pool, scene, edit, name):
    source, kind = FAULTS[name]
    edit(adding("Cup"))
    head = scene.head
    outcome = edit(adding("Plate") + source, timeout_s=1 if kind == "deadline" else 20)
    assert outcome.kind == kind, outcome.message
    assert outcome.message and outcome.snapshot is None
    assert scene.head == head and objects(scene) == ["Cup"]
    assert edit(adding("Spoon")).kind == "committed"
    eventually(lambda: len(processes_of(pool.folder)) == 4)  # the active and the standby


def test_code_that_cost_two_blenders_is_not_run_a_third_time(pool, scene, edit, store):
    deadly = adding("Plate") + "import os; os._exit(1)"
    assert [edit(deadly).kind for _ in range(2)] == ["exited", "exited"]
    before = scene._active.hello.pid
    outcome = edit(deadly)
    assert outcome.kind == "quarantined" and "exited, exited" in outcome.message
    assert scene._active.hello.pid == before and objects(scene) == []
    assert edit(deadly, stage="material").kind == "exited", "another stage is another matter"
    assert edit(deadly + "\n").kind == "exited", "other code too"
    assert Breaker(store.folder / "quarantine.jsonl").faults("geometry", deadly), "a resumed run knows it still"


def test_every_lost_blender_is_told_once_with_its_kind(fake_blender, limits, store, tmp_path):
    told = []
    with Pool(fake_blender, limits, store, tmp_path / "logs", on_fault=told.append) as pool, pool.session() as scene:
        edit = Editor(scene)
        edit("import os; os._exit(1)")
        edit("while True: pass", timeout_s=0.3)
        edit("1 / 0")
        edit(adding("Cup"))
    assert [fault.kind for fault in told] == ["exited", "deadline"]


def test_a_stage_has_limits_of_its_own(scene, edit, limits):
    low = limits.model_copy(update={"memory_bytes": 200 << 20, "file_bytes": 1000})
    scene.fresh(low)
    assert edit("kept = bytearray(b'x') * (250 << 20)\nwhile True: pass").kind in ("oom", "script_error")
    assert edit("f = open('f', 'wb', 0); f.write(bytes(5000)); f.write(b'x')").kind == "script_error"
    scene.fresh()
    assert edit("f = open('f', 'wb', 0); f.write(bytes(5000)); f.write(b'x')").kind == "committed"


def test_a_file_too_large_fails_inside_the_code(edit):
    outcome = edit("open('huge', 'wb').write(bytes(40 << 20))")
    assert outcome.kind == "script_error" and "too large" in outcome.message


def test_a_bomb_faster_than_the_watch_meets_the_hard_limit(edit):
    outcome = edit("kept = bytearray(3 << 30)")
    assert outcome.kind == "script_error" and "MemoryError" in outcome.message


def test_a_crash_report_is_shown(edit):
    source = "open('x.crash.txt', 'w').write('# backtrace: in BKE_wood')\nimport os; os.abort()"
    assert "BKE_wood" in edit(source).message


def test_a_forged_reply_is_only_data(scene, edit):
    """Code that answers in the server's place gets its edit judged by the standby all the same."""
    forged = "server.reply(1, 'execute', {'stdout': 'all fine', 'duration_s': 0.0})\n"
    outcome = edit(forged + setting("material", "material:Wood", "1"), LAYOUT)
    assert outcome.kind == "violation"
    assert edit(CAMERA, LAYOUT).kind == "committed"


def test_an_active_one_that_died_unasked_is_replaced_before_the_next_edit(scene, edit):
    edit(
        adding("Cup")
        + "import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.5), os._exit(1))).start()"
    )
    eventually(lambda: scene._active.ended)
    assert edit(adding("Plate")).kind == "committed"
    assert objects(scene) == ["Cup", "Plate"]


LEFTOVERS = {
    "a thread that spins": "import threading\ndef spin():\n  while True: pass\n"
    "threading.Thread(target=spin, daemon=True).start()",
    "a child": "import subprocess; subprocess.Popen(['/bin/sleep', '600'])",
}


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_an_edit_left_running_does_not_meet_the_next(scene, edit, name):
    edit(adding("Cup") + LEFTOVERS[name])
    before = scene._active.hello.pid
    eventually(lambda: scene._active.look().unfit)
    assert edit(adding("Plate")).kind == "committed"
    assert scene._active.hello.pid != before and objects(scene) == ["Cup", "Plate"]


def test_memory_that_a_failed_edit_keeps_is_not_the_next_ones_burden(scene, edit):
    before = scene._active.hello.pid
    assert edit("import builtins; builtins.kept = bytearray(b'x') * (600 << 20)\n1 / 0").kind == "script_error"
    assert scene._active.hello.pid != before
    assert edit("kept").kind == "script_error"


def test_an_ordinary_active_one_is_kept(scene, edit):
    before = scene._active.hello.pid
    for number in range(5):
        assert edit(adding(f"Cup{number}")).kind == "committed"
        assert edit("1 / 0").kind == "script_error"
    time.sleep(1)
    assert edit(adding("Last")).kind == "committed" and scene._active.hello.pid == before


def test_after_an_edit_that_changed_nothing_the_next_is_run_by_another(scene, edit):
    before = scene._active.hello.pid
    assert edit("1").kind == "committed" and scene._active.hello.pid != before


def test_what_later_edits_rely_on_does_not_outlive_its_change(scene, edit):
    before = scene._active.hello.pid
    done = "{'stdout': '', 'duration_s': 0.0, 'patched': ['builtins.exec']}"
    outcome = edit(adding("Cup") + f"server.instead['execute'] = {f'server.reply(id, method, {done})'!r}")
    assert outcome.kind == "committed" and scene._active.hello.pid == before
    outcome = edit("1")
    assert "builtins.exec" in outcome.message and scene._active.hello.pid != before
    assert edit(adding("Plate")).kind == "committed"


def test_the_next_call_after_a_crash_comes_within_half_a_second(pool, scene, edit):
    edit(adding("Cup"))
    eventually(lambda: pool._standby.done())
    began = time.monotonic()
    edit("import os; os.abort()")
    assert objects(scene) == ["Cup"] and time.monotonic() - began < 0.5


# ── reading and temporary state ───────────────────────────────────────────────────────────────────────────────────────
def test_call_refuses_what_changes_the_scene(scene):
    with pytest.raises(ValueError, match="changes the scene"):
        scene.call(ExecuteRequest(source="1"))


def test_a_read_that_faults_is_raised_and_the_head_is_back(scene, edit):
    edit(adding("Cup"))
    edit(setting("world", "world:World", "1") + "server.instead['inspect'] = 'import time; time.sleep(60)'")
    with pytest.raises(CallTimedOut):
        scene.call(LOOK, timeout_s=0.2)
    assert objects(scene) == ["Cup"]


def test_a_read_that_is_refused_changes_nothing(scene, edit):
    edit(adding("Cup") + refusing("inspect", "not_found", "no Cop"))
    before = scene._active
    with pytest.raises(RequestFailed, match="no Cop"):
        scene.call(LOOK)
    assert scene._active is before


def test_temporary_changes_are_gone_afterwards(scene, edit):
    edit(adding("Cup"))
    head = scene.head
    with scene.temporary():
        scene.execute(adding("Plate"))
        assert objects(scene) == ["Cup", "Plate"]
    assert scene.head == head and objects(scene) == ["Cup"]


def test_temporary_changes_are_gone_after_an_error_and_after_a_crash(scene, edit):
    edit(adding("Cup"))
    with pytest.raises(ScriptFailed), scene.temporary():
        scene.execute(adding("Plate") + "1 / 0")
    assert objects(scene) == ["Cup"]
    with scene.temporary():
        with pytest.raises(ProcessCrashed):
            scene.execute("import os; os.abort()")
        assert objects(scene) == ["Cup"]


def test_execute_is_for_temporary_state_only(scene):
    with pytest.raises(RuntimeError, match="temporary"):
        scene.execute("1")


# ── moving between states ─────────────────────────────────────────────────────────────────────────────────────────────
def test_any_snapshot_can_be_gone_on_from(scene, edit, store):
    edit(adding("Cup"))
    cup = scene.head
    edit(adding("Plate"))
    scene.move_to(cup)
    assert objects(scene) == ["Cup"]
    edit(adding("Spoon"))
    assert [snapshot.edit and snapshot.edit.label for snapshot in store.ancestry(scene.head.id)] == [None, "e1", "e3"]


def test_fresh_goes_on_in_another_process(scene, edit):
    edit(adding("Cup"))
    before = scene._active.hello.pid
    scene.fresh()
    assert scene._active.hello.pid != before and objects(scene) == ["Cup"]
    assert edit(adding("Plate")).kind == "committed"


def test_a_later_session_goes_on_where_an_earlier_one_ended(pool, scene, edit):
    edit(adding("Cup"))
    with pool.session(scene.head) as other:
        assert objects(other) == ["Cup"]
        assert Editor(other)(adding("Plate")).kind == "committed"
    assert objects(scene) == ["Cup"]


def test_a_snapshot_that_was_tampered_with_is_not_restored(scene, edit, store):
    edit(adding("Cup"))
    with open(store.path(scene.head.id), "ab") as file:
        file.write(b"more")
    with pytest.raises(SnapshotUnfit, match="changed from outside"):
        scene.move_to(scene.head)


def test_a_newer_blenders_snapshot_is_never_opened(pool, scene):
    newer = Snapshot(**(scene.head.model_dump() | {"blender": "5.0.1"}))
    with pytest.raises(SetupFailed, match="newer"):
        scene.move_to(newer)
    with pytest.raises(SetupFailed, match="newer"), pool.session(newer):
        pass


# ── without a standby, and side by side ───────────────────────────────────────────────────────────────────────────────
def test_without_a_standby_all_is_the_same_but_slower(fake_blender, limits, store, tmp_path):
    with Pool(fake_blender, limits, store, tmp_path / "logs", standby=False) as pool, pool.session() as scene:
        edit = Editor(scene)
        assert edit(adding("Cup")).kind == "committed"
        assert edit("import os; os.abort()").kind == "crashed"
        assert edit(CAMERA, {"world"}).kind == "violation"
        assert objects(scene) == ["Cup"]
        eventually(lambda: len(processes_of(pool.folder)) == 2)


def test_sessions_side_by_side_do_not_disturb_each_other(pool):
    results = {}

    def work(name):
        with pool.session() as session:
            edit = Editor(session)
            for number in range(5):
                assert edit(adding(f"{name}{number}")).kind == "committed"
                edit("import os; os.abort()")
            results[name] = objects(session)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {name: [f"{name}{number}" for number in range(5)] for name in "abc"}


def test_all_scopes_are_known():
    assert "structure" in ALL and len(ALL) == 8
    assert ProcessExited.kind == "exited"


def test_a_fingerprint_that_other_code_took_is_taken_again(scene, edit, store):
    edit(adding("Cup"))
    place = store.folder / f"{scene.head.id}.json"
    manifest = json.loads(place.read_text())
    manifest["reader"], manifest["fingerprint"]["factors"]["geometry"] = "an earlier version", {}
    place.write_text(json.dumps(manifest))
    store._known.clear()
    outcome = edit(setting("material", "mesh:Cup", "2"), {"material"})
    assert outcome.kind == "committed", outcome.message
    assert {change.factor for change in outcome.changes} == {"material"}
    assert store.fingerprint(outcome.snapshot.parent).factors["geometry"]
