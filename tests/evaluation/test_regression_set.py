"""Our own data set comes out the same each time, and its cameras, masks and meshes belong together."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from needs import lacking
from PIL import Image
from projecting import farthest_px, silhouette

from agent.evaluation.datasets import read_dataset, reference_of

ROOT = Path(__file__).resolve().parents[2]
BLENDER = ROOT / ".blender/bpy-4.5/bin/python"
pytestmark = [pytest.mark.blender, pytest.mark.timeout(900)]


def made(folder, *arguments):
    """What the set's program says."""
    if not BLENDER.exists():
        lacking("Blender's wheel 4.5: make blender VERSION=4.5")
    command = [str(BLENDER), "-m", "agent.evaluation.regression", *arguments, "--", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One scene that is cut out and one that is not, at the same size twice."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        result = made(folder, "--only", "tea", "--only", "fruit", "--long-px", "128", "--samples", "4")
        assert result.returncode == 0, result.stderr
        assert [line.split(":")[0] for line in result.stdout.splitlines()] == [f"{folder}/fruit", f"{folder}/tea"]
    return folders


def test_the_same_seed_makes_the_same_set(small):
    first, second = small
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert Path("fruit/mask.png") in files and Path("tea/mask.png") not in files
    for name in files:
        if name.suffix == ".png":
            assert (pixels(first / name) == pixels(second / name)).all(), name
        else:
            assert (first / name).read_bytes() == (second / name).read_bytes(), name


def pixels(path):
    return np.asarray(Image.open(path))


def test_the_set_is_read_back_whole(small):
    dataset = read_dataset(str(small[0]))
    assert dataset.notes == ("read as scenes: our own scenes, with cameras.json",)
    fruit, tea = dataset.items
    assert (fruit.id, tea.id) == ("fruit", "tea")
    assert fruit.reference.mask is not None and tea.reference.mask is None
    for item in (fruit, tea):
        assert len(item.novel) == 2 and item.mesh is not None
        assert (item.reference.camera.width_px, item.reference.camera.height_px) == (128, 96)
        assert {view.camera.width_px for view in item.novel} == {96}
    assert reference_of(tea.reference).kind == "cutout" and reference_of(fruit.reference).kind == "full"


@pytest.mark.slow
def test_every_mesh_of_the_set_lies_on_its_masks_through_its_cameras(tmp_path):
    import trimesh

    result = made(tmp_path, "--long-px", "256", "--samples", "4")
    assert result.returncode == 0, result.stderr
    items, off_px = read_dataset(str(tmp_path)).items, {}
    assert len(items) == 8
    for item in items:
        mesh = trimesh.load(item.mesh.path, force="mesh")
        world = np.stack([mesh.vertices[:, 0], -mesh.vertices[:, 2], mesh.vertices[:, 1]], axis=1)
        masks = [(view, reference_of(view).mask) for view in (item.reference, *item.novel)]
        seen = [(mask, silhouette(view.camera, world, mesh.faces)) for view, mask in masks if mask is not None]
        off_px[item.id] = max(farthest_px(mask, outline) for mask, outline in seen)
    assert max(off_px.values()) <= 2, off_px


def test_a_mesh_has_a_named_node_for_each_object_and_none_for_table_and_wall(small):
    import trimesh

    stored = json.loads((small[0] / "fruit/cameras.json").read_text())
    scene = trimesh.load(small[0] / "fruit/gt_mesh.glb")
    assert set(scene.graph.nodes_geometry) == set(stored["objects"])
    assert {"Bowl", "Lemon", "Carafe"} <= set(stored["objects"]) and not {"Table", "Wall"} & set(stored["objects"])
    assert sum(len(part.faces) for part in scene.geometry.values()) == stored["gt_triangles"]
    assert all(part.is_winding_consistent for part in scene.geometry.values())


def test_all_views_of_a_scene_differ(small):
    for item in read_dataset(str(small[0])).items:
        first, second = (reference_of(view).rgb.astype(float) for view in item.novel)
        whole = reference_of(item.reference, 96).rgb.astype(float)
        for one, other in ((first, second), (first, whole), (second, whole)):
            assert np.abs(one - other).mean() > 5, item.id


def test_another_seed_makes_another_scene(small, tmp_path):
    result = made(tmp_path, "--only", "fruit", "--long-px", "32", "--samples", "1", "--seed", "1")
    assert result.returncode == 0, result.stderr
    mesh = (tmp_path / "fruit/gt_mesh.glb").read_bytes()
    assert mesh != (small[0] / "fruit/gt_mesh.glb").read_bytes()


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--only", "castle"], 64, "no scene 'castle'. There are bedside"),
        (["--long-px", "3"], 64, "--long-px is 16 to 4096"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path, arguments, code, words):
    result = made(tmp_path / "set", *arguments)
    assert result.returncode == code and words in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "set").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    result = made(tmp_path / "file", "--only", "tea")
    assert result.returncode == 69 and "cannot write the set" in result.stderr and "Traceback" not in result.stderr
