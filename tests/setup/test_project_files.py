"""The files that the set-up rests on: locks without addresses, targets that help lists, syntax for old Blenders."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sandbox import locking, setting_up, wheels
from sandbox.folders import REQUIREMENTS, ROOT
from sandbox.plain_syntax import problems

LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
TARGETS = {"run", "test", "check", "doctor", "setup", "help", "clean", "examples", "blender", "wheelhouse"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_with_hashes_and_names_no_address(lock):
    text = lock.read_text(encoding="utf-8")
    packages = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
    assert packages and all("==" in line and line.endswith("\\") for line in packages)
    assert text.count("--hash=sha256:") >= len(packages)
    assert not re.search(r"://|--index-url|--extra-index-url|--find-links|file:", text)


def test_the_locks_hold_every_dependency_that_the_project_declares():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]
    torch = {name for name in extras["evaluation"] if name.startswith("torch>")}
    assert torch
    for names, lock in (
        (declared["project"]["dependencies"], "agent.txt"),
        (declared["dependency-groups"]["dev"], "dev.txt"),
        (set(extras["evaluation"]) - torch, "evaluation.txt"),
        (torch, "torch.txt"),
        (extras["stand-ins"], "evaluation-files.txt"),
    ):
        text = (REQUIREMENTS / lock).read_text(encoding="utf-8")
        for name in (re.split(r"[>=<]", requirement)[0] for requirement in names):
            assert re.search(rf"^{name}==", text, re.MULTILINE), f"{name} is not in {lock}"


def test_the_tests_use_the_same_versions_as_a_run():
    def pins(name: str) -> set[str]:
        lines = (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines()
        return {line.rstrip(" \\") for line in lines if re.match(r"[a-z]", line)}

    assert pins("agent.txt") <= pins("dev.txt")


def test_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in re.findall(r"^\.PHONY: (.+)", makefile, re.MULTILINE) for name in line.split()}
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, timeout=20, check=True)
    listed = set(re.findall(r"^  (\S+) ", done.stdout.decode(), re.MULTILINE))
    assert targets == listed and targets >= TARGETS


def test_make_alone_is_help():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, timeout=20, check=True)
    assert "make run IMAGE=" in done.stdout.decode()


def test_run_without_a_picture_is_a_usage_error():
    done = subprocess.run(["make", "run"], cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert "make run IMAGE=photo.jpg" in done.stderr.decode() and "64" in done.stderr.decode()


def test_what_runs_inside_blender_parses_as_python_3_7():
    inside = [*sorted((ROOT / "blender_server").rglob("*.py")), ROOT / "sandbox" / "probe_questions.py"]
    inside += [ROOT / "protocol" / name for name in ("__init__.py", "errors.py", "wire.py")]
    assert list(problems(inside, (3, 7))) == []


def test_newer_syntax_is_told_with_its_place(tmp_path):
    newer = tmp_path / "newer.py"
    newer.write_text("x = 1\nif (y := x):\n    pass\n", encoding="utf-8")
    assert next(problems([newer], (3, 7))).startswith(f"{newer}:2: not Python 3.7")


def test_what_runs_inside_blender_imports_only_what_is_there_at_the_top_of_its_files():
    allowed = {"bpy", "bmesh", "mathutils", "zmq", "msgpack", "blender_server", "protocol", "gpu", "idprop", "_cycles"}
    for file in (ROOT / "blender_server").rglob("*.py"):
        for name in re.findall(r"^(?:from|import) ([a-zA-Z_0-9]+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in allowed or name in sys.stdlib_module_names, f"{file.name} imports {name}"


def test_the_set_up_itself_runs_on_an_old_python():
    names = ("environments", "folders", "libraries", "package_source", "pythons", "setting_up", "wheels")
    files = [ROOT / "sandbox" / f"{name}.py" for name in names]
    assert list(problems(files, (3, 8))) == []
    for file in files:
        for name in re.findall(r"^(?:from|import) ([a-zA-Z_.]+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            top, _, module = name.partition(".")
            assert module in ("", *names) if top == "sandbox" else top in sys.stdlib_module_names, f"{file}: {name}"


def test_each_wheel_has_a_lock_made_for_its_python_and_nothing_else_has():
    assert {lock.name for lock in LOCKS if lock.name.startswith("bpy-")} == {
        wheels.lock(version).name for version in wheels.PYTHONS
    }
    for version in wheels.PYTHONS:
        pins = wheels.lock(version).read_text(encoding="utf-8")
        assert re.search(rf"^bpy=={re.escape(version)}\.\d+ ", pins, re.MULTILINE)
    assert {lock.name for lock in LOCKS} == {lock.name for lock in locking.LOCKS} | {locking.CPU_TORCH_LOCK}
    assert set(setting_up.MATRIX) <= set(wheels.PYTHONS) and set(wheels.DEFAULTS) <= set(wheels.PYTHONS)


def test_example_pictures_are_small():
    pictures = list((ROOT / "examples").glob("*.png"))
    assert len(pictures) >= 2
    assert all(picture.stat().st_size < 400_000 for picture in pictures)
    assert "CC0" in Path(ROOT / "examples" / "README.md").read_text(encoding="utf-8")
