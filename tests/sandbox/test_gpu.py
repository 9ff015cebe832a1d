"""Graphics cards: tried by a Blender that runs nobody's code, given up where that fails; their kernels are kept.

A fake Blender stands in for one with a card; the last test needs a real one.
"""

import io
import sys

import numpy as np
import pytest
from box_helpers import Editor, assert_nothing_left
from fake_blender import fake
from needs import absent
from PIL import Image

from protocol.models import InspectRequest, PresetView, RenderRequest
from sandbox import kernels
from sandbox.limits import Limits
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore

PICTURE = RenderRequest(view=PresetView(side="three_quarter"), width_px=32, height_px=32, samples=4)

WITH_A_CARD = '''
import sys
server.instead["execute"] = 'server.reply(id, method, {"stdout": "", "duration_s": 0.0})'
server.instead["render"] = """
import os, pathlib, sys
cache = pathlib.Path(os.environ["CUDA_CACHE_PATH"])
notes = ["found " + (cache / "kernel").read_text()] if cache.is_dir() else []
cache.mkdir(parents=True, exist_ok=True)
(cache / "kernel").write_text("kernels of " + ("others" if notes else "the first"))
device = "CUDA: Card" if sys.argv[-1] in ("any", "CUDA") else "CPU"
made = {"engine": "cycles", "samples": 4, "device": device, "denoised": True, "notes": notes}
server.reply(id, method, {"width_px": 32, "height_px": 32, "duration_s": 0.1, "made": made}, (b"",))
"""
'''
WITHOUT_ONE = """
server.instead["execute"] = 'server.reply(id, method, {"stdout": "", "duration_s": 0.0})'
if "--gpu" in __import__("sys").argv:
    server.instead["render"] = "__import__('os').abort()"
else:
    server.instead["inspect"] = 'server.reply(id, method, {"what": {"gpu": False}})'
"""


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Where kernels are kept."""
    monkeypatch.setattr(kernels, "state_folder", lambda: tmp_path)
    return tmp_path / "kernels"


def a_pool(blender, folder, said, **settings):
    return Pool(blender, Limits(), SnapshotStore(folder / "snapshots"), folder / "logs", say=said.append, **settings)


def test_kernels_are_kept_from_the_first_picture_and_each_later_blender_has_a_copy_of_its_own(tmp_path, kept):
    blender, said = fake(tmp_path, at_boot=WITH_A_CARD), []
    for gpu in (True, "CUDA"):
        with a_pool(blender, tmp_path, said, gpu=gpu) as pool:
            assert pool.device == "CUDA: Card"
            with pool.session() as session:
                notes = session.call(PICTURE)[0].made.notes
                assert notes == ("found kernels of the first",)
                assert session.call(PICTURE)[0].made.notes == ("found kernels of others",)  # its own: nobody else's
        assert_nothing_left(pool.folder)
        assert [file.read_text() for file in kept.rglob("kernel")] == ["kernels of the first"]
    assert said == ["pictures are made by CUDA: Card"] * 2


def test_a_card_over_which_blender_is_lost_is_given_up_and_said(tmp_path, kept):
    said = []
    with a_pool(fake(tmp_path, at_boot=WITHOUT_ONE), tmp_path, said, gpu=True) as pool, pool.session() as session:
        assert pool.device == "CPU"
        assert session.call(InspectRequest(subject="scene"))[0].what == {"gpu": False}
    assert len(said) == 1 and said[0].startswith("A first picture by the graphics card failed (render: ")
    assert said[0].endswith("so the processor renders.") and not kept.exists()


def test_a_folder_that_cannot_keep_kernels_costs_only_them(tmp_path, monkeypatch):
    def refuse():
        raise OSError("there is no folder to keep things in")

    monkeypatch.setattr(kernels, "state_folder", refuse)
    with a_pool(fake(tmp_path, at_boot=WITH_A_CARD), tmp_path, [], gpu=True) as pool, pool.session() as session:
        assert session.call(PICTURE)[0].made.notes == ()


@pytest.mark.blender
def test_a_kind_of_card_that_is_not_here_is_said_and_the_processor_renders(blender, tmp_path):
    said, kind = [], "METAL" if sys.platform == "linux" else "HIP"
    with a_pool(blender, tmp_path, said, gpu=kind, standby=False) as pool:
        assert pool.device == "CPU"
    assert said == [f"Cycles finds no graphics card to use by {kind} here, so the processor rendered."]


@pytest.mark.blender
@pytest.mark.timeout(1200)
def test_a_graphics_card_makes_the_picture_that_the_processor_makes(blender, tmp_path):
    if not blender.facts.gpus:
        absent("no graphics card that Cycles can use here")
    scene = "import bpy; bpy.ops.mesh.primitive_monkey_add(); bpy.ops.object.light_add(location=(2, -3, 4)); "
    scene += "bpy.context.preferences.addons['cycles'].preferences.compute_device_type = 'NONE'"
    seen = []
    for gpu in (False, True):
        with a_pool(blender, tmp_path, [], gpu=gpu, standby=False) as pool, pool.session() as session:
            assert Editor(session)(scene).kind == "committed"
            reply, payloads = session.call(PICTURE.model_copy(update={"samples": 64}), 300)
            assert (reply.made.device != "CPU") == gpu
            with Image.open(io.BytesIO(payloads[0])) as image:
                seen.append(np.asarray(image.convert("RGB"), dtype=float) / 255)
    assert np.abs(seen[0] - seen[1]).mean() < 0.02
