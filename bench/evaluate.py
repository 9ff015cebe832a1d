"""Times `evaluate --weight-free` on drawn pictures, and tells whether its memory grows with them.

Usage, from the checkout's folder:

    .venv/bin/python bench/evaluate.py [--pictures 100]

Seconds and MiB are of the machine that it runs on, with all that else runs there; CPU seconds are the command's own,
of all its processes. Each picture is measured five times: its run's render and the four trivial answers to it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageDraw

SIZE_PX = 512
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100)
    options = parser.parse_args()
    print("| pictures | s | CPU s | ms CPU a pair | peak MiB, all processes |\n| --- | --- | --- | --- | --- |")
    for count in (max(4, options.pictures // 4), options.pictures):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                draw_run(Path(folder) / "runs" / f"run{number:03d}", number)
            seconds, cpu_s, mib = timed(Path(folder))
        print(f"| {count} | {seconds:.1f} | {cpu_s:.1f} | {1000 * cpu_s / (5 * count):.0f} | {mib:.0f} |", flush=True)
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def draw_run(folder: Path, number: int) -> None:
    """A run's folder, as far as an evaluation looks at it: every second one of a cut-out."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(number)
    picture = Image.new("RGBA", (SIZE_PX, SIZE_PX), (0, 0, 0, 0) if number % 2 else (90, 110, 130, 255))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, size = map(int, random.integers((40, 40, 20), (SIZE_PX - 140, SIZE_PX - 140, 100)))
        colour = (*(int(level) for level in random.integers(0, 256, 3)), 255)
        draw.ellipse((x, y, x + size, y + size), fill=colour)
    picture.save(folder / "reference.png")
    pixels = np.array(picture).astype(np.float64)
    pixels[..., :3] += random.normal(0.0, 12.0, (SIZE_PX, SIZE_PX, 3))
    Image.fromarray(np.roll(pixels.clip(0, 255).astype(np.uint8), 3, axis=1)).save(folder / "render.png")
    digest = hashlib.sha256((folder / "reference.png").read_bytes()).hexdigest()
    entry = {"event": "run", "image": digest, "source": f"{folder.name}.png"}
    (folder / "journal.jsonl").write_text(json.dumps(entry) + "\n")
    (folder / "result.json").write_text(json.dumps({"status": "accepted", "spent": {"calls": 1, "tokens": 1}}))


def timed(folder: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident MiB (shared pages counted once each process) of one evaluation."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "agent", "evaluate", str(folder / "runs"), "--out", str(folder / "out")]
    command += ["--weight-free", "--renders-alone"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        peak: list[float] = [0.0]
        watch = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watch.start()
        if process.wait() != 0:
            sys.exit("evaluate failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu_s, peak[0] / 2**20


def _watch(pid: int, peak: list[float]) -> None:
    while psutil.pid_exists(pid):
        try:
            root = psutil.Process(pid)
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in (root, *root.children(recursive=True))))
        except psutil.Error:
            pass
        time.sleep(0.1)


if __name__ == "__main__":
    main()
