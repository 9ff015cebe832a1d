"""A name given to make reaches the program as it was typed, and no part of it is taken for a command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from sandbox.folders import ROOT

NAMES = (
    "a`touch pwned`.png",
    "$(touch pwned).png",
    "$(shell touch pwned).png",
    "'; touch pwned; '.png",
    '"quoted" and it\'s.png',
    "$x and ${HOME} and $$.png",
    "Straße & Söhne (2).png",
    "-dash.png",
    "a#b\\c%d.png",
)


@pytest.fixture
def make(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / "program"
    says = 'sys.argv[1] == "-c" or print(json.dumps(sys.argv[1:]))'  # -c is make's question of how old it is
    program.write_text(f"#!{sys.executable}\nimport json, sys\n{says}\n")
    program.chmod(0o755)

    def make(*words, any_python="true"):
        command = ["make", "-s", *words, f"AGENT={program}", f"ANY_PYTHON={any_python or program}"]
        own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "ARGS"}
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=20, check=True)
        assert not (tmp_path / "pwned").exists()
        return json.loads(done.stdout)

    return make


@pytest.mark.parametrize("name", NAMES)
def test_make_run_hands_on_any_name_and_executes_none(make, name):
    said = make("run", f"IMAGE={name}", f"OUT={name}", f"MODEL={name}", f"BLENDER={name}", "ARGS=--seed 3")
    options = [f"--out={name}", f"--model={name}", f"--blender={name}", "--seed", "3"]
    assert said == ["-m", "agent", "run", *options, "--", name]


@pytest.mark.parametrize("name", NAMES)
def test_so_does_make_calibrate(make, name):
    said = make("calibrate", f"OUT={name}", f"MODEL={name}", f"BLENDER={name}", "ARGS=--stages material")
    options = [f"--out={name}", f"--model={name}", f"--blender={name}", "--stages", "material"]
    assert said == ["-m", "agent", "calibrate", *options]


@pytest.mark.parametrize("name", NAMES)
def test_so_does_make_evaluate_whose_runs_are_shell_words(make, name):
    said = make("evaluate", f"DATA={name}", f"OUT={name}", "RUNS=runs/A 'runs/B 2'", "ARGS=--compare x=y")
    assert said == [
        "-m",
        "agent",
        "evaluate",
        f"--data={name}",
        f"--out={name}",
        "runs/A",
        "runs/B 2",
        "--compare",
        "x=y",
    ]


@pytest.mark.parametrize("target", ["resume", "show", "verify"])
@pytest.mark.parametrize("name", NAMES)
def test_so_do_the_targets_that_take_a_run(make, target, name):
    blender = [] if target == "show" else [f"--blender={name}"]
    assert make(target, f"OUT={name}", f"BLENDER={name}") == ["-m", "agent", target, *blender, "--", name]


@pytest.mark.parametrize("name", NAMES)
def test_so_do_those_that_fetch(make, name):
    said = make("blender", f"VERSION={name}", f"PYTHON={name}", any_python="")
    assert said == ["-I", "sandbox/setting_up.py", "blender", f"--version={name}", f"--python={name}"]
    said = make("wheelhouse", f"DIR={name}", f"VERSION={name}")
    assert said == ["-m", "sandbox.wheelhouse", f"--version={name}", "--", name]


def test_what_is_not_given_is_not_handed_on(make):
    assert make("run", "IMAGE=a.png") == ["-m", "agent", "run", "--", "a.png"]
    assert make("wheelhouse") == ["-m", "sandbox.wheelhouse", "--", "wheels"]
    assert make("blender", any_python="") == ["-I", "sandbox/setting_up.py", "blender"]


@pytest.mark.parametrize("name", NAMES)
def test_so_do_the_targets_of_a_batch(make, name):
    manifest = f"./{name}" if name.startswith("-") else name
    for target, words in (("batch", ["batch"]), ("farm-submit", ["farm", "submit"])):
        said = make(target, f"MANIFEST={name}", f"OUT={name}", "ARGS=--at-once 2 -- --preset quick")
        options = ["--at-once", "2", "--", "--preset", "quick"]
        assert said == ["-m", "agent", *words, manifest, f"--out={name}", *options]
    for command in ("status", "collect", "retry"):
        assert make(f"farm-{command}", f"OUT={name}") == ["-m", "agent", "farm", command, "--", name]
    said = make("farm-local", f"MANIFEST={name}", f"OUT={name}", "ARGS=--preset quick")
    assert said == ["-m", "agent.farm.slurm.demonstration", manifest, f"--out={name}", "--", "--preset", "quick"]
