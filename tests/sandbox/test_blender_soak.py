"""Hundreds of edits with faults mixed in: nothing grows, no accepted state is lost."""

import random
from collections import Counter

import psutil
import pytest
from box_helpers import KINDS, Editor, assert_nothing_left, eventually, processes_of, real_pool

from sandbox.limits import MIB, Limits

FAULTS = ("import os; os.abort()", "import os; os._exit(0)", "import ctypes; ctypes.string_at(0)")


@pytest.mark.blender
@pytest.mark.timeout(300)
def test_a_long_session_with_faults_stays_flat(tmp_path):
    dice, us, seen, steps = random.Random(0), psutil.Process(), Counter(), 0
    with real_pool(KINDS[0], Limits(), tmp_path) as pool, pool.session() as scene:
        edit = Editor(scene)
        edit("bpy.ops.mesh.primitive_monkey_add(); bpy.context.object.name = 'M'")
        for number in range(300):
            source, scope = dice.choices(
                [("1 / 0", "transform"), (MOVE, "material"), (dice.choice(FAULTS), "transform"), (MOVE, "transform")],
                [8, 5, 2, 85],
            )[0]
            outcome = edit(source, {scope})
            seen[outcome.kind] += 1
            steps += outcome.kind == "committed"
            if number == 60:
                pool._standby.result()
                before = us.num_fds(), us.num_threads(), us.memory_info().rss
        assert edit(f"assert bpy.data.objects['M'].location.x == {steps}").kind == "committed"
        assert len(pool.store.ancestry(scene.head.id)) == steps + 2
        assert seen["committed"] > 200 and seen["script_error"] > 10 and seen["violation"] > 5
        assert seen["crashed"] + seen["exited"] > 2
        pool._standby.result()
        eventually(lambda: len(processes_of(pool.folder)) == 4)
        # two threads boot Blenders: the second may not have been needed before
        eventually(lambda: us.num_fds() <= before[0] + 2 and us.num_threads() <= before[1] + 2)
        assert us.memory_info().rss - before[2] < 32 * MIB
        assert scene._active.look().memory_bytes < 400 * MIB
    assert_nothing_left(pool.folder)


MOVE = "bpy.data.objects['M'].location.x += 1"
