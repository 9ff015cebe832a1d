"""A render shows what its view says, from temporary state, the same pixels each time; an object-id picture is exact."""

import io
import sys

import numpy as np
import pytest
from needs import absent
from PIL import Image

from protocol import errors
from protocol.models import (
    ExecuteRequest,
    OrbitView,
    PositionView,
    PresetView,
    RenderRequest,
    RestoreRequest,
)
from tests.blender_server.scenes import SMALL
from tests.blender_server.servers import Server

pytestmark = pytest.mark.blender


def picture(server, **fields):
    """The reply and the pixels as an RGBA array."""
    request = RenderRequest(**{"width_px": 64, "height_px": 64, "samples": 1, **fields})
    reply, payloads = server.client.call(request, 60)
    assert len(payloads) == 1
    with Image.open(io.BytesIO(payloads[0])) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (reply.width_px, reply.height_px))
        return reply, np.array(image)


def ids(server, **fields):
    """Name → the mask of its pixels, from an object-id picture; "" is nothing."""
    reply, pixels = picture(server, picture="object_id", **fields)
    numbers = pixels[..., 0] + 256 * pixels[..., 1].astype(int) + 65536 * pixels[..., 2].astype(int)
    assert set(np.unique(pixels[..., 3])) <= {0, 255}
    assert np.array_equal(numbers == 0, pixels[..., 3] == 0)
    assert numbers.max() <= len(reply.objects)
    return {name: numbers == number for number, name in enumerate(("", *reply.objects)) if (numbers == number).any()}


def middle(mask):
    """Of a mask, as fractions across and down."""
    rows, columns = np.nonzero(mask)
    return (columns.mean() + 0.5) / mask.shape[1], (rows.mean() + 0.5) / mask.shape[0]


@pytest.fixture(scope="session")
def small_file(shared):
    shared.fresh()
    shared.edit(SMALL)
    (shared.folder / "edit.blend").rename(shared.folder / "small.blend")
    return "small.blend"


@pytest.fixture
def small(shared, small_file):
    shared.fresh(small_file)
    return shared


def test_the_same_scene_gives_the_same_pixels_again_after_reopening_and_in_another_process(small, another):
    first = picture(small, samples=4)[1]
    picture(small, view=OrbitView(azimuth_deg=90))
    assert np.array_equal(first, picture(small, samples=4)[1])
    small.reload()
    assert np.array_equal(first, picture(small, samples=4)[1])
    (another.folder / "x.blend").write_bytes((small.folder / "small.blend").read_bytes())
    another.fresh("x.blend")
    assert np.array_equal(first, picture(another, samples=4)[1])


def test_a_region_has_the_pixels_of_the_whole_and_nothing_around_it(small):
    whole = picture(small, width_px=80, height_px=40)[1]
    part = picture(small, width_px=80, height_px=40, region=(0.25, 0.125, 0.75, 0.5))[1]
    assert np.array_equal(part[5:20, 20:60], whole[5:20, 20:60])
    part[5:20, 20:60] = 0
    assert not part.any()
    assert np.array_equal(picture(small, width_px=80, height_px=40)[1], whole)


@pytest.mark.parametrize(
    "change",
    [
        'bpy.data.objects["Cup"].location.x = 0.5',
        'bpy.data.meshes["Cup"].vertices[0].co.x -= 1',
        'bpy.data.materials["Red"].node_tree.nodes["Principled BSDF"].inputs[0].default_value = (0, 1, 0, 1)',
        'bpy.data.lights["Lamp"].energy = 100',
        'bpy.data.objects["Lamp"].location = (-3, -3, 5)',
        'bpy.data.worlds["World"].node_tree.nodes["Background"].inputs["Strength"].default_value = 0.2',
        'bpy.data.cameras["Camera"].lens = 35',
        'bpy.context.scene.view_settings.exposure = 1',
        'bpy.data.objects["Cup"].hide_render = True',
        'bpy.data.objects["Table"].modifiers.new("Soft", "SUBSURF").render_levels = 2',
        'bpy.data.objects["Table"].material_slots[0].material = bpy.data.materials["Blue"]',
    ],
)  # fmt: skip
def test_kept_render_data_never_shows_an_older_scene(small, change):
    before = picture(small, samples=4)[1]
    small.call(ExecuteRequest(source=change))
    live = picture(small, samples=4)[1]
    small.reload()
    assert np.array_equal(live, picture(small, samples=4)[1])
    assert not np.array_equal(live, before)


def test_a_transparent_film_is_clear_where_only_the_world_is(small):
    small.call(ExecuteRequest(source='bpy.data.objects.remove(bpy.data.objects["Ground"])'))
    clear, opaque = picture(small, transparent=True)[1], picture(small)[1]
    assert clear[0, 0, 3] == 0 and opaque[0, 0, 3] == 255
    assert (clear[..., 3] == 255).sum() > 100


def test_size_is_what_was_asked(small):
    assert picture(small, width_px=50, height_px=20)[1].shape == (20, 50, 4)


# ── scene-linear light ────────────────────────────────────────────────────────────────────────────────────────────────
def light(server, **fields):
    """Float RGBA, top row first."""
    request = RenderRequest(width_px=48, height_px=32, picture="linear", **fields)
    _, payloads = server.client.call(request, 60)
    assert len(payloads[0]) == 48 * 32 * 16
    return np.frombuffer(payloads[0], "<f4").reshape(32, 48, 4)[::-1]


def test_linear_light_is_what_the_picture_shows_before_its_view_transform(small):
    small.call(ExecuteRequest(source='bpy.context.scene.view_settings.view_transform = "Standard"'))
    linear, shown = light(small, samples=4), picture(small, samples=4, width_px=48, height_px=32)[1]
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    assert np.abs(srgb.clip(0, 1)[..., :3] * 255 - shown[..., :3]).max() <= 1.5


def test_linear_light_knows_no_exposure_adds_up_and_goes_beyond_white(small):
    lamp = 'bpy.data.lights["Lamp"].energy = {}\nbpy.context.scene.view_settings.exposure = {}'
    pictures = []
    for energy, exposure in ((0, 0), (1500, 0), (3000, -3)):
        small.call(ExecuteRequest(source=lamp.format(energy, exposure)))
        pictures.append(light(small, samples=2))
    dark, one, two = pictures
    assert one.max() > 2
    assert np.quantile(np.abs((two - dark) - 2 * (one - dark)), 0.98) < 0.03


def test_a_linear_picture_leaves_the_scene_as_it_was(small):
    before, settings = small.fingerprint(), small.evaluate(FORMAT)
    light(small, samples=1)
    assert small.fingerprint() == before and small.evaluate(FORMAT) == settings
    assert picture(small)[0].width_px == 64


FORMAT = "[(s.file_format, s.color_mode, s.color_depth) for s in [bpy.context.scene.render.image_settings]]"


# ── what a picture is made with ───────────────────────────────────────────────────────────────────────────────────────
CARD_THAT_FAILS = """
from blender_server import compat, rendering

def fail(*_):
    rendering._render = render
    raise rendering.RenderFailed("unsupported", "CUDA error: out of memory")

render, rendering._render = rendering._render, fail
compat.turn_on_gpus = lambda kind: ("CUDA", ["Some card"])
"""
"""A graphics card stands in for those that are not here."""


@pytest.fixture(scope="session")
def workbench_server(kind):
    if not kind.facts.workbench:
        absent("Workbench cannot render without a screen here")
    server = Server(kind, more=["--engines", "cycles,workbench"])
    yield server
    server.close()


@pytest.fixture
def plain(workbench_server):
    """The small scene in a Blender that may render with Workbench."""
    workbench_server.fresh()
    workbench_server.edit(SMALL)
    return workbench_server


@pytest.fixture
def wanting(kind, small):
    """Starts a Blender that is to render with graphics cards, with the small scene in it."""
    started = []

    def start(gpu):
        server = Server(kind, more=["--gpu", gpu])
        started.append(server)
        (server.folder / "small.blend").write_bytes((small.folder / "small.blend").read_bytes())
        server.fresh("small.blend")
        return server

    yield start
    for server in started:
        server.close()


def test_a_picture_says_how_it_was_made(small, kind):
    denoiser = kind.facts.denoiser
    made = picture(small, samples=8)[0].made
    assert (made.engine, made.samples, made.device, made.denoised) == ("cycles", 8, "CPU", denoiser)
    assert made.notes == (() if denoiser else ("This Blender has no denoiser, so pictures keep their grain.",))
    assert made.told() == "Cycles, 8 samples, CPU" + ("" if denoiser else ", not denoised")
    for few in ({"samples": 2}, {"samples": 8, "picture": "object_id"}):
        made = picture(small, **few)[0].made
        assert (made.samples < 3, made.denoised, made.notes) == (True, False, ())


def test_cycles_takes_the_place_of_an_engine_that_would_need_a_screen_and_says_so(small):
    """That server was told of none but Cycles."""
    assert small.hello.engines == ("cycles",)
    expected = picture(small, samples=2)[1]
    for engine, name in (("workbench", "Workbench"), ("eevee", "EEVEE")):
        reply, pixels = picture(small, samples=2, engine=engine)
        says = f"This Blender cannot render with {name} without a screen here, so Cycles made the picture."
        assert (reply.made.engine, reply.made.notes) == ("cycles", (says,))
        assert np.array_equal(pixels, expected)


def test_the_processor_takes_the_place_of_a_graphics_card_that_is_not_there_and_says_so(small, wanting):
    kind = "METAL" if sys.platform == "linux" else "HIP"
    reply, pixels = picture(wanting(kind))
    assert reply.made.device == "CPU"
    assert reply.made.notes == (f"Cycles finds no graphics card to use by {kind} here, so the processor rendered.",)
    assert np.array_equal(pixels, picture(small)[1])


def test_the_processor_takes_over_for_good_where_a_graphics_card_fails_over_a_picture(small, wanting):
    server, expected = wanting("any"), picture(small)[1]
    server.call(ExecuteRequest(source=CARD_THAT_FAILS))
    for _ in range(2):
        reply, pixels = picture(server)
        says = "CUDA: Some card failed, so the processor rendered: CUDA error: out of memory"
        assert (reply.made.device, reply.made.notes) == ("CPU", (says,))
        assert np.array_equal(pixels, expected)


PAINTED = """
for name in ("Table", "Cup", "Ground"):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    base = nodes["Principled BSDF"].inputs["Base Color"]
    if name == "Table":
        base.default_value = (0.8, 0.02, 0.02, 1)
    elif name == "Cup":
        color = nodes.new("ShaderNodeRGB")
        color.outputs[0].default_value = (0.02, 0.02, 0.8, 1)
        links.new(color.outputs[0], base)
    else:
        texture = nodes.new("ShaderNodeTexImage")
        texture.image = bpy.data.images.new("Green", 4, 4)
        texture.image.pixels[:] = (0.1, 0.9, 0.1, 1) * 16
        links.new(texture.outputs["Color"], base)
    bpy.data.objects[name].data.materials.clear()
    bpy.data.objects[name].data.materials.append(material)
"""
"""Red by a colour, blue by a node, green by an image."""


def test_workbench_shows_the_colours_of_materials_whatever_light_there_is(plain):
    plain.call(ExecuteRequest(source=PAINTED))
    reply, pixels = picture(plain, engine="workbench")
    assert (reply.made.told(), reply.made.notes) == ("Workbench", ())
    seen = ids(plain)
    for name, channel in (("Table", 0), ("Ground", 1), ("Cup", 2)):
        color = pixels[seen[name]].mean(axis=0)[:3]
        assert color.argmax() == channel and color.max() > 1.5 * np.median(color), (name, color)
    dark = 'bpy.data.objects.remove(bpy.data.objects["Lamp"]); bpy.context.scene.view_settings.exposure = -5'
    plain.call(ExecuteRequest(source=dark))
    assert np.array_equal(pixels, picture(plain, engine="workbench")[1])


def test_workbench_shows_a_meshs_own_colours(plain):
    plain.call(ExecuteRequest(source=PAINTED_BY_ATTRIBUTE))
    pixels = picture(plain, engine="workbench")[1]
    color = pixels[ids(plain)["Table"]].mean(axis=0)[:3]
    assert color.argmax() == 2 and color.max() > 1.5 * np.median(color)


PAINTED_BY_ATTRIBUTE = """
mesh = bpy.data.objects["Table"].data
layer = mesh.vertex_colors.new(name="paint")
for each in layer.data:
    each.color = (0.05, 0.05, 0.9, 1)
tree = mesh.materials[0].node_tree
source = tree.nodes.new("ShaderNodeVertexColor")
source.layer_name = "paint"
tree.links.new(source.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
"""


def test_workbench_leaves_the_scene_as_it_was_and_is_clear_where_nothing_is(plain):
    plain.call(ExecuteRequest(source='bpy.data.objects.remove(bpy.data.objects["Ground"])'))
    before, colors = plain.fingerprint(), plain.evaluate(COLORS)
    pixels = picture(plain, engine="workbench", transparent=True)[1]
    assert pixels[0, 0, 3] == 0 and (pixels[..., 3] > 250).sum() > 100  # 4.5 rounds down
    assert (plain.fingerprint(), plain.evaluate(COLORS)) == (before, colors)


COLORS = "[tuple(m.diffuse_color) for m in bpy.data.materials], bpy.context.scene.display.shading.color_type"


def test_what_workbench_cannot_show_is_refused(plain):
    assert "made by Cycles alone" in refusal(plain, engine="workbench", picture="object_id").message


# ── object ids ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_pixel_of_an_id_picture_is_an_object_or_nothing(small):
    small.call(
        ExecuteRequest(
            source="""
bpy.context.scene.view_settings.exposure = 2
bpy.context.scene.view_settings.gamma = 0.5
bpy.context.scene.cycles.film_exposure = 3
bpy.data.cameras["Camera"].dof.use_dof = True
glass = bpy.data.materials["Blue"].node_tree
glass.nodes["Principled BSDF"].inputs["Alpha"].default_value = 0.3
"""
        )
    )
    found = ids(small, width_px=128, height_px=128)
    assert set(found) == {"", "Cup", "Ground", "Table"}


def test_a_visible_light_is_no_object(small):
    small.call(
        ExecuteRequest(
            source="""
lamp = bpy.data.objects["Lamp"]
lamp.matrix_world = bpy.data.objects["Camera"].matrix_world
lamp.location += lamp.matrix_world.to_3x3() @ __import__("mathutils").Vector((0, 0, -2))
lamp.rotation_euler.x += 3.14159
lamp.data.size = 50
"""
        )
    )
    assert set(ids(small)) == {"", "Cup", "Ground", "Table"}


def test_ids_above_one_byte_are_exact(server):
    server.edit("""
for index in range(400):
    mesh = bpy.data.meshes.new("Tile")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
    tile = bpy.data.objects.new("Tile {:03d}".format(index), mesh)
    tile.location = (index % 20, index // 20, 0)
    bpy.context.scene.collection.objects.link(tile)
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.data.type, camera.data.ortho_scale, camera.location = "ORTHO", 20, (10, 10, 5)
bpy.context.scene.collection.objects.link(camera)
bpy.context.scene.camera = camera
""")
    found = ids(server, width_px=100, height_px=100)
    assert len(found) == 400 and all(mask.sum() == 25 for mask in found.values())
    for index in (0, 255, 256, 399):
        across, down = middle(found[f"Tile {index:03d}"])
        assert (across, down) == pytest.approx(((index % 20 + 0.5) / 20, 1 - (index // 20 + 0.5) / 20), abs=1e-6)


def test_an_id_picture_shows_what_the_colour_picture_shows(small):
    small.call(
        ExecuteRequest(
            source="""
for name, color in (("Red", (1, 0, 0, 1)), ("Blue", (0, 0, 1, 1))):
    node = bpy.data.materials[name].node_tree.nodes["Principled BSDF"]
    node.inputs["Base Color"].default_value = color
"""
        )
    )
    found, colors = ids(small), picture(small, samples=16)[1].astype(int)
    inside = found["Cup"] & np.roll(found["Cup"], 2, 0) & np.roll(found["Cup"], -2, 0) & np.roll(found["Cup"], 2, 1)
    assert inside.sum() > 5
    assert (colors[inside][:, 2] > colors[inside][:, 0]).all()


# ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_orbit_that_turns_nothing_is_the_target_view(small):
    assert np.array_equal(picture(small)[1], picture(small, view=OrbitView())[1])


def test_a_positive_azimuth_turns_the_camera_counter_clockwise(small):
    """Then what stands to the east of the pivot, behind it at first, comes to the picture's right side, nearer."""
    small.call(
        ExecuteRequest(
            source="""
camera = bpy.data.objects["Camera"]
camera.location, camera.rotation_euler = (0, -8, 1), (1.5708, 0, 0)
bpy.data.objects["Cup"].parent = None
bpy.data.objects["Cup"].location = (0, 3, 1)
"""
        )
    )
    across, _ = middle(ids(small, view=OrbitView(azimuth_deg=45, focus="Table"))["Cup"])
    assert across > 0.55
    across, _ = middle(ids(small, view=OrbitView(azimuth_deg=-45, focus="Table"))["Cup"])
    assert across < 0.45


def test_a_focus_is_looked_at(small):
    for azimuth in (0, 120, 240):
        found = ids(small, view=OrbitView(azimuth_deg=azimuth, elevation_deg=10, focus="Cup", distance=0.5))
        assert middle(found["Cup"]) == pytest.approx((0.5, 0.5), abs=0.06)


def test_elevation_stops_short_of_the_pole(small):
    steep = ids(small, view=OrbitView(elevation_deg=85, focus="Table"))
    over = ids(small, view=OrbitView(elevation_deg=500, focus="Table"))
    assert middle(steep["Cup"]) == pytest.approx(middle(over["Cup"]), abs=0.1)


def test_half_the_distance_shows_twice_the_size(small):
    far, near = (
        ids(small, view=OrbitView(distance=distance, focus="Table"), width_px=128, height_px=128) for distance in (2, 1)
    )
    ratio = (near["Table"] | near["Cup"]).sum() / (far["Table"] | far["Cup"]).sum()
    assert 3.3 < ratio < 5


def test_a_position_looks_where_it_is_told(small):
    found = ids(small, view=PositionView(location=(5, 0.3, 1.75), look_at=(0, 0, 1.75), lens_mm=70))
    assert middle(found["Cup"]) == pytest.approx((0.5, 0.5), abs=0.05)
    found = ids(small, view=PositionView(location=(0, 0, 6), look_at=(0, 0, 0)))
    assert middle(found["Cup"]) == pytest.approx((0.5, 0.5), abs=0.05)


@pytest.mark.parametrize("side", ["front", "back", "left", "right", "top", "bottom", "three_quarter"])
@pytest.mark.parametrize("size", [(64, 64), (96, 32), (32, 96)])
def test_a_preset_frames_the_whole_of_its_focus(small, side, size):
    small.call(ExecuteRequest(source='bpy.data.objects.remove(bpy.data.objects["Ground"])'))
    found = ids(small, view=PresetView(side=side, focus="Table"), width_px=size[0], height_px=size[1])
    seen = np.logical_or.reduce([mask for name, mask in found.items() if name])
    assert not (seen[0].any() or seen[-1].any() or seen[:, 0].any() or seen[:, -1].any())
    assert seen.any(axis=0).mean() > 0.5 or seen.any(axis=1).mean() > 0.5


def test_sides_are_where_blender_has_them(small):
    small.call(
        ExecuteRequest(
            source="""
bpy.data.objects["Cup"].parent = None
bpy.data.objects["Cup"].location = (2, 0, 0.5)
"""
        )
    )
    right_of_table = {"front": 1, "back": -1}
    for side, sign in right_of_table.items():
        found = ids(small, view=PresetView(side=side))
        assert np.sign(middle(found["Cup"])[0] - middle(found["Table"])[0]) == sign
    assert "Table" not in ids(small, view=PositionView(location=(9, 0, 0.5), look_at=(0, 0, 0.5)), isolate=("Cup",))


def test_a_ground_does_not_push_the_scene_into_the_distance(small):
    small.call(ExecuteRequest(source='bpy.data.objects["Ground"].scale = (100, 100, 100)'))
    found = ids(small, view=PresetView(side="front"))
    assert (found["Table"] | found["Cup"]).mean() > 0.15


def test_isolated_objects_come_with_their_children_and_nothing_else(small):
    assert set(ids(small, isolate=("Table",))) == {"", "Cup", "Table"}
    assert set(ids(small, isolate=("Cup",))) == {"", "Cup"}


def test_an_isolated_object_is_seen_though_hidden(small):
    small.call(ExecuteRequest(source='bpy.data.objects["Cup"].hide_render = True'))
    assert "Cup" not in ids(small)
    assert "Cup" in ids(small, isolate=("Cup",))


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def refusal(server, **fields):
    with pytest.raises(errors.RequestFailed) as caught:
        picture(server, **fields)
    return caught.value


def test_what_is_not_there_is_named(small):
    assert "'Nobody'" in refusal(small, isolate=("Nobody",)).message
    assert "'Nobody'" in refusal(small, view=OrbitView(focus="Nobody")).message
    small.call(RestoreRequest())
    assert refusal(small).code == errors.NOT_FOUND


def test_a_refused_render_leaves_no_trace(small):
    before = small.fingerprint()
    refusal(small, isolate=("Table", "Nobody"), picture="object_id")
    refusal(small, view=PositionView(location=(1, 1, 1), look_at=(1, 1, 1)))
    assert small.fingerprint() == before
