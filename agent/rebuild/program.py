"""Owns the text of scene.py: the edits of a scene's ancestry as one readable file that needs nothing but Blender.

The file carries `blender_server/editing.py` verbatim, so that it runs edits exactly as the server did. Whether it
rebuilds the scene indeed is left to `agent/rebuild/proof.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from string import Template

from sandbox.snapshots import Edit

WIDTH = 120


def program_text(edits: Sequence[Edit], *, title: str, blender: str) -> str:
    """The program that makes these edits in order, in an empty scene; `blender` is the version that made the scene."""
    head = _HEAD.substitute(title=_one_line(title), blender=_one_line(blender), version=repr(blender))
    parts = [head, *(_edit_text(number, edit) for number, edit in enumerate(edits, start=1))]
    runtime = resources.files("blender_server").joinpath("editing.py").read_text(encoding="utf-8")
    parts += [_banner("How edits are run") + "\n" + runtime.strip() + "\n", _banner("The program") + _MAIN]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def boxed(program: str) -> str:
    """Code that runs the program from its first line to its last in a Blender that already runs, as its user would,
    and opens what it has saved."""
    return (
        "import os, sys\n"
        "path = os.path.join(os.getcwd(), 'rebuilt.blend')\n"
        "sys.argv = ['scene.py', '--', '--save', path]\n"
        "try:\n"
        f"    exec(compile({program!r}, 'scene.py', 'exec'), {{'__name__': '__main__', '__file__': 'scene.py'}})\n"
        "except SystemExit as end:\n"
        "    raise end.__context__ or end\n"
        "bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)\n"
    )


def made_with(program: str) -> str | None:
    """The version of the Blender that made the program's scene."""
    found = re.search(r"^BLENDER = ['\"](\d+(?:\.\d+)+)['\"]$", program, re.MULTILINE)
    return found[1] if found else None


def _edit_text(number: int, edit: Edit) -> str:
    place = "" if edit.label.startswith(edit.stage) or not edit.round else f"{edit.stage} {edit.round}: "
    return (
        f"{_banner(_one_line(f'{number} · {place}{edit.label}'))}\n"
        f"EDITS.append(\n"
        f"    {{\n"
        f'        "label": {edit.label!r},\n'
        f'        "seed": {edit.seed},\n'
        f'        "keep_slots": {edit.keep_slots},\n'
        f'        "source": {source_literal(edit.source)},\n'
        f"    }}\n"
        f")\n"
    )


def source_literal(source: str) -> str:
    """A Python expression whose value is exactly `source`: as it stands where it can, else line by line.

    The line breaks next to the quotes are cut off again, so that whatever the text begins or ends with is safe.
    """
    for quotes in ("'''", '"""'):
        if quotes not in source and _survives_in_a_file(source):
            return (
                f"r{quotes}\n{source}{quotes}[1:]" if source.endswith("\n") else f"r{quotes}\n{source}\n{quotes}[1:-1]"
            )
    lines = "\n".join(f"            {line!r}" for line in source.splitlines(keepends=True))
    return f"(\n{lines or repr('')}\n        )"


def _survives_in_a_file(source: str) -> bool:
    """Reading a file turns carriage returns into line feeds, ends at a null and cannot hold half a surrogate pair."""
    return not any(char in "\r\0" or "\ud800" <= char <= "\udfff" for char in source)


def _one_line(text: str) -> str:
    """Safe in a comment and in a docstring."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(plain.replace("\\", "/").replace('"', "'").split())


def _banner(text: str) -> str:
    return f"# ── {text} ".ljust(WIDTH, "─")


_HEAD = Template('''\
"""$title

Rebuilds the scene from nothing, with nothing but the Blender that made it ($blender). With its program:

    blender -b --factory-startup -P scene.py -- --save out.blend

With its Python module (bpy):

    python scene.py --save out.blend

Without --save the scene is only built, to be looked at: blender --factory-startup -P scene.py
Below are the edits that made the scene, in their order; then the code that runs them. As when the scene was made, each
begins in a scene just opened from a file and is settled into what a saved file keeps.
"""

import argparse
import os
import sys
import tempfile
import traceback

BLENDER = $version
EDITS = []
''')

_MAIN = '''
def build(folder):
    """Make every edit in an empty scene; `folder` takes the files in between."""
    between = os.path.join(folder, "between_edits.blend")
    start_empty()
    for number, edit in enumerate(EDITS, start=1):
        reload(between)
        try:
            run_edit(edit["source"], edit["seed"], edit["keep_slots"], filename="edit {}".format(number))
            settle()
        except BaseException as error:
            raise RuntimeError("edit {} ({}) failed: {!r}".format(number, edit["label"], error)) from error


def main():
    parser = argparse.ArgumentParser(prog="scene.py", description="Rebuilds the scene.")
    parser.add_argument("--save", metavar="FILE", help="where to write the .blend")
    options = parser.parse_args(_own_arguments())
    version = ".".join(str(number) for number in bpy.app.version)
    if version != BLENDER:
        print("scene.py: made with Blender {}, this is {}".format(BLENDER, version), file=sys.stderr)
    target = os.path.abspath(options.save) if options.save else None
    with tempfile.TemporaryDirectory() as folder:
        build(folder)
    if target:
        save(target)


def _own_arguments():
    """What follows "--"; without one, everything if Python runs this file and nothing if Blender does."""
    if "--" in sys.argv:
        return sys.argv[sys.argv.index("--") + 1 :]
    return sys.argv[1:] if os.path.abspath(sys.argv[0]) == os.path.abspath(__file__) else []


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        traceback.print_exc()
        print("scene.py: {}".format(error), file=sys.stderr)
        sys.stderr.flush()
        sys.exit(1)  # Blender would report success after an exception
'''
