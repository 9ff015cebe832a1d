"""A box in small, as a program of its own: one edit and one picture in a Blender, and what came of it as JSON.

boxed_once.py BLENDER LEVEL
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from protocol.errors import SetupFailed
from sandbox.box import Box
from sandbox.discovery import find_blender

CODE = "bpy.ops.mesh.primitive_monkey_add()\nprint(bpy.app.binary_path)"


def main(wanted, level):
    try:
        blender = find_blender(wanted)
        with Box(blender=wanted, level=level, standby=False) as box:
            outcome = box.run(CODE)
            picture = box.render(width_px=32, height_px=32, samples=1)
    except SetupFailed as error:
        return {"refused": f"{error.message} {error.remedy}"}
    return {
        "kind": outcome.kind,
        "message": outcome.message,
        "level": str(box.level),
        "picture": picture.startswith(b"\x89PNG"),
        "program": blender.facts.program,
        "flags": blender.facts.flags,
        "uid": os.getuid(),
        "home": os.environ.get("HOME"),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
