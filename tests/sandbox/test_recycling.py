"""Blenders that have worked for long give way to fresh ones, with real Blenders: for each reason, between transactions,
the scene being the same before and after, and nobody waiting for it."""

import time
from contextlib import contextmanager

import pytest
from box_helpers import KINDS, Editor, assert_nothing_left, eventually, processes_of, real_pool
from fake_blender import adding

from protocol.models import FingerprintRequest
from sandbox.limits import GIB, MIB, Limits, Recycling

pytestmark = pytest.mark.blender

MOVE = "import bpy\nbpy.data.objects['Thing'].location.x += 1"
THING = "import bpy\nbpy.ops.mesh.primitive_cube_add()\nbpy.context.object.name = 'Thing'"
KEEP_100_MIB = "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\nsize = 100 << 20\n" + (
    "ctypes.memset(libc.malloc(ctypes.c_size_t(size)), 1, size)\n"
)
NEVER = {"opened": 10**9, "age_s": 1e9, "growth_bytes": 1 << 60, "settling_calls": 1}


@contextmanager
def worked(kind, folder, **bounds):
    """A pool, an editor with a first thing in the scene, and what was recycled."""
    recycled, limits = [], Limits(memory_bytes=3 * GIB, threads=2)
    with real_pool(kind, limits, folder) as pool:
        pool._on_recycled = recycled.append
        with pool.session() as session:
            edit = Editor(session)
            assert edit(THING).kind == "committed"
            pool.recycling = Recycling(**{**NEVER, **bounds})
            yield pool, edit, recycled
    assert_nothing_left(pool.folder)


def seen(session):
    return session.call(FingerprintRequest())[0]


def replaced(recycled, place):
    return [one for one in recycled if one.place == place]


@pytest.mark.parametrize("place", ["active", "standby"])
@pytest.mark.parametrize(
    ("bounds", "source", "reason"),
    [
        ({"opened": 3}, MOVE, "opened"),
        ({"age_s": 0.5}, MOVE, "has worked for"),
        ({"growth_bytes": 150 * MIB}, KEEP_100_MIB + MOVE, "has grown by"),
    ],
    ids=["edits", "age", "memory"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_worn_blender_gives_way_to_a_fresh_one_that_holds_the_same_scene(
    kind, bounds, source, reason, place, tmp_path
):
    if place == "standby" and "growth_bytes" in bounds:
        bounds = {"growth_bytes": -GIB}  # it runs nobody's code, so nothing makes it grow
    with worked(kind, tmp_path, **bounds) as (pool, edit, recycled):
        first = {"active": edit.session._active, "standby": pool._ready_standby()}[place]
        until = time.monotonic() + 60
        while not replaced(recycled, place):
            assert time.monotonic() < until
            outcome = edit(source)
            assert outcome.kind == "committed", outcome.message
            accepted = pool.store.fingerprint(edit.session.head.id)
            assert seen(edit.session).factors == accepted.factors
        assert reason in replaced(recycled, place)[0].reason
        now = {"active": edit.session._active, "standby": pool._ready_standby()}[place]
        assert now.hello.pid != first.hello.pid
        eventually(lambda: first.hello.pid not in [process.pid for process in processes_of(pool.folder)])
        assert edit(MOVE).kind == "committed"  # and goes on


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_under_way_is_never_cut_and_nobody_waits_for_the_fresh_one(kind, tmp_path):
    with worked(kind, tmp_path, opened=1) as (_, edit, recycled):
        slow = "import time\ntime.sleep(4)\n" + MOVE
        before = edit.session._active
        outcome = edit(slow)  # the fresh one boots meanwhile
        assert outcome.kind == "committed" and not replaced(recycled, "active")
        assert edit.session._active is before
        began = time.monotonic()
        assert edit(MOVE).kind == "committed"
        assert time.monotonic() - began < 2.0
        assert replaced(recycled, "active") and edit.session._active is not before


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_for_a_look_is_not_swept_away_by_a_fresh_blender(kind, tmp_path):
    with worked(kind, tmp_path, opened=1) as (_, edit, recycled):
        with edit.session.temporary():
            edit.session.execute(MOVE)
            changed = seen(edit.session)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                assert seen(edit.session) == changed
        assert not replaced(recycled, "active")


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_that_ends_while_a_fresh_blender_boots_leaves_none_behind(kind, tmp_path):
    with worked(kind, tmp_path, opened=1) as (pool, edit, _):
        usual = len(processes_of(pool.folder))
        with pool.session() as other:
            Editor(other)(THING)
            assert other._fresh is not None
        edit.session._recycle()
        eventually(lambda: len(processes_of(pool.folder)) <= usual + 4)


def test_a_fresh_blender_that_does_not_start_leaves_the_worn_one_at_work(fake_blender, pool, edit):
    assert edit(adding("Box")).kind == "committed"
    worn, program = edit.session._active, fake_blender.executable.read_text()
    fake_blender.executable.write_text("#!/bin/sh\nexit 1\n")
    pool.recycling = Recycling(**{**NEVER, "opened": 1})
    assert edit(adding("Lid")).kind == "committed"
    eventually(lambda: edit.session._fresh[0].done(), 60)
    assert edit(adding("Rim")).kind == "committed" and edit.session._active is worn
    fake_blender.executable.write_text(program)
    eventually(lambda: edit(adding("Box")).kind == "committed" and edit.session._active is not worn, 60)
