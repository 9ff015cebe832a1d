"""The box as a library, with a real Blender: what its documentation shows works as it stands there."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

import sandbox
from sandbox import Box

pytestmark = pytest.mark.blender
ROOT = Path(__file__).resolve().parents[2]


def test_the_documented_example_runs(blender, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLENDER", "wheel")
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "box.md").read_text(), re.DOTALL)
    seen: dict = {}
    exec(example, seen)
    with Image.open(tmp_path / "monkey.png") as picture:
        assert picture.size == (512, 512) and len(picture.getcolors(1 << 20)) > 100
    assert seen["refused"].kind == "violation" and "Suzanne" in seen["refused"].message


def test_snapshots_of_a_folder_can_be_gone_back_to_by_another_box(blender, tmp_path):
    with Box(tmp_path, blender="wheel", standby=False) as box:
        made = box.run("bpy.ops.mesh.primitive_cube_add(); bpy.context.object.name = 'Cup'")
        assert made.kind == "committed"
        assert box.run("bpy.data.objects.remove(bpy.data.objects['Cup'])", required={"Cup"}).kind == "missing_object"
    with Box(tmp_path, blender="wheel", standby=False) as box:
        assert box.inspect()["objects"] == []
        box.restore(made.snapshot.id)
        assert [one["name"] for one in box.inspect()["objects"]] == ["Cup"]
        with Image.open(io.BytesIO(box.render(width_px=64, height_px=32, samples=1))) as picture:
            assert picture.size == (64, 32)
    assert not list(tmp_path.glob("snapshots/.draft*"))


def test_everything_that_is_offered_exists():
    for name in sandbox.__all__:
        assert getattr(sandbox, name) is not None
    with pytest.raises(AttributeError, match="offers no 'nothing'"):
        _ = sandbox.nothing
