"""What each tool answers, on a scene whose every number and pixel is known, from a real Blender.

The target camera is orthographic and sees 4 × 4 m on 128 × 128 px, 32 px a metre, the origin in the middle: the cube
lies in pixels 48 to 80, the blue post in 96 to 112 across and 32 to 48 down. The reference has the cube 8 px farther
to the right. Everything shines by itself, so colours are exact.
"""

import numpy as np
import pytest
from benches import Desk, bench_of, facts, graph_of, opened_run, pictures
from PIL import Image, ImageDraw

from agent.evaluation.comparison import EDGE, GAP_PX, LABEL_PX, RULER_PX
from agent.stages.table import INITIALISATION, REFINING
from agent.tools.quick import COARSE, QuickViews, quick_views
from agent.tools.workbench import Workbench, captioned
from protocol.errors import ProcessCrashed
from protocol.models import Made

pytestmark = [pytest.mark.blender, pytest.mark.timeout(120)]

GEOMETRY, MATERIAL, COMPOSITION, LIGHTING = REFINING
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
PX = 128

SCENE = """
import bpy

def shining(name, color):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    nodes = made.node_tree.nodes
    nodes.clear()
    light, out = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    light.inputs["Color"].default_value = (*color, 1)
    made.node_tree.links.new(light.outputs[0], out.inputs["Surface"])
    return made

def box(name, size, place, *materials):
    corners = [(x, y, z) for x in (-size, size) for y in (-size, size) for z in (-size, size)]
    faces = [(0, 4, 5, 1), (4, 6, 7, 5), (2, 3, 7, 6), (0, 1, 3, 2), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces)
    made = bpy.data.objects.new(name, mesh)
    made.location = place
    for each in materials:
        mesh.materials.append(each)
    bpy.context.scene.collection.objects.link(made)
    return made

red, green, blue = shining("Red", (1, 0, 0)), shining("Green", (0, 1, 0)), shining("Blue", (0, 0, 1))
cube = box("Cube", 0.5, (0, 0, 0), red, green)
cube.data.polygons[1].material_index = 1  # the side that looks along +X
box("Post", 0.25, (1.25, 0, 0.75), blue)
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.data.type, camera.data.ortho_scale = "ORTHO", 4
camera.location, camera.rotation_euler = (0, -10, 0), (1.5707963, 0, 0)
bpy.context.scene.collection.objects.link(camera)
bpy.context.scene.camera = camera
world = bpy.data.worlds.new("World")
world.use_nodes = True
world.node_tree.nodes["Background"].inputs[0].default_value = (0.21586, 0.21586, 0.21586, 1)
bpy.context.scene.world = world
"""


def picture():
    image = Image.new("RGB", (PX, PX), GREY)
    draw = ImageDraw.Draw(image)
    draw.rectangle((56, 48, 87, 79), fill=RED)
    draw.rectangle((96, 32, 111, 47), fill=BLUE)
    return image


GRAPH = graph_of(
    {"name": "Cube", "picture_box": (56 / PX, 48 / PX, 88 / PX, 80 / PX)},
    {"name": "Post", "picture_box": (96 / PX, 32 / PX, 112 / PX, 40 / PX)},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    with opened_run("wheel", picture(), folder, target_px=PX, look_px=PX, look_samples=4) as run:
        yield run


@pytest.fixture(scope="module")
def built(run):
    """The scene's snapshot."""
    with bench_of(run, GRAPH) as bench:
        bench.begin(INITIALISATION)
        desk = Desk(bench)
        desk.use("submit_plan", plan="everything at once")
        outcome = desk.run(SCENE)
        assert outcome.committed, facts(outcome)
        yield bench


@pytest.fixture(scope="module")
def still(built):
    """A generator of the geometry stage, for tests that change nothing."""
    built.begin(GEOMETRY)
    return Desk(built)


@pytest.fixture
def desk(still):
    """The same at the stage's start, with that as its only snapshot."""
    still.bench.move_to(still.bench.start.id)
    with Workbench(still.bench.run, still.bench.graph, still.bench.start) as bench:
        bench.begin(GEOMETRY)
        yield Desk(bench)


def move(z):
    return f"import bpy\nbpy.data.objects['Cube'].location.z = {z}"


def near(pixel, color, by=3):
    return all(abs(int(a) - b) <= by for a, b in zip(pixel[:3], color, strict=True))


def plain(image, color, by=3):
    """Whether a picture is of one colour."""
    return bool((np.abs(np.asarray(image)[..., :3].astype(int) - color) <= by).all())


def panels(sheet, count):
    """The pictures of a sheet in one row, without labels and gaps."""
    width = (sheet.width - GAP_PX * (count + 1)) // count
    top, bottom = GAP_PX + LABEL_PX, sheet.height - GAP_PX
    lefts = [GAP_PX + number * (width + GAP_PX) for number in range(count)]
    return [sheet.crop((left, top, left + width, bottom)) for left in lefts]


# ── run_code ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_edit_tells_what_changed_by_name_and_shows_the_target_view(desk):
    outcome = desk.run(
        "import bpy\nfor name in ('Cube', 'Post'):\n    bpy.data.objects[name].location.z += 0.5\nprint(7)"
    )
    told = facts(outcome)
    assert (told["result"], told["snapshot"], told["printed"]) == ("committed", "s1", "7\n")
    assert told["changes"] == ["transform: Cube, Post"]
    (view,) = pictures(outcome)
    assert view.size == (PX, PX) and near(view.getpixel((64, 48)), RED) and near(view.getpixel((64, 70)), GREY)
    assert told["measures"]["psnr_db"] < 20


def test_many_changes_are_counted(desk):
    code = "import bpy\nfor n in range(30):\n    made = bpy.data.objects.new(f'New {n:02}', bpy.data.meshes['Post'])\n"
    told = facts(desk.run(code + "    bpy.context.scene.collection.objects.link(made)"))
    listed = ", ".join(f"New {n:02}" for n in range(12))
    assert told["changes"] == [f"structure: added {listed} and 18 more"]


def test_a_script_that_raises_is_told_its_line_and_leaves_the_scene(desk):
    outcome = desk.run(
        "import bpy\nbpy.data.objects['Cube'].location.z = 9\nbpy.data.objects['Nothing'].location.z = 9"
    )
    assert facts(outcome)["result"] == "script_error" and "line 3" in facts(outcome)["message"]
    assert outcome.is_error and outcome.head == desk.bench.start.id


# ── look ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def seen(desk, **given):
    (view,) = pictures(desk.use("look", px=64, samples=4, **given))
    return view


def test_the_target_view_is_the_cameras(still):
    view = seen(still, view={"kind": "target"})
    assert view.size == (64, 64)
    assert (
        near(view.getpixel((32, 32)), RED) and near(view.getpixel((52, 20)), BLUE) and near(view.getpixel((5, 5)), GREY)
    )


def test_an_orbit_by_90_degrees_shows_the_other_side(still):
    view = seen(still, view={"kind": "orbit", "azimuth_deg": 90, "focus": "Cube"})
    assert near(view.getpixel((32, 32)), GREEN)
    assert near(seen(still, view={"kind": "orbit", "azimuth_deg": -90, "focus": "Cube"}).getpixel((32, 32)), RED)


def test_a_side_is_seen_along_its_axis_and_fills_the_picture_with_what_it_is_about(still):
    view = seen(still, view={"kind": "preset", "side": "right", "focus": "Cube"})
    colors = np.asarray(view)[..., :3].reshape(-1, 3)
    assert np.mean(np.abs(colors.astype(int) - GREEN).max(axis=1) < 30) > 0.4


def test_a_view_from_a_place_looks_where_it_is_told(still):
    view = {"kind": "position", "location": [1.25, -3, 0.75], "look_at": [1.25, 0, 0.75]}
    assert near(seen(still, view=view).getpixel((32, 32)), BLUE)


def test_isolate_hides_all_others(still):
    outcome = still.use("look", px=64, samples=4, isolate=["Post"])
    (view,) = pictures(outcome)
    assert near(view.getpixel((32, 32)), GREY) and near(view.getpixel((52, 20)), BLUE)
    assert outcome.content[1].caption == captioned("target view of Post alone", by_cycles(still, 4))


def by_cycles(desk, samples):
    denoised = desk.bench.run.blender.facts.denoiser
    return Made(engine="cycles", samples=samples, device="CPU", denoised=denoised)


def test_the_target_view_says_what_made_it(still):
    expected = captioned("target view of the scene", by_cycles(still, still.bench.run.config.look_samples))
    assert still.bench.look()[0].caption == expected


def test_a_quick_look_shows_the_same_things_as_the_run_has_chosen_to(still):
    outcome = still.use("look", quick=True, px=128)
    (view,) = pictures(outcome)
    quick = quick_views(still.bench.run)
    engine = "Workbench" if quick.engine == "workbench" else f"Cycles, {quick.samples} samples"
    assert outcome.content[1].caption.startswith(f"target view ({engine}")
    for place, channel in (((64, 64), 0), ((104, 40), 2)):
        assert np.argmax(view.getpixel(place)[:3]) == channel


def test_a_quick_look_that_ends_blender_is_made_by_cycles_from_then_on_and_says_so_once(still, monkeypatch):
    asked, render = [], still.bench.render_with_reply

    def ending(view=None, long_side_px=None, **settings):
        asked.append(settings["engine"])
        if settings["engine"] == "workbench":
            raise ProcessCrashed("render", "ended by signal 6")
        return render(view, long_side_px, **settings)

    workbench = QuickViews(engine="workbench", samples=1, most_px=None)
    monkeypatch.setattr(still.bench, "render_with_reply", ending)
    monkeypatch.setattr(still.bench, "_quick", workbench)
    outcomes = [still.use("look", quick=True) for _ in range(2)]
    assert asked == ["workbench", "cycles", "cycles"]
    assert "signal 6), so Cycles made it." in facts(outcomes[0])["notes"][-1]
    assert not any("signal" in note for note in facts(outcomes[1]).get("notes", ()))
    assert [pictures(one)[0].size for one in outcomes] == [(COARSE.most_px,) * 2] * 2


def test_looking_changes_nothing(still):
    head = still.bench.head.id
    for given in ({"view": {"kind": "orbit", "azimuth_deg": 30}}, {"isolate": ["Post"]}, {"isolate": ["Nothing"]}):
        assert still.use("look", px=16, samples=1, **given).head == head
    assert still.use("look", isolate=["Nothing"]).is_error


# ── inspect ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def what(desk, **given):
    outcome = desk.use("inspect", **given)
    assert not outcome.is_error, facts(outcome)
    return facts(outcome)["what"]


def test_the_scene_is_told_as_a_tree_with_numbers(desk):
    desk.run("import bpy\nbpy.data.objects['Post'].parent = bpy.data.objects['Cube']")
    told = what(desk, subject="scene")
    assert told["tree"] == ["Camera", "Cube", "  Post"]
    cube = next(one for one in told["objects"] if one["name"] == "Cube")
    assert cube == {
        "name": "Cube", "type": "MESH", "location": [0, 0, 0], "dimensions": [1, 1, 1],
        "world_box": [[-0.5] * 3, [0.5] * 3], "vertices": 8, "faces": 6, "materials": ["Red", "Green"],
        "projected_box": pytest.approx([0.375, 0.375, 0.625, 0.625], abs=1e-4), "in_frame": 1.0,
    }  # fmt: skip
    assert told["camera"]["ortho_scale"] == 4 and told["view"]["view_transform"] == "Standard"


def test_an_object_is_told_with_slots_and_modifiers_that_were_set(desk):
    desk.run("import bpy\nbpy.data.objects['Cube'].modifiers.new('Edge', 'BEVEL').width = 0.25")
    told = what(desk, subject="object", name="Cube")
    assert told["slots"] == [{"material": "Red", "faces": 5}, {"material": "Green", "faces": 1}]
    (modifier,) = told["modifiers"]
    assert modifier.startswith("Edge (BEVEL): ") and "width=0.25" in modifier and "segments" not in modifier


def test_a_material_is_told_as_nodes_that_differ_from_their_defaults(still):
    told = what(still, subject="material", name="Red")
    assert told["users"] == ["Cube"] and told["settings"] == {}
    assert told["nodes"] == [
        "Emission (ShaderNodeEmission): Color=[1, 0, 0, 1]",
        "Material Output (ShaderNodeOutputMaterial)",
    ]
    assert told["links"] == ["Emission.Emission -> Material Output.Surface"]


def test_contacts_name_what_floats_and_how_high(desk):
    told = what(desk, subject="contacts")
    assert told["interpenetrating"] == [] and told["checked"] == 2
    assert told["floating"] == [{"objects": ["Post"]}]  # beside the cube: nothing is below
    desk.run("import bpy\nbpy.data.objects['Post'].location = (0, 0, 1)")
    told = what(desk, subject="contacts")
    assert told["floating"] == [{"objects": ["Post"], "gap_below_m": 0.25, "above": "Cube"}]


def test_an_unknown_name_is_answered_with_those_that_there_are(still):
    outcome = still.use("inspect", subject="object", name="Sphere")
    assert outcome.is_error and "Camera, Cube, Post" in facts(outcome)["error"]


def test_a_crowded_scene_is_cut_and_says_how_much(desk):
    code = "import bpy\nfor n in range(300):\n    made = bpy.data.objects.new(f'N{n:03}', bpy.data.meshes['Post'])\n"
    desk.run(code + "    bpy.context.scene.collection.objects.link(made)")
    outcome = desk.use("inspect", subject="scene")
    told = facts(outcome)["what"]
    assert len(outcome.content[0].text) < 26_000
    kept = len(told["objects"])
    assert f"objects: the first {kept} of 303" in told["cut"] and kept > 50


# ── compare, measure ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_side_by_side_shows_reference_render_and_difference(still):
    outcome = still.use("compare")
    reference, render, difference = panels(*pictures(outcome), 3)
    assert reference.size == render.size == (256, 256)
    at = {"both": (136, 128), "reference": (166, 128), "render": (104, 128), "none": (20, 20)}
    assert [near(reference.getpixel(at[name]), RED) for name in at] == [True, True, False, False]
    assert [near(render.getpixel(at[name]), RED) for name in at] == [True, False, True, False]
    assert [near(difference.getpixel(at[name]), (0, 0, 0)) for name in at] == [True, False, False, True]


def test_an_overlay_shows_what_is_displaced_and_the_references_edges(still):
    (blend,) = panels(*pictures(still.use("compare", mode="overlay")), 1)
    assert blend.size == (512, 512)
    half = tuple((a + b) // 2 for a, b in zip(RED, GREY, strict=True))
    assert near(blend.getpixel((4 * 70, 4 * 64)), RED)
    assert near(blend.getpixel((4 * 52, 4 * 64)), half) and near(blend.getpixel((4 * 84, 4 * 64)), half)
    pixels = np.asarray(blend)[..., :3]
    edges = np.flatnonzero((pixels[4 * 64] == EDGE).all(axis=1)) / 4
    assert edges.min() == pytest.approx(56, abs=1) and edges.max() == pytest.approx(88, abs=1)


def test_the_difference_alone_is_larger(still):
    (difference,) = panels(*pictures(still.use("compare", mode="difference")), 1)
    assert difference.size == (512, 512)
    assert near(difference.getpixel((4 * 70, 4 * 64)), (0, 0, 0))
    assert near(difference.getpixel((4 * 52, 4 * 64)), (127, 128, 128))


def test_a_region_is_cut_out_of_both_and_rendered_larger(still):
    outcome = still.use("compare", region=[96 / PX, 32 / PX, 112 / PX, 48 / PX])
    reference, render, difference = panels(*pictures(outcome), 3)
    assert render.size[0] >= 256
    inner = (8, 8, render.width - 8, render.height - 8)
    assert all(plain(panel.crop(inner), color) for panel, color in
               ((reference, BLUE), (render, BLUE), (difference, (0, 0, 0))))  # fmt: skip
    told = facts(outcome)
    assert told["region"] == [0.75, 0.25, 0.875, 0.375] and list(told["objects"]) == ["Post"]
    assert told["measures"]["mean_color_render"] == pytest.approx([0, 0, 1], abs=0.02)


def test_a_region_shows_edges_as_sharp_as_a_render_of_its_own(still):
    """Not an enlarged small picture: colours change within a few pixels of the large one."""
    _, render, _ = panels(*pictures(still.use("compare", region=[0.25, 0.25, 0.5, 0.5])), 3)
    assert render.size == (384, 384)
    row = np.asarray(render)[340, :, 0].astype(int)  # red from 48 / 128 on: the middle of the region
    between = np.flatnonzero((row > 140) & (row < 245))
    assert len(between) <= 4 and abs(np.argmax(row > 200) - 192) <= 2


def test_an_object_is_shown_with_its_surroundings(still):
    outcome = still.use("compare", of="Post")
    left, top, right, bottom = facts(outcome)["region"]
    assert left < 96 / PX < 112 / PX < right and top < 32 / PX < 48 / PX < bottom and right - left < 0.2
    _, render, _ = panels(*pictures(outcome), 3)
    assert near(render.getpixel((render.width // 2, render.height // 2)), BLUE) and near(render.getpixel((2, 2)), GREY)


@pytest.mark.parametrize(("given", "said"), [
    ({"region": [0.5, 0, 0.4, 1]}, "a region is at least"),
    ({"region": [0, 0, 2, 1]}, "fractions from 0 to 1"),
    ({"region": [0, 0, 1, 1], "of": "Post"}, "not both"),
    ({"mode": "upside_down"}, "mode"),
    ({"of": "Nothing"}, "no object 'Nothing'"),
    ({"of": "Camera"}, "nothing of 'Camera'"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_the_reason(still, given, said):
    outcome = still.use("compare", **given)
    assert outcome.is_error and said in facts(outcome)["error"]


def test_each_object_is_told_where_it_is_seen_and_what_of_it_is_off(still):
    told = facts(still.use("measure"))
    assert list(told["objects"]) == ["Cube", "Post"]  # the larger first
    cube, post = told["objects"]["Cube"], told["objects"]["Post"]
    assert cube["seen_box"] == [0.375, 0.375, 0.625, 0.625] and "reaches_border" not in cube
    wanted, shown = cube["mean_color"]
    assert shown == pytest.approx([1, 0, 0], abs=0.02)
    three_quarters = [0.75 + 0.25 * 0.502, 0.25 * 0.502, 0.25 * 0.502]
    assert wanted == pytest.approx(three_quarters, abs=0.01)
    assert cube["against_picture_box"] == {"offset": [-0.062, 0.0]}
    assert post == {"seen_box": [0.75, 0.25, 0.875, 0.375], "against_picture_box": {"size_ratio": [1.0, 2.0]}}


def test_what_is_hidden_or_outside_is_named(desk):
    desk.run("import bpy\nbpy.data.objects['Post'].location = (0, 1.5, 0)")
    told = facts(desk.use("measure"))
    assert list(told["objects"]) == ["Cube"] and told["not_seen"] == ["Post"]


# ── reference ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_reference_can_be_looked_at_before_there_is_a_camera(run):
    with bench_of(run, GRAPH) as bench:
        bench.begin(INITIALISATION)
        desk = Desk(bench)
        assert "no active camera" in facts(desk.use("compare"))["error"]
        head = bench.head.id
        outcome = desk.use("reference", region=[0.75, 0.25, 0.875, 0.375])
        (shown,) = pictures(outcome)
        assert facts(outcome) == {"region": [0.75, 0.25, 0.875, 0.375]} and bench.head.id == head
        assert near(shown.getpixel((RULER_PX + 384, RULER_PX + 384)), BLUE)
        assert desk.use("reference", region=[0.75, 0.25, 0.75, 0.375]).is_error


# ── snapshots, revert ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_snapshots_are_listed_with_what_they_were_for_and_how_they_measure(desk):
    desk.bench.begin_round(1)
    desk.use("measure")
    desk.use("run_code", purpose="up", code=move(0.5))
    desk.bench.begin_round(2)
    last = facts(desk.use("run_code", purpose="down", code=move(-0.5)))
    desk.use("revert", to="s1")
    start, up, down = facts(desk.use("snapshots"))["snapshots"]
    assert (start["name"], start["edit"]) == ("s0", "(the stage's start)")
    assert (up["name"], up["edit"], up["round"], up["current"]) == ("s1", "up", 1, True)
    assert (down["name"], down["edit"], down["round"]) == ("s2", "down", 2) and "current" not in down
    assert down["psnr_db"] == last["measures"]["psnr_db"] and start["psnr_db"] > up["psnr_db"] and "iou" not in up


def test_revert_goes_to_any_snapshot_of_the_stage_and_the_scene_follows(desk):
    names = [facts(desk.run(move(z)))["snapshot"] for z in (0.5, 1.0)]
    assert names == ["s1", "s2"]
    for to, z in (("s1", 0.5), ("s2", 1.0), ("previous", 0.5), ("start", 0.0), ("s0", 0.0)):
        outcome = desk.use("revert", to=to)
        assert outcome.head == desk.bench.head.id
        assert what(desk, subject="object", name="Cube")["location"][2] == z, to


def test_a_name_of_no_snapshot_is_answered_with_those_of_the_stage(desk):
    desk.run(move(0.5))
    for to in ("s2", "s-1", "geometry", ""):
        outcome = desk.use("revert", to=to)
        assert outcome.is_error and "it has s0, s1" in facts(outcome)["error"]
        assert "earlier stages are out of reach" in facts(outcome)["error"]


def test_names_and_figures_survive_a_resume(desk):
    """A resumed run follows the recorded outcomes, and has the same snapshots by the same names."""
    bench = desk.bench
    outcomes = [desk.run(move(z)) for z in (0.5, 1.0)] + [desk.use("revert", to="s1")]
    before = facts(desk.use("snapshots"))
    with Workbench(bench.run, bench.graph, bench.start) as resumed:
        resumed.begin(GEOMETRY)
        for outcome in outcomes:
            resumed.follow(outcome)
        assert facts(Desk(resumed).use("snapshots")) == before
        assert resumed._session is None, "listing needs no Blender"


# ── without hints ─────────────────────────────────────────────────────────────────────────────────────────────────────
MEASURED = {"measures", "objects", "not_seen", "psnr_db", "ssim"}


@pytest.fixture
def bare(desk):
    """The same with `hints` off."""
    run = desk.bench.run
    plain_run = type(run)(**{**vars(run), "config": run.config.model_copy(update={"hints": False})})
    with Workbench(plain_run, desk.bench.graph, desk.bench.start) as bench:
        bench.begin(GEOMETRY)
        yield Desk(bench)


def test_without_hints_no_tool_tells_a_measure_and_those_that_measure_are_not_offered(bare):
    assert not {"measure", "fit"} & set(bare.toolbox.names()) and "compare" in bare.toolbox.names()
    calls = [
        ("run_code", {"purpose": "up", "code": move(0.5)}),
        ("compare", {}),
        ("compare", {"region": [0, 0, 0.5, 0.5]}),
        ("snapshots", {}),
    ]
    for name, given in calls:
        outcome = bare.use(name, **given)
        assert not outcome.is_error and not any(f'"{word}"' in outcome.content[0].text for word in MEASURED), name
        assert bool(pictures(outcome)) == (name != "snapshots")
    assert bare.use("inspect", subject="contacts").is_error
    assert bare.use("measure").is_error


def test_a_picture_holds_pixels_and_nothing_that_blender_says_of_the_machine(still):
    (picture,) = pictures(still.use("look"))
    assert picture.size == (384, 384) and not picture.info
