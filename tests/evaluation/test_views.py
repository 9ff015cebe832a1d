"""A finished run's scene is opened in the box, taken out as triangles, and seen from any camera; a hostile one harms
nothing.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from box_helpers import eventually, processes_of
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from agent.config import BoxLimits, Config
from agent.errors import InputUnreadable, NodeUnfit, UsageError
from agent.evaluation.cameras import projected, scaled
from agent.evaluation.data import Item, View
from agent.evaluation.measures import psnr_db
from agent.evaluation.open_scene import SceneFailed
from agent.evaluation.score import Unavailable
from agent.evaluation.similarity import applied
from agent.evaluation.views import opened
from agent.which_blender import to_evaluate
from protocol.errors import SetupFailed
from sandbox.limits import Limits
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore
from tests.evaluation.test_cameras import rows

pytestmark = [pytest.mark.blender, pytest.mark.timeout(300)]

PX = 96
NO_BLENDER = Config(limits=BoxLimits(boot_s=0.001))
"""Under which none starts."""


def cut_out():
    image = Image.new("RGBA", (PX, 80), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((30, 25, 60, 62), (200, 40, 30, 255))
    draw.ellipse((56, 40, 78, 62), (40, 60, 200, 255))
    return image


def full():
    image = Image.new("RGB", (PX, 80), (190, 200, 215))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 38, PX, 80), (120, 85, 55))
    draw.rectangle((30, 25, 56, 62), (200, 40, 30))
    draw.ellipse((60, 44, 80, 64), (40, 60, 200))
    return image


IN_SHORT = """
target_px = 128
look_px = 64
final_samples = 8
look_samples = 4
align_looks = 0
prove_stages = false
rollouts = 1
[rounds]
initialisation = 1
geometry = 0
material = 0
composition = 0
lighting = 0
camera = 0
"""
"""Settings of a run that ends with its scaffold."""


@pytest.fixture(scope="session")
def runs(blender, tmp_path_factory):
    """name → folder of a finished offline run."""
    made = {}
    for name, image in (("cut_out", cut_out()), ("full", full())):
        folder = tmp_path_factory.mktemp(name)
        image.save(folder / "picture.png")
        (folder / "short.toml").write_text(IN_SHORT)
        command = [sys.executable, "-m", "agent", "run", folder / "picture.png", "--model", "offline", "--preset",
                   "quick", "--config", folder / "short.toml", "--out", folder / "run", "--blender",
                   blender.executable]  # fmt: skip
        ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=200)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        made[name] = folder / "run"
    return made


@pytest.fixture(scope="session")
def cut(runs, blender):
    """The cut-out's scene, open."""
    with opened(runs["cut_out"], blender=str(blender.executable)) as scene:
        yield scene


@pytest.fixture
def real_pool(blender, tmp_path):
    return Pool(blender, Limits(), SnapshotStore(tmp_path / "snapshots"), tmp_path / "logs", standby=False)


@pytest.fixture
def copied(runs, tmp_path):
    """A copy of the cut-out's run, to be damaged."""
    return shutil.copytree(runs["cut_out"], tmp_path / "run")


@pytest.fixture
def nothing_left():
    """No process of a test's own is there at its end."""
    before = set(psutil.Process().children(recursive=True))
    yield
    eventually(lambda: set(psutil.Process().children(recursive=True)) <= before)


def rgba(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"))


def on_white(png):
    pixels = rgba(png).astype(float)
    share = pixels[..., 3:] / 255
    return np.rint(pixels[..., :3] * share + 255 * (1 - share)).astype(np.uint8)


def like(one, other):
    return psnr_db(on_white(one), on_white(other))


def seen(png):
    """Left, top, right, bottom of what is not clear, in pixels."""
    found = np.nonzero(rgba(png)[..., 3] > 127)
    return np.array([found[1].min(), found[0].min(), found[1].max() + 1, found[0].max() + 1])


def around(camera, vertices):
    places = projected(camera, vertices)[:, :2]
    return np.array([*places.min(axis=0), *places.max(axis=0)])


def similarity(scale=3.0):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", (20, -40, 70), degrees=True).as_matrix()
    matrix[:3, 3] = (3, -2, 5)
    return rows(matrix)


def warped(scene, vertices):
    """Of vertices in the order of the scene's mesh, those of each object."""
    mesh = scene.mesh.joined().with_vertices(vertices)
    return {part.name: mesh.vertices_of(part.name).astype(np.float32) for part in mesh.parts}


def moved_along(camera, matrix):
    return camera.model_copy(update={"to_world": rows(np.array(matrix) @ np.array(camera.to_world))})


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["cut_out", "full"])
def test_from_its_own_camera_a_scene_gives_the_runs_own_picture(runs, blender, name, nothing_left):
    with opened(runs[name], blender=str(blender.executable)) as scene:
        png = scene.render_from(scene.camera)
    render = (runs[name] / "render.png").read_bytes()
    assert psnr_db(rgba(png)[..., :3], rgba(render)[..., :3]) > 35
    assert (rgba(png)[0, 0, 3] == 0) == (name == "cut_out") == (rgba(render)[0, 0, 3] == 0)


def test_a_scene_and_a_camera_moved_alike_give_the_same_picture(cut):
    camera = scaled(cut.camera, PX)
    moved = similarity()
    assert like(cut.render_from(camera), cut.render_from(moved_along(camera, moved), moved)) > 45
    assert like(cut.render_from(camera), cut.render_from(camera, similarity(1.0))) < 30


def test_the_same_vertices_in_place_of_its_own_give_the_same_picture_moved_or_not(cut):
    camera, moved = scaled(cut.camera, PX), similarity()
    vertices = cut.mesh.joined().vertices
    before = cut.render_from(camera)
    assert like(before, cut.render_from(camera, warped=warped(cut, vertices))) > 35
    away = warped(cut, applied(moved, vertices))
    assert like(before, cut.render_from(moved_along(camera, moved), moved, away)) > 35
    assert like(before, cut.render_from(camera)) == 99.0


def test_shifted_vertices_are_seen_where_the_camera_puts_them(cut):
    camera = scaled(cut.camera, PX)
    vertices = cut.mesh.joined().vertices
    assert seen(cut.render_from(camera)) == pytest.approx(around(camera, vertices), abs=1.5)
    shifted = vertices * 0.7 + np.array((0.4, 0.0, 0.2), np.float32)
    png = cut.render_from(camera, warped=warped(cut, shifted))
    assert seen(png) == pytest.approx(around(camera, shifted), abs=1.5)
    assert np.abs(seen(png) - seen(cut.render_from(camera))).max() > 4


@pytest.mark.parametrize("size", [(96, 80), (80, 120)])
def test_a_principal_point_off_the_middle_shifts_the_picture(cut, size):
    vertices = cut.mesh.joined().vertices
    camera = cut.camera.model_copy(
        update={"width_px": size[0], "height_px": size[1], "focal_px": 60.0, "center_px": (30.0, 55.0)}
    )
    assert seen(cut.render_from(camera)) == pytest.approx(around(camera, vertices), abs=1.5)


def test_what_cannot_be_is_refused(cut):
    name, own = cut.mesh.objects[0].name, cut.mesh.objects[0].vertices
    for wrong in ({name: own[1:]}, {"Nobody": own}, {name: own * np.nan}):
        with pytest.raises(ValueError, match="vertices of"):
            cut.render_from(cut.camera, warped=wrong)
    with pytest.raises(ValueError, match="no similarity"):
        cut.render_from(cut.camera, rows(np.diag((1, 2, 3, 1))))


# ── triangles ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_of_a_cut_out_all_counts_and_of_a_full_picture_what_is_no_ground_or_wall(runs, blender, cut):
    graph = json.loads((runs["cut_out"] / "scene_graph.json").read_text())
    parts = {node["name"] for node in graph["nodes"] if node["kind"] == "part"}
    assert {one.name for one in cut.mesh.objects} == parts and not cut.mesh.left_out
    with opened(runs["full"], blender=str(blender.executable)) as scene:
        counted = {one.name for one in scene.mesh.objects}
        assert counted and not counted & {"Ground", "Wall"} and "Ground" in scene.mesh.left_out
        bounds = around(scene.camera, scene.mesh.joined().vertices)
        assert bounds[0] > 0.2 * scene.camera.width_px and bounds[2] < 0.95 * scene.camera.width_px


def test_a_ground_by_any_name_is_known_by_its_reach(runs, blender, tmp_path):
    folder = shutil.copytree(runs["full"], tmp_path / "run")
    edit_scene(blender, folder, "bpy.data.objects['Ground'].name = 'Meadow'")
    with opened(folder, blender=str(blender.executable)) as scene:
        assert "both the left and the right edge" in scene.mesh.left_out["Meadow"]


# ── a common frame ────────────────────────────────────────────────────────────────────────────────────────────────────
def item_of(camera, *novel):
    views = tuple(View(name=str(number), picture="none.png", camera=each) for number, each in enumerate(novel))
    return Item(id="one", reference=View(name="reference", picture="none.png", camera=camera), novel=views)


def test_without_a_mesh_the_runs_camera_is_taken_for_the_references(cut):
    """Of a world three times as large and turned, whose second camera looks at the middle of the objects too."""
    vertices = cut.mesh.joined().vertices
    depths = projected(cut.camera, vertices)[:, 2]
    here = np.array(cut.camera.to_world)
    middle = here[:3, 3] - here[:3, 2] * (depths.min() + depths.max()) / 2
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 60, degrees=True).as_matrix()
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    beside = moved_along(cut.camera, turn)
    moved = similarity()
    placed = cut.placement(item_of(moved_along(cut.camera, moved), moved_along(beside, moved)), None)
    assert placed.how == "by_camera"
    assert np.array(placed.moved) == pytest.approx(np.array(moved), abs=0.02)
    assert like(cut.render_from(beside), cut.render_from(moved_along(beside, moved), placed.moved)) > 35


def test_a_registration_of_meshes_comes_first_and_nothing_to_go_by_is_said(cut):
    assert cut.placement(item_of(None), similarity()).how == "by_mesh"
    with pytest.raises(Unavailable, match="no cameras"):
        cut.placement(item_of(cut.camera), None)


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_second_evaluation_starts_no_blender_and_a_damaged_answer_is_asked_again(runs, blender, tmp_path):
    def evaluated(config=None, px=48):
        with opened(runs["full"], config=config, blender=str(blender.executable), kept=tmp_path) as scene:
            return scene.mesh.joined().vertices.tolist(), scene.render_from(scaled(scene.camera, px))

    first = evaluated()
    assert evaluated(NO_BLENDER) == first
    with pytest.raises(SetupFailed):
        evaluated(NO_BLENDER, px=40)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert evaluated() == first
    assert evaluated(NO_BLENDER) == first


def test_a_pool_that_is_open_serves_several_scenes_and_goes_on_when_a_blender_is_killed(runs, real_pool, nothing_left):
    with real_pool as pool:
        pictures = []
        for name in ("cut_out", "full", "cut_out"):
            with opened(runs[name], pool=pool) as scene:
                pictures.append(scene.render_from(scaled(scene.camera, 32)))
                for process in processes_of(pool.folder):
                    process.kill()
                assert len(scene.mesh.joined().faces) > 10
                assert scene.render_from(scaled(scene.camera, 24))
        assert like(pictures[0], pictures[2]) == 99.0 > like(pictures[0], pictures[1])


# ── damaged and hostile runs ──────────────────────────────────────────────────────────────────────────────────────────
def test_a_run_that_is_not_finished_or_damaged_says_so(copied, blender, tmp_path, monkeypatch):
    monkeypatch.delenv("BLENDER", raising=False)

    def failure(kind):
        with pytest.raises(kind) as caught, opened(copied, blender=str(blender.executable)) as scene:
            scene.render_from(scaled(scene.camera, 16))
        return str(caught.value)

    scene = (copied / "scene.blend").read_bytes()
    (copied / "scene.blend").write_bytes(scene[: len(scene) // 3])
    assert "scene.blend cannot be evaluated" in failure(SceneFailed)
    (copied / "scene.blend").write_bytes(b"BLENDER17-01v0999" + scene[17:])
    assert "saved by Blender 9.99, newer than" in failure(SetupFailed)
    with pytest.raises(NodeUnfit, match=r"saved by Blender 9\.99, and here is none that can open it"):
        to_evaluate(copied / "scene.blend", None)
    (copied / "scene.blend").write_bytes(b"no scene")
    assert "no .blend file" in failure(InputUnreadable)
    (copied / "scene.blend").unlink()
    assert "resume" in failure(InputUnreadable)
    os.mkfifo(copied / "scene.blend")
    assert "is no file" in failure(InputUnreadable)
    (copied / "scene.blend").unlink()
    (copied / "scene.blend").write_bytes(scene)
    (copied / "reference.png").write_bytes(b"no picture")
    assert "reference.png" in failure(InputUnreadable)
    (copied / "result.json").write_text("{")
    assert "damaged" in failure(InputUnreadable)
    (copied / "result.json").unlink()
    assert "not finished" in failure(UsageError)
    with pytest.raises(UsageError, match="holds no run"), opened(tmp_path):
        pass


LEAVE = "import os\nos._exit(0)\n"
"""What a scene holds may keep a Blender from ending by itself."""


def edit_scene(blender, folder, source):
    """Change a run's scene from outside, with nothing that checks it."""
    path = folder / "scene.blend"
    code = f"import bpy\nbpy.ops.wm.open_mainfile(filepath={str(path)!r})\n{source}\nbpy.ops.wm.save_mainfile()\n"
    subprocess.run(started(blender, folder, code + LEAVE), check=True, capture_output=True, timeout=60)


def started(blender, folder, code):
    script = folder.parent / "edit.py"
    script.write_text(code)
    if blender.kind == "wheel":
        return [str(blender.executable), str(script)]
    return [str(blender.executable), "-b", "--factory-startup", "--python-exit-code", "1", "-P", str(script)]


HOSTILE = """
text = bpy.data.texts.new("harm.py")
text.write({harm!r})
text.use_module = True
for thing in list(bpy.data.objects):
    if thing.type == "MESH":
        driver = thing.driver_add("location", 0).driver
        driver.expression = "[open({mark!r}, 'w').close(), 0][1]"
        break
bpy.context.preferences.filepaths.use_scripts_auto_execute = True
bpy.ops.mesh.primitive_cube_add()
bpy.context.object.name = "Cube" * 15
bpy.context.object.data.vertices[0].co = (float("nan"), float("inf"), 1e38)
"""


def test_a_strangers_scene_is_rendered_and_nothing_of_it_runs(copied, blender, tmp_path, nothing_left):
    mark = tmp_path / "harm"
    edit_scene(blender, copied, HOSTILE.format(harm=f"open({str(mark)!r}, 'w').close()", mark=str(mark)))
    mark.unlink(missing_ok=True)
    trusting = f"import bpy\nbpy.ops.wm.open_mainfile(filepath={str(copied / 'scene.blend')!r}, use_scripts=True)\n"
    subprocess.run(started(blender, copied, trusting + LEAVE), check=True, capture_output=True, timeout=60)
    assert mark.exists(), "it does no harm to anybody"
    mark.unlink()
    with opened(copied, blender=str(blender.executable)) as scene:
        assert scene.render_from(scaled(scene.camera, 32))
        assert "no finite numbers" in scene.mesh.left_out["Cube" * 15]
        assert not mark.exists()


def test_a_program_that_a_strangers_run_names_is_not_started(copied, tmp_path):
    program, mark = tmp_path / "blender", tmp_path / "harm"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    first, *others = (copied / "journal.jsonl").read_text().splitlines(keepends=True)
    entry = json.loads(first)
    entry["config"]["blender"] = str(program)
    (copied / "journal.jsonl").write_text("".join([json.dumps(entry) + "\n", *others]))
    with opened(copied) as scene:
        assert scene.blender.executable != program
    assert not mark.exists()


def test_a_scene_that_is_too_much_fails_in_time_and_leaves_nothing(copied, blender, nothing_left):
    endless = "bpy.data.objects[0].modifiers.new('Much', 'SUBSURF').render_levels = 11"
    mesh = "[thing for thing in bpy.data.objects if thing.type == 'MESH'][0]"
    edit_scene(blender, copied, endless.replace("bpy.data.objects[0]", mesh))
    small = Config(limits=BoxLimits(memory_mib=700, render_s=20.0))
    began = time.monotonic()
    with pytest.raises(SceneFailed, match="cannot be evaluated"):
        with opened(copied, config=small, blender=str(blender.executable)) as scene:
            scene.render_from(scaled(scene.camera, 16))
    assert time.monotonic() - began < 90
