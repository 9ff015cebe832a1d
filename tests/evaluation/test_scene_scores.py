"""What an evaluation asks of a run's scene: its shape beside the true one, and pictures of it laid on that shape."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from agent.evaluation.data import Camera, Dataset, Item, MeshFile, View
from agent.evaluation.evaluating import Question, evaluate
from agent.evaluation.finding import find_runs
from agent.evaluation.scene_scores import SceneScores
from agent.evaluation.similarity import applied
from agent.evaluation.views import opened
from agent.evaluation.weight_free import weight_free
from tests.evaluation.test_cameras import rows
from tests.evaluation.test_views import runs  # noqa: F401 - a fixture

pytestmark = [pytest.mark.blender, pytest.mark.timeout(400)]

PX = 96


def elsewhere():
    """Another world: turned about its up axis, half as large again, and far away."""
    matrix = np.eye(4)
    matrix[:3, :3] = 1.5 * Rotation.from_euler("z", 70, degrees=True).as_matrix()
    matrix[:3, 3] = (3.0, -2.0, 1.0)
    return matrix


def moved_camera(camera, matrix):
    placed = matrix @ np.asarray(camera.to_world)
    placed[:3, :3] /= 1.5
    return Camera(**{**camera.model_dump(), "to_world": rows(placed)})


@pytest.fixture(scope="module")
def truth(runs, tmp_path_factory):  # noqa: F811
    """What would be known of a picture if the run's own scene, in another world, were the true one."""
    import trimesh  # of the evaluation extra, without which tests are collected too

    folder, matrix = tmp_path_factory.mktemp("truth"), elsewhere()
    with opened(runs["cut_out"], kept=folder / "kept") as scene:
        shown = trimesh.Scene()
        for one in scene.mesh.objects:
            x, y, z = applied(rows(matrix), one.vertices.astype(np.float64)).T
            mesh = trimesh.Trimesh(np.stack([x, z, -y], axis=1), one.triangles, process=False)  # glTF: Y up
            shown.add_geometry(mesh, node_name=one.name, geom_name=one.name)
        camera = moved_camera(scene.camera, matrix)
    shown.export(folder / "mesh.glb")
    views = [View(name=name, picture=runs["cut_out"] / "render.png", camera=camera) for name in ("reference", "again")]
    return Item(id="cut_out", reference=views[0], novel=(views[1],), mesh=MeshFile(path=folder / "mesh.glb", up="Y"))


def evaluated(items, folders, out, size_px=PX):
    facts = tuple(one.facts for one in weight_free(size_px))
    data = Dataset(name="truth", items=tuple(items))
    question = Question(
        methods={"staged": find_runs(folders)},
        data=data,
        size_px=size_px,
        additions=(SceneScores(facts, size_px, out),),
    )
    return evaluate(question)


def test_a_scene_that_is_the_true_one_in_another_world_is_laid_on_it_and_looks_like_it(runs, truth, tmp_path):  # noqa: F811
    item = truth.model_copy(update={"id": runs["cut_out"].name})
    evaluation = evaluated([item], [runs["cut_out"]], tmp_path)
    (row,) = [row for row in evaluation.report.rows if not row.trivial]
    assert row.outcome == "scored", row.reason
    assert row.value("chamfer_before") > 0.3 > 0.03 > row.value("chamfer_icp")
    assert row.value("fscore_icp") > 0.9
    for how in ("icp", "novel"):
        assert row.value(f"psnr_db_{how}") > 30 and row.value(f"iou_{how}") > 0.95
    assert row.value("psnr_db_kept") > 25
    (shown,) = (tmp_path / "renders").iterdir()
    assert {path.name for path in shown.iterdir()} == {
        "icp.png", "kept.png", "again.png",
    }  # fmt: skip
    assert "again, true" in [caption for caption, _ in evaluation.pictures[0]]
    trivial = {row.method: row for row in evaluation.report.rows if row.trivial}
    flat = trivial["flat mean colour"]
    assert flat.value("psnr_db_icp") == flat.value("psnr_db") == flat.value("psnr_db_novel")
    assert flat.value("chamfer_icp") is None

    kept = sorted((tmp_path / "kept").iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    again = evaluated([item], [runs["cut_out"]], tmp_path)
    assert again.report.rows == evaluation.report.rows
    assert (
        [path.stat().st_mtime_ns for path in kept]
        == times
        == [path.stat().st_mtime_ns for path in sorted((tmp_path / "kept").iterdir())]
    )


def test_what_is_not_known_of_a_picture_has_its_reason(runs, truth, tmp_path):  # noqa: F811
    name = runs["cut_out"].name
    blind = truth.model_copy(update={"id": name, "reference": View(name="r", picture=runs["cut_out"] / "render.png"),
                                     "novel": ()})  # fmt: skip
    (row, *_) = evaluated([blind], [runs["cut_out"]], tmp_path / "blind").report.rows
    assert row.value("chamfer_icp") is not None and row.value("psnr_db_icp") is None
    reasons = {score.metric: score.reason for score in row.scores if score.value is None}
    assert "camera is not known" in reasons["psnr_db_icp"] and "no novel views" in reasons["psnr_db_novel"]

    (tmp_path / "torn.glb").write_bytes(b"glTF")
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    camera = Camera(**{**truth.novel[0].camera.model_dump(), "to_world": rows(turn @ truth.novel[0].camera.to_world)})
    novel = (truth.novel[0].model_copy(update={"camera": camera}),)
    torn = truth.model_copy(update={"id": name, "mesh": MeshFile(path=tmp_path / "torn.glb", up="Y"), "novel": novel})
    (row, *_) = evaluated([torn], [runs["cut_out"]], tmp_path / "torn").report.rows
    assert row.outcome == "scored" and row.value("chamfer_icp") is None and row.value("psnr_db") is not None
    assert any("placed by its own camera" in note for note in row.notes), "novel views need no mesh"


def test_a_scene_that_cannot_be_seen_is_its_runs_own_fault_and_counts_as_the_worst(runs, truth, tmp_path):  # noqa: F811
    """With another scene beside it, whose shape is a trivial answer."""
    broken = shutil.copytree(runs["cut_out"], tmp_path / "broken")
    (broken / "scene.blend").write_bytes(b"BLENDER-v300 nothing")
    failed = shutil.copytree(runs["cut_out"], tmp_path / "failed")
    (failed / "result.json").write_text(json.dumps({"status": "failed", "exit_code": 70, "message": "a defect"}))
    items = [truth.model_copy(update={"id": id, "group": id}) for id in ("broken", "failed")]
    report = evaluated(items, [broken, failed], tmp_path / "out").report
    runs_of = {row.id: row for row in report.rows if not row.trivial}
    first, second = runs_of["broken"], runs_of["failed"]
    assert first.outcome == "scored" and first.value("psnr_db") is not None and first.value("chamfer_icp") is None
    assert second.outcome == "failed"
    assert all(score.reason for row in (first, second) for score in row.scores if score.value is None)
    (summary,) = [one for one in report.summaries if not one.trivial]
    worst = {one.metric: (one.pictures, one.value) for one in summary.as_worst}
    left = {one.metric: one.pictures for one in summary.left_out}
    for metric, value in (("chamfer_icp", 2.0), ("psnr_db_icp", 0.0), ("psnr_db_novel", 0.0), ("iou_kept", 0.0)):
        assert left[metric] == 0 and worst[metric] == (2, value), metric
    another = next(one for one in report.summaries if one.method == "another scene")
    shape = {one.metric: one.value for one in another.left_out}
    assert shape["chamfer_icp"] < 0.03, "the other scene is the same one here"


def test_objects_of_a_full_picture_are_compared_with_the_mask_that_comes_with_it(runs, truth, tmp_path):  # noqa: F811
    """With the mask that the run's own scene has, with one beside it, and with the cut-out as another scene."""
    reference = runs["full"] / "reference.png"
    with opened(runs["full"]) as scene:
        seen = scene.object_mask(PX, 80)
        assert 0.05 < seen.mean() < 0.5 and not seen[-1].any(), "the ground does not count"
    items = []
    for name, mask in (("same", seen), ("shifted", np.roll(seen, 3, axis=1))):
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(tmp_path / f"{name}.png")
        view = View(name="reference", picture=reference, mask=tmp_path / f"{name}.png")
        items.append(Item(id=name, group="full", reference=view))
    (tmp_path / "runs").mkdir()
    for name in ("same", "shifted"):
        shutil.copytree(runs["full"], tmp_path / "runs" / name)
    shutil.copytree(runs["cut_out"], tmp_path / "runs" / "cut_out")
    broken = shutil.copytree(runs["full"], tmp_path / "more" / "same")
    (broken / "scene.blend").write_bytes(b"BLENDER-v300 nothing")
    report = evaluated([*items, truth], [tmp_path / "runs", broken], tmp_path / "out").report
    found = {(row.method, row.picture, row.folder): row for row in report.rows}
    same, shifted, cut = (
        found["staged", name, str(tmp_path / "runs" / name)] for name in ("same", "shifted", "cut_out")
    )
    assert (same.value("iou_objects"), same.value("boundary_px_objects")) == (1.0, 0.0)
    assert 0.5 < shifted.value("iou_objects") < 0.95 and 0.5 < shifted.value("boundary_px_objects") < 3.5
    assert same.value("iou") is None, "its render has no silhouette"
    assert found["staged", "same", str(broken)].is_to_blame("iou_objects")
    assert found["another scene", "same", ""].value("iou_objects") < 0.9
    assert not [score for score in cut.scores if score.metric == "iou_objects"]
