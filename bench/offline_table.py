"""Runs the offline model on pictures and writes a Markdown table of what it scored. Usage, from the checkout's folder:

    .venv/bin/python bench/offline_table.py --out DIR PICTURE … > table.md

DIR keeps every run folder and, beside its render, `turned.png`: the scene from a camera turned by 60°. A picture whose
run folder is already there is not run again. Seconds and MiB are of the machine that it runs on; all else repeats.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from protocol.models import OrbitView, RenderRequest
from sandbox.discovery import find_blender
from sandbox.limits import Limits
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore

BACKDROP = {"Ground", "Wall"}
"""What the offline model calls what things stand on and before; left out of the turned view."""

HEAD = (
    "| picture | kind | flat dB | scaffold dB | final dB | scaffold SSIM | final SSIM | IoU | turned | rebuild "
    "| s | MiB |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--blender", default="wheel")
    options = parser.parse_args()
    rows = []
    print(HEAD, flush=True)
    for picture in options.pictures:
        row = _row(picture, options.out / _name(picture), options)
        rows.append(row)
        print(_line(row), flush=True)
    _summary([row for row in rows if "failed" not in row])


def _name(picture: Path) -> str:
    return picture.parent.name if picture.stem == "reference" else picture.stem


def _row(picture: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"name": _name(picture)}
    facts = folder / "bench.json"
    if not facts.exists():
        seconds, mib, said = _run(picture, folder, options)
        if not (folder / "result.json").exists():
            return {**row, "failed": said.strip().splitlines()[-1] if said.strip() else "no output"}
        facts.write_text(json.dumps({"seconds": seconds, "mib": mib, "turned": _turned(folder, options.blender)}))
    metrics, result = (json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "result"))
    scaffold = metrics["stages"][0]["measures"]
    return {**row, **json.loads(facts.read_text()), "metrics": metrics, "scaffold": scaffold, "result": result}


def _run(picture: Path, folder: Path, options: argparse.Namespace) -> tuple[float, float, str]:
    """Seconds, peak resident MiB of the whole process tree (shared pages counted once each process), and output."""
    began, peak = time.monotonic(), 0
    command = [sys.executable, "-m", "agent", "run", str(picture), "--out", str(folder), "--model", "offline"]
    command += ["--preset", options.preset, "--blender", options.blender]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while process.poll() is None:
            peak = max(peak, _tree_bytes(process.pid))
            time.sleep(0.2)
        assert process.stdout is not None
        said = process.stdout.read().decode(errors="replace")
    return round(time.monotonic() - began, 1), round(peak / 2**20), said


def _tree_bytes(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                pass
    except psutil.Error:
        pass
    return total


def _turned(folder: Path, blender: str) -> float:
    """Render the scene turned by 60°; the area of its silhouette there as a part of that in the target view."""
    store = SnapshotStore(folder / "snapshots")
    delivered = json.loads((folder / "result.json").read_text())["snapshot"]
    nodes = json.loads((folder / "scene_graph.json").read_text())["nodes"]
    things = tuple(node["name"] for node in nodes if node["parent"] is None and node["name"] not in BACKDROP)
    with Pool(find_blender(blender), Limits(), store, folder / "logs", standby=False) as pool:
        with pool.session(store.get(delivered)) as session:
            areas = []
            for turn, name in ((0.0, "front.png"), (60.0, "turned.png")):
                request = RenderRequest(
                    view=OrbitView(azimuth_deg=turn, focus=things[0] if things else ""),
                    width_px=384,
                    height_px=384,
                    samples=32,
                    transparent=True,
                    isolate=things,
                )
                png = session.call(request)[1][0]
                (folder / name).write_bytes(png)
                areas.append(int((np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[..., 3] > 127).sum()))
    return round(areas[1] / max(1, areas[0]), 2)


def _line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"| {row['name']} | failed: {row['failed']} |"
    metrics, scaffold, final = row["metrics"], row["scaffold"], row["metrics"]["final"]
    cells = (
        row["name"], metrics["picture"]["kind"], f"{metrics['flat_picture']['psnr_db']:.2f}",
        f"{scaffold['psnr_db']:.2f}", f"{final['psnr_db']:.2f}", f"{scaffold['ssim']:.3f}", f"{final['ssim']:.3f}",
        "–" if final["iou"] is None else f"{final['iou']:.3f}", f"{row['turned']:.2f}",
        row["result"]["proof"]["outcome"], f"{row['seconds']:.0f}", f"{row['mib']:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _summary(rows: list[dict[str, Any]]) -> None:
    for kind in ("cutout", "full"):
        some = [row for row in rows if row["metrics"]["picture"]["kind"] == kind]
        if some:
            final = [row["metrics"]["final"] for row in some]
            mean = {
                "flat": np.mean([row["metrics"]["flat_picture"]["psnr_db"] for row in some]),
                "scaffold": np.mean([row["scaffold"]["psnr_db"] for row in some]),
                "final": np.mean([one["psnr_db"] for one in final]),
                "scaffold SSIM": np.mean([row["scaffold"]["ssim"] for row in some]),
                "final SSIM": np.mean([one["ssim"] for one in final]),
            }
            if kind == "cutout":
                mean["IoU"] = np.mean([one["iou"] for one in final])
            print(f"\nMean of {len(some)} {kind}: " + ", ".join(f"{name} {value:.3f}" for name, value in mean.items()))


if __name__ == "__main__":
    main()
