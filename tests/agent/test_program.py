"""scene.py holds the edits exactly, reads well, and needs nothing but Blender."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from needs import lacking

from agent.rebuild.program import program_text, source_literal
from sandbox import wheels
from sandbox.snapshots import Edit

ROOT = Path(__file__).parents[2]
WHEEL = wheels.environment(wheels.DEFAULTS[0]) / "bin" / "python"
BINARY = shutil.which("blender")
COMMANDS = {
    "wheel": [str(WHEEL), "-I", "scene.py"],
    "binary": [BINARY or "blender", "-b", "--factory-startup", "-P", "scene.py", "--"],
}
MISSING = {"wheel": not WHEEL.exists(), "binary": BINARY is None}


def edit(source: str, **changes: Any) -> Edit:
    values = {"index": 1, "label": "an edit", "stage": "geometry", "round": 1, "seed": 7, "source": source}
    return Edit(**(values | changes))


def edits_in(program: str) -> list[dict[str, Any]]:
    """What the program's EDITS hold, read as Python reads the file."""
    found = []
    for node in ast.parse(program.encode("utf-8")).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            item = node.value.args[0]
            assert isinstance(item, ast.Dict)
            found.append(eval(compile(ast.Expression(item), "item", "eval"), {"__builtins__": {}}))
    return found


tricky = st.text(alphabet=st.sampled_from("'\"\\\n\r\t\0 abr{}é√\u2028\ufeff\ud800\x0c\x1a"), max_size=40)


@given(source=st.one_of(tricky, st.text(st.characters(), max_size=200)))
@example("r'''\n\"\"\"\\")
@example("ends in a backslash \\")
@example("ends in a quote '")
@example("'''")
@example("'''\"\"\"\n\n")
@example("\r\n")
@example("")
@example("\n")
def test_any_text_is_carried_exactly(source: str) -> None:
    program = program_text([edit(source)], title="t", blender="4.5.15")
    assert edits_in(program)[0]["source"] == source


@given(label=st.one_of(tricky, st.text(max_size=40)), title=st.one_of(tricky, st.text(max_size=40)))
def test_any_label_and_title_leave_the_program_whole(label: str, title: str) -> None:
    program = program_text([edit("pass", label=label)], title=title, blender="4.5.15")
    assert edits_in(program)[0]["label"] == label


def test_ordinary_code_stands_as_it_was_written() -> None:
    source = 'import bpy\n\ndef rim(radius):\n    """A raised edge."""\n    return "\\t" * radius\n'
    assert source in program_text([edit(source)], title="t", blender="4.5.15")


def test_code_with_both_kinds_of_triple_quotes_is_carried_line_by_line() -> None:
    literal = source_literal("a = '''x'''\nb = \"\"\"y\"\"\"\n")
    lines = [line.strip() for line in literal.splitlines()]
    assert len(lines) == 4 and lines[1].startswith('"a = ') and lines[2].startswith("'b = ")


def test_every_edit_keeps_its_seed_label_and_slots_in_order() -> None:
    edits = [edit("a", seed=11, label="first"), edit("b", seed=12, label="second", keep_slots=True)]
    found = edits_in(program_text(edits, title="t", blender="4.5.15"))
    assert [(item["seed"], item["label"], item["keep_slots"]) for item in found] == [
        (11, "first", False),
        (12, "second", True),
    ]


def test_the_program_imports_nothing_of_ours() -> None:
    program = program_text([edit("pass")], title="t", blender="4.5.15")
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(program, feature_version=(3, 7)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported - set(sys.stdlib_module_names) == {"bpy", "numpy"}, "numpy only where it is there"


def test_the_same_edits_give_the_same_text() -> None:
    assert program_text([edit("x")], title="t", blender="4.5.15") == program_text(
        [edit("x")], title="t", blender="4.5.15"
    )


# ── in Blender ────────────────────────────────────────────────────────────────────────────────────────────────────────
def run(kind: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a folder without our code, with an environment that does not lead to it."""
    if MISSING[kind]:
        lacking(f"no Blender {kind} here")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    command = [*COMMANDS[kind], *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def write(folder: Path, sources: Sequence[str]) -> None:
    edits = [edit(source, index=i, label=f"step “{i}”") for i, source in enumerate(sources, start=1)]
    (folder / "scene.py").write_text(program_text(edits, title="A test", blender="4.5.15"), encoding="utf-8")


BUILD = ["import bpy\nbpy.ops.mesh.primitive_cube_add()\nbpy.context.object.name = 'Cup'\n",
         "import bpy, sys\nbpy.data.objects['Cup'].location.x = 2.5\n"
         "ours = {'agent', 'protocol', 'sandbox', 'blender_server'}\n"
         "assert not ours & {name[:14] for name in sys.modules}\n",
         "import bpy\nbpy.data.objects['Cup'].scale.z = 3\nprint('scale set — ü')\n"]  # fmt: skip

CHECK = """\
import bpy
cup = bpy.data.objects["Cup"]
assert (cup.location.x, cup.scale.z) == (2.5, 3.0), (cup.location, cup.scale)
assert len(bpy.data.objects) == 1 and len(cup.data.vertices) == 8
print("CHECKED")
"""


@pytest.mark.blender
@pytest.mark.parametrize("kind", COMMANDS)
def test_the_program_builds_and_saves_the_scene_with_blender_alone(tmp_path: Path, kind: str) -> None:
    write(tmp_path, BUILD)
    done = run(kind, tmp_path, "--save", "out file.blend")
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "scene.py").write_text(
        "import bpy\nbpy.ops.wm.open_mainfile(filepath='out file.blend')\n" + CHECK, encoding="utf-8"
    )
    assert "CHECKED" in run(kind, tmp_path).stdout


@pytest.mark.blender
@pytest.mark.parametrize("kind", COMMANDS)
def test_an_edit_that_fails_is_named_and_the_exit_code_says_so(tmp_path: Path, kind: str) -> None:
    write(tmp_path, [BUILD[0], "raise KeyError('no such thing')"])
    done = run(kind, tmp_path, "--save", "out.blend")
    assert done.returncode == 1
    assert "edit 2 (step “2”) failed: KeyError('no such thing')" in done.stderr
    assert not (tmp_path / "out.blend").exists()


@pytest.mark.blender
@pytest.mark.parametrize("kind", COMMANDS)
def test_an_edit_that_exits_does_not_pass_for_success(tmp_path: Path, kind: str) -> None:
    write(tmp_path, [BUILD[0], "import sys; sys.exit(0)"])
    assert run(kind, tmp_path, "--save", "out.blend").returncode == 1


@pytest.mark.blender
@pytest.mark.parametrize("kind", COMMANDS)
def test_without_a_file_to_save_the_scene_is_only_built_and_wrong_options_are_refused(
    tmp_path: Path, kind: str
) -> None:
    write(tmp_path, BUILD)
    assert run(kind, tmp_path).returncode == 0
    assert not list(tmp_path.glob("*.blend"))
    done = run(kind, tmp_path, "--safe", "out.blend")
    assert done.returncode != 0 and "usage: scene.py" in done.stderr
