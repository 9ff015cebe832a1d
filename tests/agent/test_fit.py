"""In real Blenders, with a render of a known scene as the reference: the fit tool finds what was changed about it."""

import re

import numpy as np
import pytest
from box_helpers import real_pool
from fit_bench import KIT, ROOM, THINGS, bench_on, told
from scipy.spatial.transform import Rotation

from agent.evaluation.measures import measure
from agent.stages.table import CAMERA, INITIALISATION, REFINING
from agent.tools.fit import FitInput, fit
from agent.tools.fitting.facts import ObjectFacts, SceneFacts, TreeFacts
from agent.tools.fitting.hues import is_plausible
from agent.tools.fitting.trial import inspected
from sandbox.limits import Limits

pytestmark = [pytest.mark.blender, pytest.mark.timeout(180)]

GEOMETRY, MATERIAL, COMPOSITION, LIGHTING = REFINING

OTHER_LIGHT = """
import bpy
for name, energy, color in (("Key", 120, (0.6, 0.8, 1)), ("Fill", 300, (1, 1, 1))):
    bpy.data.lights[name].energy, bpy.data.lights[name].color = energy, color
"""
OTHER_WORLD = """
import bpy
bpy.data.worlds["World"].node_tree.nodes["Background"].inputs["Strength"].default_value = 1
"""
OTHER_COLORS = """
import bpy
for name, color in (("Body", (0.9, 0.9, 0.1, 1)), ("Head", (0, 0, 0, 1))):
    bpy.data.materials[name].node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
"""
MAGENTA_THINGS = """
import bpy
for name in ("Ground", "Wall", "Body"):
    surface = bpy.data.materials[name].node_tree.nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value = (0.5, 0.15, 0.5, 1)
"""
BRIGHT_HEAD = """
import bpy
head = bpy.data.materials["Head"].node_tree.nodes["Principled BSDF"]
head.inputs["Base Color"].default_value = (0.4, 0.8, 0.9, 1)
"""
OTHER_PLACE = """
import bpy
body = bpy.data.objects["Body"]
body.location, body.rotation_euler.z, body.scale = (0.12, -0.1, 0.56), 0.2, (1.12, 1.12, 1.12)
"""
FAR_CAMERA = """
import bpy
camera = bpy.data.objects["Camera"]
camera.location, camera.rotation_euler, camera.data.lens = (1.5, -7, 2), (1.3, 0, 0.1), 35
"""
OTHER_CAMERA = """
import bpy
camera = bpy.data.objects["Camera"]
camera.location.x += 0.1
camera.rotation_euler.z += 0.017
camera.data.lens = 52
"""


@pytest.fixture(scope="module")
def pool(request, tmp_path_factory):
    kind = getattr(request, "param", "wheel")
    with real_pool(kind, Limits(), tmp_path_factory.mktemp(kind)) as pool:
        yield pool


in_each_blender = pytest.mark.parametrize("pool", ["wheel", "binary"], indirect=True)


@pytest.fixture
def bench(pool, tmp_path):
    def make(scene, changes="", stage=INITIALISATION, **settings):
        return bench_on(pool, tmp_path / f"run{len(list(tmp_path.iterdir()))}", scene, changes, stage, **settings)

    return make


def use(bench, **given):
    outcome = fit(bench, FitInput.model_validate({"purpose": "test", **given}))
    return outcome, told(outcome)


def figures(bench):
    return measure(bench.run.reference, bench.render())


def committed(bench, **given):
    """What a fit that commits tells; the picture gained, and the edit is one of literal values."""
    before, head = figures(bench), bench.head.id
    outcome, facts = use(bench, **given)
    assert facts.get("result") == "committed", facts
    assert facts["error_after"] < facts["error_before"] and facts["looks"] <= facts["looks_allowed"]
    assert figures(bench).psnr_db > before.psnr_db + 1
    assert bench.head.id == outcome.head and bench.head.parent == head
    assert not re.search(r"\bfor\b|\bdef\b|\*", bench.head.edit.source)
    return facts


# ── lights ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@in_each_blender
def test_two_lights_of_known_strength_are_recovered_within_some_percent_however_few_looks_were_allowed(bench):
    with bench(ROOM, OTHER_LIGHT, cutout=False) as bench:
        facts = committed(bench, kind="lights", looks=2)
        assert set(facts["values"]) == {"Key", "Fill", "World"} and facts["looks"] <= 12
        lights = {one.name: one for one in inspected(bench, SceneFacts, "scene").lights}
    assert np.multiply(lights["Key"].energy, lights["Key"].color) == pytest.approx([350, 315, 262.5], rel=0.06)
    assert np.multiply(lights["Fill"].energy, lights["Fill"].color) == pytest.approx([84, 96, 120], rel=0.12)


def test_the_world_is_left_alone_where_it_is_not_in_scope_and_tuned_where_it_is(bench):
    without_world = LIGHTING.model_copy(update={"scope": frozenset({"light"})})
    with bench(THINGS, OTHER_LIGHT, without_world) as one:
        facts = committed(one, kind="lights", goal="luminance")
        assert "World" not in facts["values"] and "world" in facts["notes"][0]
    with bench(THINGS, OTHER_WORLD, LIGHTING) as one:
        committed(one, kind="lights")
        node = next(n for n in inspected(one, TreeFacts, "world").nodes if n.type == "ShaderNodeBackground")
    assert np.multiply(node.number("Strength"), node.color("Color")[:3]) == pytest.approx([0.2, 0.22, 0.24], rel=0.15)


def test_saturated_and_background_pixels_do_not_mislead_the_lights(bench):
    burnt = (
        '\nbpy.data.materials["Head"].node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1,1,1,1)'
    )
    with bench(f"{THINGS}{burnt}\nbpy.data.lights['Key'].energy = 2500", OTHER_LIGHT) as bench:
        committed(bench, kind="lights")
        lights = {one.name: one for one in inspected(bench, SceneFacts, "scene").lights}
    assert np.multiply(lights["Key"].energy, lights["Key"].color) == pytest.approx([2500, 2250, 1875], rel=0.15)


def test_lights_do_not_take_odd_colours_to_make_up_for_wrong_materials(bench):
    with bench(ROOM, MAGENTA_THINGS + OTHER_LIGHT, cutout=False) as bench:
        facts = use(bench, kind="lights")[1]
    values = facts.get("values") or facts["found"]
    colors = [one["color"][1] for one in values.values()]
    assert len(colors) == 3 and all(is_plausible(color) for color in colors)


# ── colours ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_objects_base_colour_is_found_from_a_wrong_one_and_from_black(bench):
    with bench(THINGS, OTHER_COLORS, MATERIAL) as bench:
        body = committed(bench, kind="colors", of="Body")["values"]["Body"]
        head = committed(bench, kind="colors", of="Head", goal="colour")["values"]["Head"]
    assert body[0] == pytest.approx([0.9, 0.9, 0.1]) and body[1] == pytest.approx([0.55, 0.12, 0.08], abs=0.03)
    assert head[1] == pytest.approx([0.1, 0.3, 0.6], abs=0.03)


def test_a_colour_that_a_texture_drives_is_left_and_the_reason_is_told(bench):
    texture = """
tree = bpy.data.materials["Body"].node_tree
noise = tree.nodes.new("ShaderNodeTexNoise")
tree.links.new(noise.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
"""
    with bench(THINGS + texture, OTHER_LIGHT, MATERIAL) as bench:
        outcome, facts = use(bench, kind="colors", of="Body")
        assert outcome.is_error and outcome.head == bench.head.id
    assert "Noise Texture.Color → Principled BSDF.Base Color" in facts["error"]


# ── poses ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@in_each_blender
def test_a_displaced_camera_comes_back(bench):
    with bench(THINGS, OTHER_CAMERA, CAMERA) as bench:
        committed(bench, kind="camera", looks=60)
        assert figures(bench).iou > 0.97


def corners_in_the_picture():
    """Corners of the body and the cone's tip, and where the right camera (of `THINGS`) shows them, to a half pixel."""
    world = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0, 1)] + [(1.1, 0.3, 0.8)]
    turned = Rotation.from_euler("xz", (70, 26), degrees=True).as_matrix()
    before = (np.array(world) - (3.2, -6, 3)) @ turned
    across, up = (before[:, :2] / -before[:, 2:] * 50 / 36).T
    picture = np.stack([0.5 + across, 0.5 - up * 192 / 144], axis=1).round(3)
    return [{"picture": list(seen), "world": place} for seen, place in zip(picture.tolist(), world, strict=True)]


def test_a_camera_far_off_is_solved_from_points_without_a_search(bench):
    with bench(THINGS, FAR_CAMERA, CAMERA, fit_looks=2) as bench:
        facts = committed(bench, kind="camera", points=corners_in_the_picture())
        assert facts["looks"] == 2 and figures(bench).iou > 0.98
    assert facts["values"]["location"][1] == pytest.approx([3.2, -6, 3], abs=0.1)
    assert facts["values"]["lens_mm"] == [35, pytest.approx(50, rel=0.02)]
    assert facts["values"]["reprojection_px"] == [pytest.approx(60, abs=59), pytest.approx(0, abs=0.2)]


def test_points_that_would_spoil_the_picture_move_nothing(bench):
    wrong = [{**one, "picture": [0.5 * axis for axis in one["picture"]]} for one in corners_in_the_picture()]
    with bench(THINGS, stage=CAMERA) as bench:
        outcome, facts = use(bench, kind="camera", points=wrong)
    assert not outcome.committed and facts["result"] == "no_gain"
    assert facts["lost"]["iou"][1] < facts["lost"]["iou"][0] == pytest.approx(1, abs=0.02)


def test_a_camera_that_a_constraint_turns_is_fitted_too(bench):
    tracked = """
track = bpy.data.objects["Camera"].constraints.new("TRACK_TO")
track.target = bpy.data.objects["Body"]
"""
    with bench(THINGS + tracked, 'import bpy\nbpy.data.objects["Camera"].location.x += 0.5', CAMERA) as bench:
        committed(bench, kind="camera", looks=60)
        assert figures(bench).iou > 0.97
        assert not inspected(bench, ObjectFacts, "object", "Camera").constraints


def test_an_orthographic_camera_is_fitted_by_its_scale(bench):
    flat = '\ncamera.data.type = "ORTHO"\ncamera.data.ortho_scale = 5\n'
    changes = 'import bpy\nbpy.data.cameras["Camera"].ortho_scale = 5.4\nbpy.data.objects["Camera"].location.z += 0.1'
    with bench(THINGS + flat, changes, CAMERA) as bench:
        values = committed(bench, kind="camera", looks=60)["values"]
        assert values["ortho_scale"][1] == pytest.approx(5, rel=0.01)


def test_a_displaced_object_comes_back_with_its_children(bench):
    head = 'bpy.data.objects["Head"]'
    child = f'\n{head}.parent = bpy.data.objects["Body"]\n{head}.location = (0.25, -0.2, 0.8)\n'
    with bench(THINGS + child, OTHER_PLACE, COMPOSITION) as bench:
        values = committed(bench, kind="placement", of="Body", looks=60)["values"]
        assert values["scaled_by"] == pytest.approx(1 / 1.12, rel=0.05)
        assert values["turned_deg"] == pytest.approx(-np.degrees(0.2), abs=5)
        assert figures(bench).iou > 0.96


def test_named_numbers_are_found_by_the_region_they_show_in(bench):
    value = {"path": 'objects["Cone"].location[0]', "lower": 0.7, "upper": 1.5, "start": 1.0}
    with bench(THINGS, 'import bpy\nbpy.data.objects["Cone"].location.x = 0.95', GEOMETRY) as bench:
        facts = committed(bench, values=[value], region="Cone", looks=20)
    assert facts["values"] == {value["path"]: pytest.approx(1.1, abs=0.04)}


# ── what is not done ──────────────────────────────────────────────────────────────────────────────────────────────────
NOT_ALLOWED = [
    (LIGHTING, {"kind": "camera"}, "camera"),
    (MATERIAL, {"kind": "placement", "of": "Body"}, "transform"),
    (CAMERA, {"kind": "placement", "of": "Body"}, "transform"),
    (COMPOSITION, {"kind": "placement", "of": "Key"}, "light"),
    (GEOMETRY, {"kind": "lights"}, "light"),
    (COMPOSITION, {"kind": "colors", "of": "Body"}, "material"),
    (MATERIAL, {"values": [{"path": 'lights["Key"].energy', "lower": 0, "upper": 9, "start": 1}]}, "light"),
    (MATERIAL, {"values": [{"path": 'objects["Camera"].location[0]', "lower": 0, "upper": 9, "start": 1}]}, "camera"),
]


def test_what_a_stage_may_not_change_is_refused_before_any_render(bench, monkeypatch):
    with bench(THINGS) as bench:
        rendered = []
        monkeypatch.setattr(bench, "render_with_reply", lambda *a, **k: rendered.append(a))
        for stage, given, factor in NOT_ALLOWED:
            bench.stage = stage
            outcome, facts = use(bench, **given)
            assert outcome.is_error and not rendered
            assert repr(factor) in facts["error"] and f"the {stage.name} stage may change only" in facts["error"]


def test_nothing_is_committed_where_nothing_is_gained(bench):
    with bench(ROOM, cutout=False) as bench:
        for given in ({"kind": "lights"}, {"kind": "colors", "of": "Body"}, {"kind": "camera", "looks": 20}):
            head = bench.head.id
            outcome, facts = use(bench, **given)
            assert (outcome.committed, outcome.is_error, bench.head.id) == (False, False, head), facts
            assert facts["result"] == "no_gain" and facts["found"]


def test_what_would_darken_the_picture_for_one_objects_sake_is_found_but_not_set(bench):
    path = 'lights["Key"].energy'
    value = {"path": path, "lower": 20, "upper": 400, "start": 350}
    with bench(ROOM, BRIGHT_HEAD, cutout=False) as bench:
        outcome, facts = use(bench, values=[value], region="Head", goal="luminance", looks=10)
    assert not outcome.committed and facts["result"] == "no_gain" and facts["found"][path] < 250
    before, after = facts["lost"]["luminance_ratio"]
    assert before == pytest.approx(1, abs=0.15) and after < 0.85 * before


def test_what_cannot_be_fitted_is_told(bench):
    hidden = '\npart("Hidden", box, (1, 1, 1), location=(0, -30, 0))\n'
    with bench(ROOM + hidden, cutout=False) as bench:
        for given, reason in (
            ({"kind": "placement", "of": "Nobody"}, "Nobody"),
            ({"kind": "colors", "of": "Key"}, "no|nothing"),
            ({"kind": "camera", "goal": "silhouette"}, "no cut-out"),
            ({"kind": "lights", "region": "Hidden"}, "nothing is seen"),
        ):
            outcome, facts = use(bench, **given)
            assert outcome.is_error and re.search(reason, facts["error"])


def test_a_run_that_allows_too_few_looks_says_how_many_it_takes(bench):
    with bench(THINGS, OTHER_CAMERA, fit_looks=6) as bench:
        assert "at least 12 looks" in use(bench, kind="camera")[1]["error"]
        assert re.search(r"takes \d+ looks, and this run allows 6", use(bench, kind="lights")[1]["error"])


def test_a_scene_without_lights_is_told_so(bench):
    scene = KIT + 'part("Body", box, (0.5, 0.1, 0.1))\n' + THINGS[THINGS.index("camera = bpy") :]
    glow = '\ntree = bpy.data.materials["Body"].node_tree\nglow = tree.nodes.new("ShaderNodeEmission")\n' \
           'tree.links.new(glow.outputs[0], tree.nodes["Material Output"].inputs[0])\n'  # fmt: skip
    with bench(scene + glow) as bench:
        assert "there is no light to tune" in use(bench, kind="lights")[1]["error"]
