"""Runs of the command line with a scripted model, in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
SCRIPTED = HERE / "run_scripted.py"
ENVIRONMENT = {**os.environ, "BLENDER": "", "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"}


def draw_box(path):
    """A cut-out of a red square."""
    image = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((30, 30, 66, 66), fill=(180, 30, 30, 255))
    image.save(path)
    return path


def start(*arguments, asked, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPTED), *map(str, arguments)],
        env={**ENVIRONMENT, "ASKED": str(asked), **environment},
        capture_output=True,
        text=True,
        timeout=110,
    )


def entries(folder):
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
