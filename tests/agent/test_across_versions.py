"""One run, several Blenders: what an older one began a newer one goes on with and proves; never the reverse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import lacking
from PIL import Image
from scripted_runs import draw_box, entries

from agent.rebuild.across import compare_across
from agent.rebuild.baseline import take_baseline
from agent.rebuild.elsewhere import side_of
from protocol.errors import SetupFailed
from sandbox import Box
from sandbox.discovery import Blender, find_blender
from sandbox.limits import Limits
from sandbox.pool import Pool
from sandbox.snapshots import Edit, Snapshot, SnapshotStore
from sandbox.transaction import FACTORS

pytestmark = [pytest.mark.blender, pytest.mark.across, pytest.mark.timeout(300)]

OLDER, NEWER, NEWEST = "3.4", "4.5", ("5.2", "5.0")


def found(*versions: str) -> Blender:
    for version in versions:
        try:
            return find_blender(version)
        except SetupFailed:
            continue
    lacking(f"a Blender {' or '.join(versions)}")


@pytest.fixture(autouse=True)
def nothing_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the environment: each test says which Blender is meant."""
    monkeypatch.delenv("BLENDER", raising=False)


@pytest.fixture(scope="module")
def older() -> Blender:
    return found(OLDER)


@pytest.fixture(scope="module")
def newer() -> Blender:
    return found(NEWER)


@pytest.fixture(scope="module")
def newest() -> Blender:
    return found(*NEWEST)


def seig(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    environment = {**os.environ, "ANTHROPIC_API_KEY": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


# ── a run that changes its Blender ────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def interrupted(older: Blender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An offline run in the older Blender, killed in its middle."""
    folder = tmp_path_factory.mktemp("across") / "run"
    picture = draw_box(folder.parent / "box.png")
    options = ("--model", "offline", "--preset", "quick", "--blender", str(older.executable), "--out", str(folder))
    command = [sys.executable, "-m", "agent", "run", str(picture), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"material" in line:
                break
        process.kill()
    assert not (folder / "result.json").exists()
    return folder


@pytest.fixture(scope="module")
def gone_on(interrupted: Path, newer: Blender) -> tuple[Path, str]:
    """The same run, finished by the newer Blender, and what that said."""
    folder = Path(shutil.copytree(interrupted, interrupted.with_name("gone-on")))
    ended = seig("resume", folder, "--blender", newer.executable)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended.stdout


def test_a_newer_blender_goes_on_with_a_run_and_says_so(
    gone_on: tuple[Path, str], older: Blender, newer: Blender
) -> None:
    folder, said = gone_on
    begun = f"goes on with Blender {newer.version}; it was begun with {older.version}: fingerprints are taken anew"
    assert begun in said
    assert f"the scene was built again from its program by Blender {newer.version}" in said
    assert begun in [one["said"] for one in entries(folder) if one["event"] == "blender"]
    assert f"Blender {older.version}, then {newer.version}" in seig("show", folder).stdout


def test_its_result_names_both_is_rendered_and_proved(
    gone_on: tuple[Path, str], older: Blender, newer: Blender
) -> None:
    folder, _ = gone_on
    result = json.loads((folder / "result.json").read_text())
    assert result["blenders"] == [older.version, newer.version] and result["blender"] == newer.version
    assert result["proof"]["outcome"] in ("identical", "equivalent")
    assert [one["rebuilt"] for one in result["baselines"]] == [True] * len(result["baselines"]) != []
    with Image.open(folder / "render.png") as render:
        assert max(render.size) == 256 and len(render.convert("RGB").getcolors(1 << 20) or ()) > 50
    again = seig("verify", folder)
    assert again.returncode == 0 and "rebuild identical" in again.stdout, again.stdout + again.stderr


def test_no_reply_is_asked_for_twice_because_the_blender_changed(interrupted: Path, gone_on: tuple[Path, str]) -> None:
    ledger = (gone_on[0] / "ledger.jsonl").read_text().splitlines()
    places = [json.dumps(json.loads(line)["place"]) for line in ledger]
    assert len(places) == len(set(places)) > len((interrupted / "ledger.jsonl").read_text().splitlines()) > 0


def test_the_older_ones_fingerprints_are_kept_beside_the_new_ones(
    interrupted: Path, gone_on: tuple[Path, str], newer: Blender
) -> None:
    before = {path.name: json.loads(path.read_text()) for path in (interrupted / "snapshots").glob("*.json")}
    after = {name: json.loads((gone_on[0] / "snapshots" / name).read_text()) for name in before}
    assert before and all(after[name]["fingerprint"] == one["fingerprint"] for name, one in before.items())
    assert any(newer.version in one["elsewhere"] for one in after.values())


def test_an_older_blender_is_refused_before_anything_is_touched(
    gone_on: tuple[Path, str], older: Blender, newer: Blender, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(gone_on[0], tmp_path / "run"))
    (folder / "result.json").unlink()
    journal, logs = (folder / "journal.jsonl").read_bytes(), sorted((folder / "logs").iterdir())
    ended = seig("resume", folder, "--blender", older.executable)
    assert ended.returncode == 69
    assert newer.version in ended.stderr and f"{older.version} is older" in ended.stderr
    assert f"make resume OUT={folder} BLENDER={newer.version}" in ended.stderr
    assert (folder / "journal.jsonl").read_bytes() == journal and sorted((folder / "logs").iterdir()) == logs


def test_the_blender_of_then_is_used_while_it_is_there_and_the_nearest_newer_one_after(
    interrupted: Path, older: Blender, newer: Blender, tmp_path: Path
) -> None:
    from agent.runs.folder import RunFolder
    from agent.which_blender import to_go_on

    assert to_go_on(RunFolder(interrupted), None).version == older.version
    folder = Path(shutil.copytree(interrupted, tmp_path / "run"))
    journal = (folder / "journal.jsonl").read_text().replace(f'"blender": "{older.version}"', '"blender": "3.6.5"')
    (folder / "journal.jsonl").write_text(journal.replace(str(older.executable), "/no/blender"))
    taken = to_go_on(RunFolder(folder), None)
    assert (3, 6) < tuple(map(int, taken.version.split("."))) <= tuple(map(int, newer.version.split(".")))


# ── verified elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_scene_of_the_newer_one_is_verified_by_the_older_one(
    gone_on: tuple[Path, str], older: Blender, newer: Blender
) -> None:
    ended = seig("verify", gone_on[0], "--blender", older.executable, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    proof = json.loads(ended.stdout)
    assert (proof["outcome"], proof["names"], proof["blender"]) == ("equivalent", [], older.version)
    assert (proof["made_with"], proof["read_by"]) == (newer.version, newer.version)
    assert "material node Principled BSDF input IOR: 1.5 → 1.45" in proof["defaults"]
    assert proof["only_made_with"]["names"][0] == "material node Principled BSDF input Specular IOR Level"
    assert proof["only_here"]["names"][0] == "material node Principled BSDF input Specular"
    assert proof["only_here"]["count"] > 20


def test_what_differs_elsewhere_is_named_down_to_the_property(
    gone_on: tuple[Path, str], older: Blender, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(gone_on[0], tmp_path / "run"))
    program = (folder / "scene.py").read_text()
    (folder / "scene.py").write_text(program.replace("roughness=0.6", "roughness=0.45", 1))
    ended = seig("verify", folder, "--blender", older.executable)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "node Principled BSDF input Roughness: 0.6 → 0.45" in ended.stdout

    broken = program.replace('("Specular IOR Level", "Specular")', '("Specular IOR Level",)')
    broken = broken.replace("if gloss in shader.inputs:", "if True:")
    assert broken != program
    (folder / "scene.py").write_text(broken)
    ended = seig("verify", folder, "--blender", older.executable)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "edit 2 (scaffold) failed: KeyError" in ended.stdout and "Specular IOR Level" in ended.stdout


def test_a_scene_saved_by_a_newer_one_or_compressed_is_refused_by_name(
    gone_on: tuple[Path, str], older: Blender, newer: Blender, newest: Blender, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(gone_on[0], tmp_path / "run"))
    save = "import bpy, sys; bpy.ops.wm.open_mainfile(filepath=sys.argv[1]); " + (
        "bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1], compress=len(sys.argv) > 2)"
    )
    for python, options in ((newest, ()), (newer, ("compressed",))):
        shutil.copy(gone_on[0] / "scene.blend", folder / "scene.blend")
        command = [str(python.executable), "-I", "-c", save, str(folder / "scene.blend"), *options]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        ended = seig("verify", folder, "--blender", older.executable)
        if options:
            assert ended.returncode == 65 and "compressed with zstd: save it uncompressed" in ended.stderr
        else:
            series = ".".join(newest.version.split(".")[:2])
            assert ended.returncode == 69
            assert f"saved by Blender {series}, newer than this one ({older.version})" in ended.stderr


# ── below the command line ────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def pools(older: Blender, newer: Blender, tmp_path: Path) -> Iterator[tuple[Pool, Pool]]:
    """Of the older and the newer Blender, on one store."""
    store = SnapshotStore(tmp_path / "snapshots")
    with Pool(older, Limits(), store, tmp_path / "a", standby=False) as one:
        with Pool(newer, Limits(), store, tmp_path / "b") as two:
            yield one, two


def committed(pool: Pool, source: str, head: Snapshot | None = None) -> Snapshot:
    with pool.session(head) as session:
        edit = Edit(index=1, label="made", stage="geometry", round=1, source=source, seed=1)
        outcome = session.edit(edit, frozenset(FACTORS))
        assert outcome.kind == "committed", outcome.message
        return session.head


RICH = """\
import bpy
mesh = bpy.data.meshes.new("Rich")
mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1)], [], [(0, 1, 2, 3), (0, 4, 5, 1)])
mesh.polygons[0].use_smooth, mesh.polygons[1].use_smooth = True, SMOOTH
mesh.edges[1].use_edge_sharp = mesh.edges[2].use_seam = True
layer = mesh.uv_layers.new(name="Map")
for index, corner in enumerate(layer.data):
    corner.uv = (index / 8, 0.5)
for name in ("One", "Two"):
    mesh.materials.append(bpy.data.materials.new(name))
mesh.polygons[1].material_index = 1
thing = bpy.data.objects.new("Rich", mesh)
bpy.context.scene.collection.objects.link(thing)
thing.vertex_groups.new(name="Upper").add([4, 5], 0.5, "REPLACE")
thing.modifiers.new("Round", "BEVEL").segments = 2
"""


def test_flags_maps_groups_and_modifiers_are_compared_though_versions_keep_them_elsewhere(
    pools: tuple[Pool, Pool],
) -> None:
    sides = [side_of(pool, pool.file(committed(pool, RICH.replace("SMOOTH", "False")).id)) for pool in pools]
    same = compare_across(*sides)
    assert same.different == ()
    smooth = committed(pools[1], RICH.replace("SMOOTH", "True").replace("segments = 2", "segments = 3"))
    other = compare_across(sides[0], side_of(pools[1], pools[1].file(smooth.id)))
    assert other.different == ("mesh:Rich use_smooth", "object:Rich modifiers['Round'].segments: 2 → 3")


def test_an_edit_that_changes_nothing_changes_nothing_in_a_scene_of_an_older_blender(pools: tuple[Pool, Pool]) -> None:
    head = committed(pools[0], RICH.replace("SMOOTH", "False"))
    baseline = take_baseline(pools[1], head, pools[0])
    assert baseline is not None and baseline.rebuilt, baseline
    assert take_baseline(pools[1], head, pools[0]) is None, "it is taken once"
    assert committed(pools[1], "pass", head) == head
    moved = committed(pools[1], "bpy.data.objects['Rich'].location.x = 2", head)
    assert moved.parent == head.id and moved.blender == pools[1].blender.version
    with pytest.raises(SetupFailed, match="newer than this one"):
        committed(pools[0], "pass", moved)


def test_a_scene_whose_program_the_newer_one_cannot_run_is_gone_on_with_as_it_opens_it(
    pools: tuple[Pool, Pool],
) -> None:
    source = RICH.replace("SMOOTH", "False") + (
        "material = bpy.data.materials['One']\nmaterial.use_nodes = True\n"
        "material.node_tree.nodes['Principled BSDF'].inputs['Specular'].default_value = 0.25\n"
    )
    head = committed(pools[0], source)
    baseline = take_baseline(pools[1], head, pools[0])
    assert baseline is not None and not baseline.rebuilt
    assert "edit 1 (made) failed" in baseline.names[0] and "Specular" in baseline.names[0]
    assert f"as Blender {pools[1].blender.version} opens it" in baseline.told()
    assert committed(pools[1], "pass", head) == head
    look = "sockets = bpy.data.materials['One'].node_tree.nodes['Principled BSDF'].inputs\n" + (
        "assert abs(sockets['Specular IOR Level'].default_value - 0.25) < 1e-6"
    )
    assert committed(pools[1], look, head) == head


GLOSS = """\
import bpy
material = bpy.data.materials.new("Paint")
material.use_nodes = True
material.use_fake_user = True
inputs = material.node_tree.nodes["Principled BSDF"].inputs
inputs["Roughness"].default_value = 0.3
if "Specular" in inputs:
    inputs["Specular"].default_value = VALUE
"""
LOST = "node Principled BSDF input Specular IOR Level: 0.2 → 0.5"


def test_a_rebuilt_scene_that_lost_what_somebody_had_set_does_not_stand_in_for_the_old_one(
    pools: tuple[Pool, Pool],
) -> None:
    kept = take_baseline(pools[1], committed(pools[0], GLOSS.replace("VALUE", "0.5")), pools[0])
    assert kept is not None and kept.rebuilt and not kept.untold, kept
    assert "material node Principled BSDF input IOR: 1.45 → 1.5" in kept.names, "nobody has set that"
    head = committed(pools[0], GLOSS.replace("VALUE", "0.2"))
    baseline = take_baseline(pools[1], head, pools[0])
    assert baseline is not None and not baseline.rebuilt
    assert baseline.names == (f"material:Paint {LOST}",)
    look = "value = bpy.data.materials['Paint'].node_tree.nodes['Principled BSDF'].inputs['Specular IOR Level']\n"
    assert committed(pools[1], f"import bpy\n{look}assert abs(value.default_value - 0.2) < 1e-6", head) == head


def test_without_the_one_that_made_a_scene_what_may_have_been_lost_is_told_by_name(pools: tuple[Pool, Pool]) -> None:
    baseline = take_baseline(pools[1], committed(pools[0], GLOSS.replace("VALUE", "0.2")), None)
    assert baseline is not None and baseline.rebuilt and not baseline.names
    assert f"material {LOST}" in baseline.untold
    assert f"lost if it was set, which only Blender {pools[0].blender.version} could tell" in baseline.told()


def test_no_way_leads_a_newer_ones_file_into_an_older_blender(
    pools: tuple[Pool, Pool], newest: Blender, tmp_path: Path
) -> None:
    folder = tmp_path / "box"
    with Box(folder, blender=str(newest.executable), standby=False) as box:
        kept = box.run("bpy.ops.mesh.primitive_cube_add()").snapshot
        assert kept is not None
        file = box.store.path(kept.id)
    with Box(folder, blender=str(pools[0].blender.executable), standby=False) as box:
        with pytest.raises(SetupFailed, match=rf"saved by Blender {newest.version}, newer than this one"):
            box.restore(kept.id)
        assert box.inspect()["objects"] == []
    made_by_newer = pools[1].file(committed(pools[1], RICH.replace("SMOOTH", "False")).id)
    for path in (file, made_by_newer):
        worker = pools[0].boot()
        with pytest.raises(SetupFailed, match="newer than this one"):
            worker.restore(path)
        assert not worker.ended, "it never saw the file"
        pools[0].retire(worker)
