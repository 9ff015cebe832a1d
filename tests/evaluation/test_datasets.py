"""Every layout of a data set is read whole, and what is wrong with one is told: the thing, the reason, the way out."""

import json
import math
import os

import numpy as np
import pytest
from PIL import Image
from projecting import seen_at

from agent.errors import InputUnreadable, RunError, UsageError
from agent.evaluation.alignment import reference_side
from agent.evaluation.cameras import view_of
from agent.evaluation.data import View
from agent.evaluation.datasets import KINDS, files, read_dataset, reference_of

UPRIGHT = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]]
"""A camera 4 m in front (-Y) of the origin that looks at it, Z up."""


def picture(path, size=(40, 40), color=(200, 30, 20, 255), mode="RGBA"):
    """A square in the middle of nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, size, {"RGBA": (0, 0, 0, 0), "RGB": (255, 255, 255), "L": 0}[mode])
    width, height = size
    image.paste(color[: len(mode)] if mode != "L" else 255, (width // 4, height // 4, 3 * width // 4, 3 * height // 4))
    image.save(path)
    return path


def nerf_scene(folder, split="test", views=10, angle=0.7, **changes):
    frames = []
    for number in range(views):
        turn = 2 * math.pi * number / views
        pose = np.eye(4)
        pose[:3, :3] = [[math.cos(turn), 0, math.sin(turn)], [math.sin(turn), 0, -math.cos(turn)], [0, 1, 0]]
        pose[:3, 3] = 4 * pose[:3, 2]
        picture(folder / split / f"r_{number}.png", color=(10 * number, 100, 50, 255))
        frames.append({"file_path": f"./{split}/r_{number}", "rotation": 0.01, "transform_matrix": pose.tolist()})
    document = {"camera_angle_x": angle, "frames": frames, **changes}
    (folder / f"transforms_{split}.json").write_text(json.dumps(document))
    return document


def stored_camera(size=(40, 40), to_world=UPRIGHT, **changes):
    width, height = size
    return {"camera_to_world": to_world, "focal_px": 50, "cx": width / 2, "cy": height / 2, "width": width,
            "height": height, **changes}  # fmt: skip


def own_scene(folder, cameras=None, mask=False):
    picture(folder / "reference.png")
    picture(folder / "novel_00.png", (30, 30))
    if mask:
        picture(folder / "mask.png", mode="L")
    (folder / "gt_mesh.glb").write_bytes(b"glTF")
    novel = {"novel_00.png": stored_camera((30, 30))}
    (folder / "cameras.json").write_text(json.dumps(cameras or {"reference": stored_camera(), "novel": novel}))


def ids(dataset):
    return [item.id for item in dataset.items]


def refused(text, *words, error=InputUnreadable):
    """What is said, of one line, which names each of the words."""
    with pytest.raises(error) as caught:
        read_dataset(str(text))
    said = str(caught.value)
    assert caught.value.remedy and "\n" not in said
    for word in words:
        assert word in said, said
    return said


# ── NeRF ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_each_view_of_a_nerf_scene_is_an_item_with_its_camera(tmp_path):
    for split in ("train", "val", "test"):
        nerf_scene(tmp_path / "lego", split, views=3)
    dataset = read_dataset(f"nerf:{tmp_path}")
    assert ids(dataset) == [f"lego-{split}-r_{k}" for split in ("train", "val", "test") for k in range(3)]
    assert {item.group for item in dataset.items} == {"lego"}
    camera = dataset.items[0].reference.camera
    assert camera.focal_px == pytest.approx(20 / math.tan(0.35)) and camera.center_px == (20, 20)
    assert (camera.width_px, camera.height_px) == (40, 40)
    assert dataset.notes == ()


def test_a_nerf_camera_sees_the_world_as_blender_does(tmp_path):
    nerf_scene(tmp_path, views=4)
    camera = read_dataset(f"nerf:{tmp_path}").items[0].reference.camera
    middle, right, above = seen_at(camera, [(0, 0, 0), (0.5, 0, 0), (0, 0, 0.5)])
    assert middle == pytest.approx([20, 20])
    assert right[0] > 20 and right[1] == pytest.approx(20)
    assert above[0] == pytest.approx(20) and above[1] < 20


def test_the_other_views_of_a_nerf_scene_are_novel_ones_spread_over_the_split(tmp_path):
    nerf_scene(tmp_path / "lego", views=10)
    items = read_dataset(str(tmp_path)).items
    assert [view.name for view in items[3].novel] == ["r_5", "r_7", "r_9", "r_1"]
    assert all(view.camera is not None and view.picture != items[3].reference.picture for view in items[3].novel)


def test_the_papers_subset_is_five_views_of_seven_scenes(tmp_path):
    for name in ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"):
        nerf_scene(tmp_path / name, views=20)
        nerf_scene(tmp_path / name, "train", views=2)
    dataset = read_dataset(f"nerf-paper:{tmp_path}")
    assert dataset.name == "nerf-paper" and len(dataset.items) == 35
    assert not any(item.group == "materials" for item in dataset.items)
    assert [item.id for item in dataset.items if item.group == "mic"] == [f"mic-test-r_{k}" for k in (0, 4, 8, 12, 16)]
    assert len(dataset.items[0].novel) == 4
    assert any("not known; these are ours" in note for note in dataset.notes)


def test_a_part_of_the_papers_scenes_is_never_called_the_whole(tmp_path):
    nerf_scene(tmp_path / "lego", "train", views=3)
    dataset = read_dataset(f"nerf-paper:{tmp_path}")
    assert dataset.name == "nerf-paper, 1 of 7 scenes"
    told = " | ".join(dataset.notes)
    assert "chair" in told and "ship" in told and "lego has no transforms_test.json" in told
    assert "lego has only 3 of the 5 views" in told


def test_none_of_the_papers_scenes_is_an_error(tmp_path):
    refused(f"nerf-paper:{tmp_path}", "None of the paper's scenes", "lego")


def test_nerf_pictures_that_are_missing_or_broken_are_told(tmp_path):
    nerf_scene(tmp_path / "lego", views=8)
    (tmp_path / "lego/test/r_2.png").unlink()
    (tmp_path / "lego/test/r_5.png").write_bytes(b"not a picture")
    dataset = read_dataset(f"nerf:{tmp_path}")
    assert len(dataset.items) == 6
    assert dataset.notes == (
        "lego: pictures of transforms_test.json that are not there (1): ./test/r_2",
        "lego: pictures of transforms_test.json that cannot be read (1): ./test/r_5",
    )


def test_a_nerf_scene_without_any_picture_is_an_error(tmp_path):
    nerf_scene(tmp_path, views=0)
    refused(f"nerf:{tmp_path}", "None of the pictures")


@pytest.mark.parametrize(
    "matrix, words",
    [
        (np.diag([-1.0, 1, 1, 1]).tolist(), "reflection, not a rotation"),
        (np.diag([2.0, 2, 2, 1]).tolist(), "no rotation"),
        (np.zeros((4, 4)).tolist(), "does not end with 0, 0, 0, 1"),
        (np.eye(4)[:3].tolist(), "frames"),
        ([[math.nan] * 4] * 4, "finite number"),
        ([[math.inf] * 4] * 4, "finite number"),
        ([[1e300, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "no places in a world"),
        ("eye", "frames"),
    ],
)
def test_a_matrix_that_is_no_camera_is_refused(tmp_path, matrix, words):
    document = nerf_scene(tmp_path, views=2)
    document["frames"][1]["transform_matrix"] = matrix
    (tmp_path / "transforms_test.json").write_text(json.dumps(document))
    refused(f"nerf:{tmp_path}", "transforms_test.json", "1", words)


@pytest.mark.parametrize("angle", [0, -1, 4, math.nan, "wide", None])
def test_an_angle_of_view_that_cannot_be_is_refused(tmp_path, angle):
    nerf_scene(tmp_path, views=1, camera_angle_x=angle)
    refused(f"nerf:{tmp_path}", "transforms_test.json", "camera_angle_x")


def test_a_camera_as_files_round_it_is_one_that_scenes_can_be_seen_by(tmp_path):
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]) * (1.0004, 0.99955, 0.99955)
    stored = np.vstack([np.c_[turn, (1.0, 2.0, 3.0)], (0.0, 0.0, 0.0, 0.9999)])
    own_scene(tmp_path / "tea", {"reference": {**stored_camera(), "camera_to_world": stored.tolist()}})
    (item,) = read_dataset(f"scenes:{tmp_path}").items
    camera = item.reference.camera
    assert np.allclose(camera.to_world, stored, atol=1e-3) and camera.to_world[3] == (0, 0, 0, 1)
    assert np.allclose(view_of(camera, None).to_world, camera.to_world, atol=1e-12)


# ── our own scenes ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_our_own_scenes_have_cameras_meshes_masks_and_novel_views(tmp_path):
    own_scene(tmp_path / "tea")
    own_scene(tmp_path / "desk", mask=True)
    (tmp_path / "LICENCE.txt").write_text("CC0")
    desk, tea = read_dataset(f"scenes:{tmp_path}").items
    assert (desk.id, tea.id) == ("desk", "tea")
    assert desk.reference.mask == tmp_path / "desk/mask.png" and tea.reference.mask is None
    assert tea.mesh.path == tmp_path / "tea/gt_mesh.glb" and tea.mesh.up == "Y"
    assert tea.reference.camera.focal_px == 50 and tea.novel[0].camera.width_px == 30
    assert read_dataset(f"scenes:{tmp_path / 'tea'}").items == (tea,)


def test_what_one_of_our_scenes_lacks_is_told(tmp_path):
    for name in ("a", "b", "c"):
        own_scene(tmp_path / name)
    (tmp_path / "a/reference.png").unlink()
    (tmp_path / "b/novel_00.png").rename(tmp_path / "b/novel_07.png")
    (tmp_path / "b/gt_mesh.glb").unlink()
    (tmp_path / "empty").mkdir()
    dataset = read_dataset(f"scenes:{tmp_path}")
    assert ids(dataset) == ["b", "c"] and dataset.items[0].mesh is None and dataset.items[0].novel == ()
    told = " | ".join(dataset.notes)
    for words in ("a has no reference.png", "b has no gt_mesh.glb", "not there (1): novel_00.png",
                  "no camera for them (1): novel_07.png", "without cameras.json (1): empty"):  # fmt: skip
        assert words in told


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"width": 80}, "80 × 40 px, the picture has 40 × 40"),
        ({"focal_px": 0}, "focal length of 0 px"),
        ({"focal_px": None}, "focal_px"),
        ({"camera_to_world": np.diag([1.0, 1, -1, 1]).tolist()}, "reflection"),
        ({"width": 40.5}, "width"),
    ],
)
def test_a_camera_that_does_not_fit_its_picture_is_refused(tmp_path, changes, words):
    own_scene(tmp_path / "tea", {"reference": {**stored_camera(), **changes}})
    refused(f"scenes:{tmp_path}", "cameras.json", words)


def test_cameras_of_nothing_are_refused(tmp_path):
    own_scene(tmp_path / "tea", {"novel": {}})
    refused(f"scenes:{tmp_path}", "tea/cameras.json", "reference", "field required")
    refused(f"scenes:{tmp_path / 'tea' / '..' / 'tea' / 'gt_mesh.glb'}", "no folder")


# ── Edit3D ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def edit3d_object(root, name, prompts=(1, 2, 3), colors=(0, 0, 0)):
    (root / name / "source_model").mkdir(parents=True)
    (root / name / "source_model/model.glb").write_bytes(b"glTF")
    for number, color in zip(prompts, colors, strict=False):
        picture(root / name / f"prompt_{number}/2d_render.png", color=(color, 60, 60, 255))
        picture(root / name / f"prompt_{number}/2d_mask.png", mode="L")


def test_an_edit3d_object_is_an_item_for_each_different_picture_of_it(tmp_path):
    edit3d_object(tmp_path, "GSO/Toy Poodle")
    edit3d_object(tmp_path, "PartObjaverse-Tiny/a1b2", colors=(0, 90, 0))
    dataset = read_dataset(f"edit3d:{tmp_path}")
    tiny = "PartObjaverse-Tiny-a1b2"
    assert ids(dataset) == ["GSO-Toy-Poodle-prompt_1", f"{tiny}-prompt_1", f"{tiny}-prompt_2"]
    item = dataset.items[0]
    assert item.mesh.path == tmp_path / "GSO/Toy Poodle/source_model/model.glb" and item.mesh.up == "Y"
    assert item.group == "GSO-Toy-Poodle" and item.reference.camera is None
    assert item.reference.mask is None, "2d_mask.png marks what an edit may change, not where the object is"


def test_edit3d_objects_that_its_metadata_lists_and_that_are_not_there_are_told(tmp_path):
    root = tmp_path / "data"
    edit3d_object(root, "GSO/Boot")
    edit3d_object(root, "GSO/Unlisted")
    edit3d_object(root, "GSO/Blind", prompts=())
    listed = [{"dataset": "GSO", "source_model": name, "prompt_1": "red"} for name in ("Boot", "Gone", "Blind", "Boot")]
    (root / "metadata.json").write_text(json.dumps(listed))
    dataset = read_dataset(str(tmp_path))
    assert ids(dataset) == ["GSO-Boot-prompt_1"]
    assert "objects of metadata.json without their model.glb (1): GSO/Gone" in dataset.notes
    assert "GSO-Blind has no 2d_render.png and is left out" in dataset.notes


def test_voxhammers_own_example_is_one_item(tmp_path):
    picture(tmp_path / "example/images/2d_render.png")
    (tmp_path / "example/model.glb").write_bytes(b"glTF")
    (item,) = read_dataset(str(tmp_path / "example")).items
    assert item.id == "example" and item.mesh.path.name == "model.glb" and item.reference.name == "2d_render.png"


def test_an_edit3d_folder_without_objects_is_an_error(tmp_path):
    refused(f"edit3d:{tmp_path}", "no object of Edit3D-Bench", "model.glb")


# ── pictures, manifest ────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_folder_of_pictures_is_read_in_the_order_of_its_numbers(tmp_path):
    for name in ("r_10.png", "r_9.png", "Café au lait.JPG", "r_9.webp", ".hidden.png"):
        picture(tmp_path / name, mode="RGB")
    (tmp_path / "notes.txt").write_text("x")
    dataset = read_dataset(str(tmp_path))
    assert ids(dataset) == ["Caf-au-lait", "r_9", "r_9-2", "r_10"]
    assert dataset.notes[0].startswith("read as pictures") and "notes.txt" in dataset.notes[1]


def test_one_picture_is_a_data_set_too(tmp_path):
    assert ids(read_dataset(str(picture(tmp_path / "chair.png")))) == ["chair"]


def test_a_folder_without_pictures_is_an_error(tmp_path):
    refused(f"pictures:{tmp_path}", "no picture in", ".png")
    refused(tmp_path, "no data set that is known", "nerf:", "KIND:PATH")


def listed(tmp_path, text, name="list.csv"):
    own_scene(tmp_path / "tea", mask=True)
    picture(tmp_path / "chair.png")
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_list_names_masks_meshes_cameras_and_novel_views(tmp_path):
    row = "tea-1,tea/reference.png,tea/mask.png,tea/gt_mesh.glb,tea/cameras.json,tea/novel_00.png,quick"
    path = listed(tmp_path, f"id,image,mask,mesh,camera,novel,preset\n{row}\n,chair.png,,,,\n")
    dataset = read_dataset(f"manifest:{path}")
    tea, chair = dataset.items
    assert (tea.id, chair.id) == ("tea-1", "chair")
    assert tea.reference.mask == tmp_path / "tea/mask.png" and tea.mesh.path == tmp_path / "tea/gt_mesh.glb"
    assert tea.reference.camera.focal_px == 50 and tea.novel[0].camera.width_px == 30
    assert chair.reference.camera is None and chair.mesh is None and chair.novel == ()
    assert dataset.notes == ("columns that are not read (1): preset",)


def test_a_list_in_json_lines_may_hold_the_cameras_themselves(tmp_path):
    cameras = {"reference": stored_camera(), "novel": {"novel_00.png": stored_camera((30, 30))}}
    row = {"image": "tea/reference.png", "camera": cameras, "novel": ["tea/novel_00.png"], "seed": 3}
    (item,) = read_dataset(str(listed(tmp_path, json.dumps(row), "list.jsonl"))).items
    assert item.id == "reference" and item.novel[0].camera.focal_px == 50


def test_a_line_of_json_may_hold_what_is_a_line_break_elsewhere(tmp_path):
    row = json.dumps({"image": "chair.png", "title": "one\u2028two\x85"}, ensure_ascii=False)
    assert ids(read_dataset(str(listed(tmp_path, f"{row}\r\n\n{row}\n", "list.jsonl")))) == ["chair", "chair-2"]


@pytest.mark.parametrize("of", ["reference", "novel"])
def test_a_camera_in_a_list_has_to_be_of_its_picture_as_it_is(tmp_path, of):
    sizes = {"reference": (40, 40), "novel": (30, 30)} | {of: (80, 40)}
    cameras = {"reference": stored_camera(sizes["reference"]), "novel": {"novel_00.png": stored_camera(sizes["novel"])}}
    row = {"image": "tea/reference.png", "camera": cameras, "novel": ["tea/novel_00.png"]}
    refused(str(listed(tmp_path, json.dumps(row), "list.jsonl")), "line 1, camera", "80 × 40 px, the picture has")


def test_an_id_that_a_row_gives_stays_although_an_earlier_picture_has_its_name(tmp_path):
    path = listed(tmp_path, "image,id\nchair.png,\nchair.png,Chair\n")
    assert ids(read_dataset(str(path))) == ["chair-2", "Chair"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("image\ngone.png\n", "there is no image"),
        ("image,mask\nchair.png,gone.png\n", "there is no mask"),
        ("image,mesh\nchair.png,chair.png\n", "no glTF"),
        ("image,novel\nchair.png,tea/novel_00.png\n", "no camera"),
        ("image,camera\nchair.png,chair.png\n", "chair.png is no UTF-8 text"),
        ("picture\nchair.png\n", "no column 'image'"),
        ("image\n", "0 rows"),
        ("", "no column 'image'"),
        ("image\nchair.png,more\n", "more fields than columns"),
        ('image\n"chair.png\n', "quotes"),
        ("id,image\na/b,chair.png\n", "cannot name a folder"),
        ("id,image\na,chair.png\nA,chair.png\n", "taken by"),
        ("id,image\na,\n", "image"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, text, words):
    refused(f"manifest:{listed(tmp_path, text)}", words)


@pytest.mark.parametrize("text, words", [("{", "broken JSON"), ('{"image": 3}', "image"), ("[1]", "no object")])
def test_json_lines_that_cannot_be_meant_are_refused(tmp_path, text, words):
    refused(f"manifest:{listed(tmp_path, text, 'list.jsonl')}", "line 1", words)


# ── which layout ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_what_a_path_was_recognised_as_is_told(tmp_path):
    nerf_scene(tmp_path / "1/lego")
    own_scene(tmp_path / "2/tea")
    edit3d_object(tmp_path / "3", "GSO/Boot")
    picture(tmp_path / "4/a.png")
    (tmp_path / "4.csv").write_text("image\n4/a.png\n")
    names = ("1", "1/lego", "2", "2/tea", "3", "4", "4/a.png", "4.csv")
    kinds = [read_dataset(str(tmp_path / name)).notes[0].split(":")[0].removeprefix("read as ") for name in names]
    assert kinds == ["nerf", "nerf", "scenes", "scenes", "edit3d", "pictures", "pictures", "manifest"]


def test_an_unknown_kind_is_refused_with_those_that_there_are(tmp_path):
    refused("blender:/tmp", "no kind of data set 'blender'", *KINDS, error=UsageError)
    odd = tmp_path / "odd:name"
    picture(odd / "a.png")
    assert ids(read_dataset(str(odd))) == ["a"], "a path may have a colon"


@pytest.mark.parametrize(
    "text", ["", "/nowhere/at/all", "nerf:", "scenes:/nowhere", "x" * 5000, "a\0b", "~nobody-of-that-name/x"]
)
def test_what_is_not_there_is_refused(text):
    refused(text, "There is no data set at")


def test_a_file_is_no_folder_and_a_folder_no_list(tmp_path):
    refused(f"manifest:{tmp_path}", "no file")
    refused(f"nerf:{picture(tmp_path / 'a.png')}", "no folder")


# ── hostile files ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "broken JSON"),
        (b"{", "broken JSON"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"camera_angle_x": ' + b"9" * 100_000 + b"}", "broken JSON"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"null", "transforms_test.json"),
        (b'{"camera_angle_x": 0.7, "frames": {}}', "frames"),
    ],
)
def test_broken_json_is_refused(tmp_path, content, words):
    (tmp_path / "transforms_test.json").write_bytes(content)
    refused(f"nerf:{tmp_path}", "transforms_test.json", words)


def test_a_file_of_terabytes_is_not_read(tmp_path):
    with (tmp_path / "transforms_test.json").open("wb") as file:
        file.truncate(2**40)
    refused(f"nerf:{tmp_path}", "more than 64 MiB")


def test_a_pipe_is_no_file_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    refused(f"manifest:{tmp_path / 'list.csv'}", "There is no data set at")
    os.mkfifo(tmp_path / "transforms_test.json")
    refused(f"nerf:{tmp_path}", "no NeRF scene")


def test_names_that_no_file_can_have_are_missing_files(tmp_path):
    document = nerf_scene(tmp_path, views=1)
    for name in ("a\0b", "x" * 5000, "../" * 3000, ""):
        document["frames"].append({**document["frames"][0], "file_path": name})
    (tmp_path / "transforms_test.json").write_text(json.dumps(document))
    dataset = read_dataset(f"nerf:{tmp_path}")
    assert len(dataset.items) == 1 and "not there (4)" in dataset.notes[0]


def test_a_folder_that_may_not_be_read_is_refused(tmp_path):
    tmp_path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        refused(f"pictures:{tmp_path}", "permission denied")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        tmp_path.chmod(0o700)


def test_ids_can_name_folders_whatever_the_pictures_are_called():
    assert files.id_from("..", "a b/c", "ß") == "a-b-c"
    assert files.id_from("...") == "picture" and len(files.id_from("x" * 500)) == 80
    assert files.distinct(["a", "A", "a", "a-2"]) == ["a", "A-2", "a-3", "a-2-2"]


# ── one picture with its mask ─────────────────────────────────────────────────────────────────────────────────────────
def test_a_mask_from_a_file_says_where_the_objects_of_a_full_picture_are(tmp_path):
    view = View(name="a", picture=picture(tmp_path / "a.png", mode="L"), mask=picture(tmp_path / "m.png", mode="L"))
    Image.new("RGB", (40, 40), (90, 120, 60)).save(view.picture)
    reference = reference_of(view)
    assert reference.kind == "full" and (reference.rgb == (90, 120, 60)).all(), "the picture itself stays as it is"
    side = reference_side(reference, 40, 40)
    assert side.mask.sum() == 400 and side.mask[20, 20] and not side.mask[2, 2]
    assert reference_side(reference, 20, 20).mask.sum() == 100


def test_without_a_mask_file_the_pictures_own_transparency_is_its_mask(tmp_path):
    reference = reference_of(View(name="a", picture=picture(tmp_path / "a.png")))
    assert reference.kind == "cutout" and reference.mask.sum() == 400
    assert (reference.rgb[0, 0] == 255).all(), "on white"


def test_a_mask_file_wins_over_transparency(tmp_path):
    mask = Image.new("L", (40, 40))
    mask.paste(255, (0, 0, 20, 20))
    mask.save(tmp_path / "m.png")
    view = View(name="a", picture=picture(tmp_path / "a.png"), mask=tmp_path / "m.png")
    assert reference_of(view).mask[:20, :20].all() and reference_of(view).mask.sum() == 400


def test_a_mask_of_another_size_is_brought_to_its_pictures(tmp_path):
    picture(tmp_path / "a.png", (400, 200), mode="RGB")
    picture(tmp_path / "m.png", (100, 50), mode="L")
    reference = reference_of(View(name="a", picture=tmp_path / "a.png", mask=tmp_path / "m.png"), 200)
    assert reference.mask.shape == (100, 200) and reference.mask.mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("value, what", [(0, "nothing"), (255, "everything")])
def test_a_mask_that_tells_nothing_is_not_used_and_told(tmp_path, value, what):
    Image.new("L", (40, 40), value).save(tmp_path / "m.png")
    reference = reference_of(View(name="a", picture=picture(tmp_path / "a.png"), mask=tmp_path / "m.png"))
    assert reference.mask is None and f"its mask shows {what} and is not used" in reference.notes


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_mask_that_cannot_be_read_is_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(RunError, match=r"m\.png"):
        reference_of(View(name="a", picture=picture(tmp_path / "a.png"), mask=tmp_path / "m.png"))


def test_a_mask_of_another_shape_is_an_error(tmp_path):
    picture(tmp_path / "m.png", (40, 30), mode="L")
    with pytest.raises(InputUnreadable, match="another shape"):
        reference_of(View(name="a", picture=picture(tmp_path / "a.png"), mask=tmp_path / "m.png"))
