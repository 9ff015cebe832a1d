"""Renders by processor and by graphics card through the real box, at each level of isolation that holds here.

    BLENDER=/path/to/blender .venv/bin/python bench/gpu_check.py [--gpu-kind CUDA] [--level L1 …]

Prints what made each picture, how long it took and how far the two are apart. Exit code 1 where a level's picture was
not made by a graphics card, or looks different. The first picture compiles kernels, which can take minutes.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protocol.errors import BlenderError
from protocol.gpu import GpuKind
from protocol.models import Gpu, Made, PresetView, RenderReply, RenderRequest
from sandbox.confinement import probes
from sandbox.confinement.levels import Level
from sandbox.discovery import Blender, find_blender
from sandbox.limits import Limits
from sandbox.pool import Pool
from sandbox.snapshots import Edit, SnapshotStore
from sandbox.transaction import FACTORS, SceneSession

SCENE = """
import bpy
bpy.ops.mesh.primitive_monkey_add(location=(0, 0, 1))
bpy.ops.object.modifier_add(type="SUBSURF")
bpy.ops.mesh.primitive_plane_add(size=12)
for name, color in (("Suzanne", (0.6, 0.2, 0.1, 1)), ("Plane", (0.2, 0.3, 0.5, 1))):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
    bpy.data.objects[name].data.materials.append(made)
bpy.ops.object.light_add(type="AREA", location=(3, -4, 5), rotation=(0.7, 0, 0.6))
bpy.context.object.data.energy = 600
bpy.context.preferences.addons["cycles"].preferences.compute_device_type = "NONE"
"""
"""The last line: what generated code may do to the settings that a picture by a graphics card needs."""
LIMITS = Limits()
MOST_APART = 0.02
"""Mean difference of pixel values, 0 to 1, that noise and denoising explain."""
Pictures = dict[str, tuple[np.ndarray, Made]]


def main() -> int:
    options = _options()
    blender = find_blender()
    gpu: Gpu = options.gpu_kind or True
    print(f"Blender {blender.version} ({blender.executable}), devices {[str(one) for one in blender.facts.devices]}")
    reach = probes.reach()
    levels = [level for level in Level if reach.holds(level) and (not options.level or str(level) in options.level)]
    by_processor = _pictures(blender, Level.PROCESS, False)
    passed = [_passes(blender, level, gpu, by_processor) for level in levels]
    return 0 if passed and all(passed) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-kind", choices=get_args(GpuKind), help="default: the best that there is")
    parser.add_argument("--level", nargs="*", help="default: all that hold here")
    return parser.parse_args()


def _passes(blender: Blender, level: Level, gpu: Gpu, by_processor: Pictures) -> bool:
    try:
        by_card = _pictures(blender, level, gpu)
    except BlenderError as error:
        print(f"{level}: FAILED: {error}\n{getattr(error, 'log_tail', '')}", flush=True)
        return False
    apart = {kind: float(np.abs(by_card[kind][0] - by_processor[kind][0]).mean()) for kind in by_card}
    used = all(made.device != "CPU" for _, made in by_card.values())
    print(f"{level}: mean difference {', '.join(f'{kind} {value:.4f}' for kind, value in apart.items())}", flush=True)
    passes = used and max(apart.values()) < MOST_APART
    reason = "" if passes else ": the pictures differ" if used else ": the graphics card was not used"
    print(f"{level}: {'ok' if passes else 'FAILED'}{reason}", flush=True)
    return passes


def _pictures(blender: Blender, level: Level, gpu: Gpu) -> Pictures:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"  {level} {time.monotonic() - began:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        store, logs = SnapshotStore(Path(folder) / "snapshots"), Path(folder) / "logs"
        try:
            with Pool(blender, LIMITS, store, logs, standby=False, level=level, gpu=gpu, say=say) as pool:
                with pool.session() as session:
                    say(f"booted; pictures by {pool.device}")
                    pictures = _of_session(session, say)
            if gpu and pool.device == "CPU":
                _print_logs(logs)
            return pictures
        except BlenderError:
            _print_logs(logs)
            raise


def _print_logs(logs: Path) -> None:
    for log in sorted(logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-8:]
        print("".join(f"    | {line}\n" for line in lines), end="", flush=True)


def _of_session(session: SceneSession, say: Callable[[str], None]) -> Pictures:
    edit = Edit(index=1, label="scene", stage="box", round=1, source=SCENE, seed=1)
    outcome = session.edit(edit, frozenset(FACTORS) - {"host"})
    if outcome.kind != "committed":
        raise SystemExit(f"the scene cannot be built: {outcome.message}")
    pictures = {}
    for kind, samples in (("plain", 2), ("denoised", 32), ("denoised again", 32)):
        asked = time.monotonic()
        request = RenderRequest(view=PresetView(side="three_quarter"), width_px=256, height_px=256, samples=samples)
        reply, payloads = session.call(request, 300)
        assert isinstance(reply, RenderReply)
        with Image.open(io.BytesIO(payloads[0])) as image:
            pictures[kind] = (np.asarray(image.convert("RGB"), dtype=float) / 255, reply.made)
        say(f"{kind}: {reply.made.told()} in {time.monotonic() - asked:.2f} s {list(reply.made.notes)}")
    return pictures


if __name__ == "__main__":
    sys.exit(main())
