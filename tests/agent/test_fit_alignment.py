"""In real Blenders: a camera some degrees and a tenth of its distance off is brought to the picture."""

import pytest
from box_helpers import real_pool
from fit_bench import ROOM, THINGS, bench_on

from agent.evaluation.measures import measure
from agent.runs.journal import Journal
from agent.stages.alignment import LABEL, align
from agent.stages.table import REFINING
from sandbox.limits import Limits

pytestmark = [pytest.mark.blender, pytest.mark.timeout(180)]

DISTURBED = """
import bpy
import math
camera = bpy.data.objects["Camera"]
for axis, degrees in (("X", 2.5), ("Y", -3), ("Z", 1.5)):
    camera.rotation_euler.rotate_axis(axis, math.radians(degrees))
camera.location *= 1.1
camera.data.lens += 5
"""
OTHER_COLORS = """
import bpy
for name, color in (("Body", (0.4, 0.3, 0.25, 1)), ("Head", (0.3, 0.35, 0.5, 1)), ("Cone", (0.4, 0.6, 0.3, 1))):
    bpy.data.materials[name].node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
bpy.data.lights["Key"].energy = 200
"""
COARSE = """
bpy.data.objects["Cone"].scale = (0.85, 0.85, 1.15)
bpy.data.objects["Head"].location = (0.2, -0.15, 1.22)
bpy.data.objects["Body"].scale = (1.1, 0.95, 1.05)
"""


@pytest.fixture(scope="module")
def pool(request, tmp_path_factory):
    kind = getattr(request, "param", "wheel")
    with real_pool(kind, Limits(), tmp_path_factory.mktemp(kind)) as pool:
        yield pool


@pytest.mark.parametrize("pool", ["wheel", "binary"], indirect=True)
def test_a_disturbed_camera_comes_back_to_the_outline(pool, tmp_path):
    with bench_on(pool, tmp_path / "run", THINGS, DISTURBED, align_looks=60) as bench:
        before = bench.head.id
        done = align(bench)
        assert done.committed and done.looks <= 60 and bench.head.id == done.head != before
        assert (bench.head.edit.label, bench.head.parent) == (LABEL, before)
        assert (
            set(bench.head.edit.source.split()) & {"import", "Matrix"} and "for" not in bench.head.edit.source.split()
        )
        assert measure(bench.run.reference, bench.render()) == done.after
    assert done.before.iou < 0.5 and done.after.iou > 0.97
    assert done.after.psnr_db > done.before.psnr_db + 10


@pytest.mark.parametrize(("scene", "cutout", "looks"), [(THINGS, True, 90), (ROOM, False, 60)])
def test_a_coarse_scaffold_is_aligned_without_running_away_from_its_camera(pool, tmp_path, scene, cutout, looks):
    with bench_on(
        pool, tmp_path / "run", scene, DISTURBED + OTHER_COLORS + COARSE, cutout=cutout, align_looks=looks
    ) as bench:
        done = align(bench)
        assert done.committed and done.after.psnr_db > done.before.psnr_db + 2, done.told()
        assert done.after.iou is None or done.after.iou > 0.85
        assert done.after.ssim > done.before.ssim
        lens = float(bench.head.edit.source.rpartition("lens = ")[2])
    assert lens == pytest.approx(50, rel=0.25)


def test_it_finds_the_same_again_and_a_resumed_run_does_not_look_again(pool, tmp_path, monkeypatch):
    found = []
    for name in ("one", "two"):
        with bench_on(pool, tmp_path / name, THINGS, DISTURBED, align_looks=40, seed=4) as bench:
            start, done = bench.head.id, align(bench)
            found.append((done.before, done.after, bench.head.edit.source))
            bench.move_to(start)
            object.__setattr__(bench.run, "journal", Journal(bench.run.folder.path))
            monkeypatch.setattr(bench, "render_with_reply", lambda *a, **k: pytest.fail("looked again"))
            assert align(bench) == done and bench.head.id == done.head
            bench.run.journal.close()
    assert found[0] == found[1]


@pytest.mark.parametrize("changes", ["", OTHER_COLORS])
def test_an_alignment_that_gains_nothing_at_first_leaves_most_of_its_looks(pool, tmp_path, changes):
    with bench_on(pool, tmp_path / "run", THINGS, changes, align_looks=300) as bench:
        before, done = bench.head.id, align(bench)
        assert not done.committed and bench.head.id == before == done.head
    assert "no better view" in done.told() and done.looks <= 50


def test_the_camera_stays_and_the_reason_is_told(pool, tmp_path):
    material, nothing = REFINING[1], "import bpy\nbpy.context.scene.camera = None"
    for name, changes, settings, reason in (
        ("off", DISTURBED, {"align_looks": 0}, "switched off"),
        ("scope", DISTURBED, {"stage": material}, "material stage may not change the camera"),
        ("none", nothing, {}, "camera"),
    ):
        with bench_on(pool, tmp_path / name, THINGS, changes, **settings) as bench:
            before, done = bench.head.id, align(bench)
            assert not done.committed and bench.head.id == before == done.head
        assert reason in done.told()
