"""What a user can get wrong ends in one clear message and the documented exit code, never in a traceback."""

import ast
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from sandbox.folders import ROOT


def seig(*arguments, cwd=ROOT, **environment):
    ended = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "ANTHROPIC_API_KEY": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (32, 32), (200, 40, 40)).save(path)
    return path


def said(ended):
    lines = [line for line in ended.stderr.splitlines() if line.startswith("seig: ")]
    assert len(lines) == 1, ended.stderr
    return lines[0]


def test_help_lists_the_commands_and_exit_codes():
    ended = seig("--help")
    assert ended.returncode == 0
    for word in ("run", "calibrate", "evaluate", "resume", "show", "verify", "doctor", "blenders", "exit codes", "75"):
        assert word in ended.stdout


@pytest.mark.parametrize("arguments", [(), ("fly",), ("run",), ("run", "x.png", "--rollouts", "many"), ("show",)])
def test_a_wrong_command_line_exits_64(arguments):
    assert seig(*arguments).returncode == 64


@pytest.mark.parametrize(
    ("name", "content"), [("missing.png", None), ("empty.png", b""), ("text.png", b"hello"), ("folder.png", "folder")]
)
def test_a_picture_that_cannot_be_read_exits_65_and_names_it(tmp_path, name, content):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    ended = seig("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 65
    assert name in said(ended)
    assert not (tmp_path / "out").exists()


def test_a_setting_out_of_range_exits_64_as_an_option_and_78_in_a_file(picture, tmp_path):
    ended = seig("run", picture, "--rollouts", "99", "--out", tmp_path / "out")
    assert ended.returncode == 64
    assert "--rollouts" in said(ended)
    (tmp_path / "seig.toml").write_text("rollouts = 99")
    ended = seig("run", picture, "--config", tmp_path / "seig.toml", "--out", tmp_path / "out")
    assert ended.returncode == 78
    assert "seig.toml" in said(ended) and "rollouts" in said(ended)


def test_an_isolation_level_that_is_none_exits_64_and_names_them_all(picture, tmp_path):
    ended = seig("run", picture, "--require-level", "L7", "--out", tmp_path / "out")
    assert ended.returncode == 64
    assert "--require-level" in said(ended) and "L3 (sandboxed)" in said(ended)


@pytest.mark.blender
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is only L0")
@pytest.mark.parametrize("option", ["--level", "--require-level"])
def test_a_level_out_of_reach_exits_69_with_the_remedy_before_anything_is_written(blender, picture, tmp_path, option):
    ended = seig("run", picture, "--blender", "wheel", option, "L3", "--out", tmp_path / "out", PATH=str(tmp_path))
    assert ended.returncode == 69
    assert "L3 (sandboxed)" in said(ended) and "apt-get install bubblewrap" in said(ended)
    assert not (tmp_path / "out").exists()


def test_claude_without_a_key_exits_78_and_says_the_ways_out(picture, tmp_path):
    ended = seig("run", picture, "--model", "claude", "--out", tmp_path / "out")
    assert ended.returncode == 78
    assert "ANTHROPIC_API_KEY" in said(ended) and "--model offline" in said(ended)


def test_no_such_blender_exits_69_and_names_it(picture, tmp_path):
    ended = seig("run", picture, "--blender", tmp_path / "no-blender", "--out", tmp_path / "out")
    assert ended.returncode == 69
    assert "no-blender" in said(ended)


def test_a_blender_too_old_exits_69_and_says_which_is_needed(picture, tmp_path):
    old = tmp_path / "blender"
    old.write_text("#!/bin/sh\necho 'Blender 2.79 (sub 0)'\n")
    old.chmod(0o755)
    ended = seig("run", picture, "--blender", old, "--out", tmp_path / "out")
    assert ended.returncode == 69
    assert "2.93" in said(ended)


def test_an_output_folder_that_is_a_file_or_holds_other_things_exits_64(picture, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("mine")
    for out in (file, full, file / "below"):
        ended = seig("run", picture, "--out", out)
        assert ended.returncode == 64, ended.stderr
        assert str(out) in said(ended)
    assert (file.read_text(), (full / "thesis.tex").read_text()) == ("mine", "mine")
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("out", ["/proc/nowhere/out", f"/tmp/{'long' * 100}/out"])
def test_an_output_folder_that_cannot_be_written_exits_69_before_a_blender_is_looked_for(picture, out):
    ended = seig("run", picture, "--out", out, "--blender", "/no/blender")
    assert ended.returncode == 69
    assert f"output folder {out} cannot be written to" in said(ended) and "Choose another OUT" in said(ended)


def test_a_run_that_cannot_begin_leaves_no_folder(picture, tmp_path):
    assert seig("run", picture, "--out", tmp_path / "new" / "out", "--blender", "/no/blender").returncode == 69
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("image", "way_out"), [("", "Give the path"), ("https://example.org/a.png", "Download it first")]
)
def test_a_picture_that_is_no_path_exits_64_and_says_what_to_give(image, way_out):
    ended = seig("run", image)
    assert ended.returncode == 64
    assert way_out in said(ended)


def test_a_picture_whose_name_begins_with_a_dash_is_read_after_two_dashes(picture, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    picture.rename(tmp_path / "-picture.png")
    ended = seig("run", "--blender", "/no/blender", "--", "-picture.png", cwd=tmp_path)
    assert ended.returncode == 69 and "/no/blender" in said(ended)
    ended = seig("run", "--", "-absent.png", cwd=tmp_path)
    assert ended.returncode == 65 and "-absent.png" in said(ended)


@pytest.mark.parametrize("command", ["resume", "show", "verify"])
def test_a_folder_without_a_run_exits_64(tmp_path, command):
    ended = seig(command, tmp_path)
    assert ended.returncode == 64
    assert "holds no run" in said(ended)


def test_show_tells_an_unfinished_run_and_how_to_go_on(tmp_path):
    entry = {"event": "run", "version": 1, "config": {}, "source": "a.png", "blender": "4.5.0"}
    (tmp_path / "journal.jsonl").write_text(json.dumps(entry) + "\n")
    ended = seig("show", tmp_path)
    assert ended.returncode == 0
    assert f"make resume OUT={tmp_path}\n" in ended.stdout
    assert json.loads(seig("show", tmp_path, "--json").stdout)["status"] == "unfinished"


def test_a_recording_that_holds_no_replies_exits_78(picture, tmp_path):
    ended = seig("run", picture, "--model", "recorded", "--recording", tmp_path, "--out", tmp_path / "out")
    assert ended.returncode == 78
    assert "recorded replies" in said(ended)


@pytest.mark.parametrize("text", ["judge=m", "=m", "verifier="])
def test_a_model_for_no_role_exits_64_and_names_the_roles(picture, text):
    ended = seig("run", picture, "--claude-model", text)
    assert ended.returncode == 64
    assert "generator, verifier, selector, decomposer" in ended.stderr


def test_the_roles_that_may_be_named_are_those_that_there_are():
    from typing import get_args

    from agent.cli import ROLES
    from agent.models.base import Role

    assert set(ROLES) == set(get_args(Role))


def test_the_kinds_of_graphics_card_that_may_be_asked_for_are_those_that_blender_is_asked_for():
    from typing import get_args

    from protocol.gpu import GpuKind

    compat = ast.parse((ROOT / "blender_server" / "compat.py").read_text(encoding="utf-8"))
    (known,) = [one.value for one in compat.body if isinstance(one, ast.Assign) and one.targets[0].id == "GPU_KINDS"]
    assert ast.literal_eval(known) == get_args(GpuKind)
