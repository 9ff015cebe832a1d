"""A shape is moved onto a reference, and bent onto it; what that says of the shape, and what it hides."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from agent.evaluation.geometry.chamfer import nearness
from agent.evaluation.geometry.icp import align
from agent.evaluation.geometry.mesh import TriangleMesh, surface_of
from agent.evaluation.geometry.ndp import bend
from agent.evaluation.geometry.registration import FACTS, Registration, register
from agent.evaluation.score import Unavailable
from agent.evaluation.similarity import applied
from tests.evaluation.shapes import chair, mesh, plane, plate, similarity, stretched_and_bent
from tests.fakes.needs import lacking

FLOOR = 0.0134
"""Chamfer of two samplings of the chair."""
STATES = ("before", "icp", "ndp")


@pytest.fixture(autouse=True)
def extra():
    for package in ("trimesh", "torch"):
        if find_spec(package) is None:
            lacking(f"{package}, of the extra 'evaluation'")


def chamfer(source, target):
    return nearness(surface_of(source), surface_of(target), seed=0).chamfer


def aligned(source, target):
    return source.moved(align(surface_of(source), surface_of(target), seed=0))


def bent(source, target):
    return source.with_vertices(bend(surface_of(source), surface_of(target), seed=0)(source.vertices))


def without(shape, name):
    """The same shape, one of its objects gone."""
    vertices = shape.vertices.copy()
    vertices[np.isin(shape.vertices, shape.vertices_of(name)).all(axis=1)] = np.nan
    return shape.with_vertices(vertices)


# ── ICP ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("yaw_deg", [15, 60, 111, 180, 290])
def test_a_turn_a_shift_and_a_scale_are_found(yaw_deg):
    change = similarity(yaw_deg, scale=1.15, shift=(3, -2, 0.5))
    found = align(surface_of(chair().moved(change)), surface_of(chair()), seed=0)
    assert applied(found, applied(change, chair().vertices)) == pytest.approx(chair().vertices, abs=0.005)


def test_what_is_a_millimetre_high_and_far_away_is_found_too():
    far = chair().moved(similarity(200, scale=0.001, shift=(1e4, -1e4, 10)))
    assert chamfer(aligned(far, chair()), chair()) < FLOOR + 0.001


def test_a_similarity_is_found_never_a_mirror_image_nor_a_stretch():
    mirrored = chair().with_vertices(chair().vertices * (-1, 1, 1))
    matrix = align(surface_of(mirrored), surface_of(chair()), seed=0)[:3, :3]
    scale = np.cbrt(np.linalg.det(matrix))
    assert scale > 0
    assert matrix @ matrix.T == pytest.approx(scale**2 * np.eye(3), abs=1e-9)
    assert chamfer(aligned(mirrored, chair()), chair()) > FLOOR + 0.005


def test_what_fits_already_is_left_where_it_is():
    assert align(surface_of(chair()), surface_of(chair()), seed=0) == pytest.approx(np.eye(4), abs=0.005)


def test_a_part_that_is_missing_still_finds_its_place():
    part = without(chair(), "cushion").moved(similarity(75, scale=2, shift=(1, 1, 1)))
    assert chamfer(aligned(part, chair()), chair()) == pytest.approx(
        chamfer(without(chair(), "cushion"), chair()), abs=0.004
    )


def test_a_shape_of_one_triangle_comes_to_an_end():
    sliver = mesh(sliver=([(0, 0, 0), (1e-6, 0, 0), (0, 50, 0)], [(0, 1, 2)]))
    for source, target in ((sliver, chair()), (chair(), sliver)):
        assert np.isfinite(align(surface_of(source), surface_of(target), seed=0)).all()


# ── NDP ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_ndp_undoes_a_stretch_and_a_bend_that_icp_cannot():
    changed = stretched_and_bent(chair())
    assert chamfer(aligned(changed, chair()), chair()) > 2 * FLOOR
    assert chamfer(bent(changed, chair()), chair()) < FLOOR + 0.002


def test_ndp_finds_a_small_turn_a_shift_and_a_scale_by_itself():
    changed = chair().moved(similarity(15, scale=1.15, shift=(0.1, -0.05, 0.02)))
    assert chamfer(changed, chair()) > 0.05
    assert chamfer(bent(changed, chair()), chair()) < FLOOR + 0.002


def test_the_same_seed_bends_alike_to_the_last_bit_whatever_torch_did_before():
    import torch

    from agent.evaluation.geometry.pyramid import fit

    shape, points = surface_of(plate()), plate().vertices
    source, target = shape.sample(150, seed=0), applied(similarity(20), shape.sample(150, seed=1))
    first = fit(source, target, 0.4, seed=1).warp(points)
    torch.manual_seed(99)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    assert np.array_equal(fit(source, target, 0.4, seed=1).warp(points), first)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not np.array_equal(fit(source, target, 0.4, seed=2).warp(points), first)


def test_points_without_a_place_are_bent_nowhere_and_do_not_touch_the_others():
    from agent.evaluation.geometry.pyramid import fit

    shape = surface_of(plate())
    pyramid = fit(shape.sample(100, seed=0), shape.sample(100, seed=1), 0.4, seed=0)
    points = plate().vertices
    warped = pyramid.warp(np.concatenate((points, [(np.nan, 0, 0), (1e300, 0, 0)])))
    assert warped[:-2] == pytest.approx(pyramid.warp(points), abs=1e-6)
    assert np.isnan(warped[-2:]).all()


# ── the whole ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_turn_of_60_degrees_is_found_and_the_figures_say_so():
    turned = chair().moved(similarity(60))
    result = register(turned, chair())
    figures = result.registration
    assert figures.chamfer_before > 0.08
    assert figures.chamfer_icp < FLOOR + 0.001
    assert figures.chamfer_ndp < FLOOR + 0.001
    assert figures.fscore_before < 0.6 < 0.99 < figures.fscore_icp
    assert figures.chamfer_floor == pytest.approx(FLOOR, abs=0.0005)
    assert applied(figures.icp_matrix, turned.vertices) == pytest.approx(chair().vertices, abs=0.005)
    assert result.icp.vertices_of("arm") == pytest.approx(chair().vertices_of("arm"), abs=0.005)
    assert result.ndp.parts == turned.parts
    assert Registration.model_validate_json(figures.model_dump_json()) == figures


def test_ndp_hides_a_wrong_shape_that_icp_shows():
    """An aeroplane for a plate: half of it lies off the plate after ICP, and NDP pulls it there."""
    result = register(plane(), plate())
    figures = result.registration
    assert figures.chamfer_before > 0.5
    assert figures.chamfer_icp > 5 * figures.chamfer_floor
    assert figures.chamfer_ndp < 0.6 * figures.chamfer_icp
    assert (figures.fscore_icp < 0.45, figures.fscore_ndp > 0.55) == (True, True)
    assert figures.kept == "ndp"
    assert result.kept is result.ndp
    scores = {score.metric: score.value for score in figures.scores()}
    assert scores["chamfer_kept"] == scores["chamfer_ndp"] == figures.chamfer_ndp
    assert scores["fscore_icp"] == figures.fscore_icp


def test_without_torch_the_figures_of_icp_stand_and_those_of_ndp_say_what_is_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, "agent.evaluation.geometry.pyramid", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)  # how Python says that it is not there
    result = register(chair().moved(similarity(60)), chair())
    figures = result.registration
    assert figures.chamfer_icp < FLOOR + 0.001
    assert (figures.chamfer_ndp, figures.fscore_ndp, figures.kept, result.ndp, result.kept) == (None,) * 5
    missing = {score.metric: score.reason for score in figures.scores() if score.value is None}
    assert missing.keys() == {"chamfer_ndp", "chamfer_kept", "fscore_ndp", "fscore_kept"}
    assert set(missing.values()) == {"needs torch, which is not installed: pip install 'seig[evaluation]'"}


def test_without_trimesh_no_figure_is_made_up(monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(Unavailable, match="needs trimesh, which is not installed"):
        register(chair(), chair())


def test_which_of_the_two_has_no_surface_is_said():
    nothing = TriangleMesh.joined(())
    with pytest.raises(Unavailable, match="the result: the mesh is empty"):
        register(nothing, chair())
    with pytest.raises(Unavailable, match="the reference: the mesh is empty"):
        register(chair(), nothing)


def test_every_figure_says_what_it_is():
    names = [facts.name for facts in FACTS]
    assert names == [f"{figure}_{state}" for figure in ("chamfer", "fscore") for state in (*STATES, "kept")]
    assert all(facts.variant and facts.size and facts.background for facts in FACTS)
    assert {(facts.better, facts.worst) for facts in FACTS} == {("lower", 2.0), ("higher", 0.0)}
