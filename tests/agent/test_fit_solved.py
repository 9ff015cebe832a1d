"""What the fit tool solves without a search: lights whose colours real light has, and cameras from points."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from agent.tools.fitting.facts import ObjectFacts, SceneFacts
from agent.tools.fitting.hues import COOL, WARM, is_plausible
from agent.tools.fitting.light import solve
from agent.tools.fitting.points import camera_of_points
from agent.tools.fitting.trial import Unfit

ANY = np.random.default_rng(5)
LIGHTS = [ANY.uniform(0.05, 0.5, (12, 16, 4)) for _ in range(2)]
"""What two white lights do to a picture."""


def lit(*strengths):
    return sum(part[..., :3] * strength for part, strength in zip(LIGHTS, strengths, strict=True))


def solved(wanted, *now):
    rest, chosen = np.zeros((12, 16, 4)), np.ones((12, 16, 3), bool)
    return solve(LIGHTS, rest, now, wanted, chosen)


# ── lights ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("color", [(1, 1, 1), (1, 0.7, 0.4), (0.5, 0.7, 1), (1, 0.85, 1), (0, 0, 0), (3,)])
def test_colours_of_bulbs_daylight_and_sky_are_plausible(color):
    assert is_plausible(color)


@pytest.mark.parametrize("color", [(0.76, 1, 0.85), (1, 0.28, 0.9), (1, 0.28, 0.11), (0.2, 0.9, 1)])
def test_green_magenta_and_saturated_colours_are_not(color):
    assert not is_plausible(color)


def test_sums_of_the_rays_are_plausible():
    for parts in ANY.uniform(0, 1, (200, 6)) ** 4:
        assert is_plausible(parts @ WARM) and is_plausible(parts @ COOL)


def test_lights_of_plausible_colours_are_found_as_they_were():
    key, fill = (1.0, 0.8, 0.5), (0.3, 0.35, 0.4)
    found = solved(lit(key, fill), (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
    assert found[0] == pytest.approx(key, rel=0.03) and found[1] == pytest.approx(fill, rel=0.03)


def test_a_green_picture_makes_no_green_light():
    wanted = lit((0.4, 1.0, 0.5), (0.9, 0.2, 0.8))
    found = solved(wanted, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert all(is_plausible(one) for one in found)
    unlit = np.sum((lit((0.5,) * 3, (0.5,) * 3) - wanted) ** 2)
    assert np.sum((lit(*found) - wanted) ** 2) < unlit


def test_a_coloured_lamp_may_stay_as_saturated_as_it_is_but_not_become_more_so():
    lamp, sky = (0.02, 0.9, 0.1), (0.3, 0.35, 0.4)
    kept = solved(lit(lamp, sky), (0.004, 0.18, 0.02), sky)
    assert kept[0] == pytest.approx(lamp, rel=0.05, abs=0.02)
    paler = solved(lit(lamp, sky), (0.2, 0.5, 0.2), sky)[0]
    assert max(paler) / min(paler) <= 2.5 + 1e-6


# ── cameras from points ───────────────────────────────────────────────────────────────────────────────────────────────
SIZE = (512, 384)
THINGS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0, 1)] + [(1.5, 1.2, 0.4)])


def scene(location=(3.2, -6, 3), angles=(70, 0, 26), lens=50.0, shift=(0.0, 0.0), size=SIZE, kind="PERSP"):
    """A camera as it is inspected, and its object."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), location
    aspect, longer = size[0] / size[1], 36 / lens
    spans = np.array((longer, longer / aspect) if aspect >= 1 else (longer * aspect, longer))
    fov = np.degrees(2 * np.arctan(spans / 2 + np.multiply(shift, longer)))
    camera = {
        "name": "Camera", "type": kind, "lens_mm": lens, "ortho_scale": 5, "sensor_fit": "AUTO",
        "fov_deg": fov.tolist(), "shift": shift, "aspect": aspect, "matrix_world": matrix.tolist(),
    }  # fmt: skip
    view = {"view_transform": "Standard", "exposure": 0, "gamma": 1}
    facts = {"name": "Camera", "type": "CAMERA", "data": "Camera", "matrix_world": matrix.tolist()}
    return (
        SceneFacts.model_validate({"objects": [], "camera": camera, "lights": [], "view": view}),
        ObjectFacts.model_validate(facts),
    )


def seen(points, location=(3.2, -6, 3), angles=(70, 0, 26), lens=50.0, shift=(0.0, 0.0), size=SIZE, noise_px=0.0):
    """Where a camera shows points, as fractions of the picture."""
    before = (points - location) @ Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    pixels = before[:, :2] / -before[:, 2:] * lens / 36 - shift
    pixels = pixels * (1, -1) * max(size) + np.array(size) / 2
    return (pixels + ANY.normal(0, noise_px, pixels.shape) if noise_px else pixels) / size


OFF = {"location": (1.5, -7, 2), "angles": (75, 3, 8), "lens": 35.0}


@pytest.mark.parametrize("more", [{}, {"shift": (0.1, -0.06)}, {"size": (300, 480)}])
def test_a_camera_far_off_is_solved_with_its_lens(more):
    size = more.get("size", SIZE)
    found = camera_of_points(*scene(**OFF, **more), size, seen(THINGS, **more), THINGS)
    assert found.told["location"][1] == pytest.approx([3.2, -6, 3], abs=0.03)
    assert found.told["lens_mm"] == [35, pytest.approx(50, rel=0.003)]
    assert found.before_px > 20 and found.after_px < 0.05


def test_points_read_off_to_a_pixel_tell_the_camera_and_which_of_them_is_wrong():
    picture = seen(THINGS, noise_px=0.5)
    found = camera_of_points(*scene(**OFF), SIZE, picture, THINGS)
    assert found.told["location"][1] == pytest.approx([3.2, -6, 3], abs=0.3) and found.after_px < 1
    picture[4] += 0.1
    off = camera_of_points(*scene(**OFF), SIZE, picture, THINGS).told["off_px"]
    assert np.argmax(off) == 4 and off[4] > 10


def test_a_camera_on_the_other_side_of_the_things_finds_over():
    behind = {"location": (-3, 6, 2.5), "angles": (75, 0, 210)}
    found = camera_of_points(*scene(**behind), SIZE, seen(THINGS), THINGS)
    assert found.after_px < 0.05


def test_three_points_leave_the_lens_as_it_is():
    near = {"location": (3.4, -5.8, 3.1), "angles": (69, 1, 28)}
    found = camera_of_points(*scene(**near), SIZE, seen(THINGS[[0, 3, 8]]), THINGS[[0, 3, 8]])
    assert found.told["location"][1] == pytest.approx([3.2, -6, 3], abs=0.02) and found.told["lens_mm"] == [50, 50]


def test_a_lens_that_points_hardly_tell_stays_near_where_it_was():
    ahead, wall = {"location": (0, -8, 1), "angles": (90, 0, 0)}, THINGS[:8] * (1, 0, 1)
    picture = seen(wall, **ahead, noise_px=0.2)
    found = camera_of_points(*scene((0.3, -9, 1.2), (88, 0, 1), 60.0), SIZE, picture, wall)
    assert found.told["lens_mm"][1] == pytest.approx(60, rel=0.1) and found.after_px < 0.5


@pytest.mark.parametrize(
    ("kind", "points", "reason"),
    [("PERSP", THINGS[:1] * [[1], [2], [3]], "on one line"), ("ORTHO", THINGS, "perspective")],
)
def test_what_tells_no_camera_is_refused(kind, points, reason):
    with pytest.raises(Unfit, match=reason):
        camera_of_points(*scene(kind=kind), SIZE, np.full((len(points), 2), 0.5), points)
