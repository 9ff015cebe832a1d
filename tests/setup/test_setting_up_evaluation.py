"""What evaluations need is put beside what a run needs, torch in the smallest form that starts here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sandbox import setting_up
from sandbox.folders import REQUIREMENTS, ROOT

NEEDS_CUDA = "import cuda_libraries"


class Checkout:
    """A copy of what the set-up needs, whose locks pin small packages of ours."""

    def __init__(self, root: Path) -> None:
        self.root, self.wheels = root / "checkout", root / "wheels"
        shutil.copytree(ROOT / "sandbox", self.root / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Makefile", self.root)
        (self.root / "requirements").mkdir()
        self.wheels.mkdir()
        self.pin("agent.txt", "of_the_agent", "1.0")
        self.pin("evaluation.txt", "of_evaluations", "1.0")
        self.pin("evaluation-files.txt", "with_files", "1.0")
        self.pin("torch-cpu.txt", "torch", "2.0+cpu", published=False)
        self.pin("torch.txt", "torch", "2.0", NEEDS_CUDA)
        self.pin("torch-cuda.txt", "cuda_libraries", "1.0")

    def pin(self, lock: str, name: str, version: str, code: str = "", published: bool = True) -> None:
        """A wheel, and the file that pins it."""
        wheel = self.wheels / f"{name}-{version}-py3-none-any.whl"
        about = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as file:
            file.writestr(f"{name}/__init__.py", f"{code}\nversion = {version!r}\n")
            file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{about}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        text = f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}\n"
        (self.root / "requirements" / lock).write_text(text, encoding="utf-8")
        if not published:
            wheel.unlink()

    def set_up(self, what: str = "evaluation") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(self.root / "sandbox" / "setting_up.py"), what]
        environment = {**os.environ, "SEIG_WHEELS": str(self.wheels)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    def says(self, code: str) -> str:
        """What the environment's Python answers."""
        command = [str(self.root / ".venv" / "bin" / "python"), "-I", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_torch_for_processors_alone_is_taken_where_pip_finds_it(checkout):
    checkout.pin("torch-cpu.txt", "torch", "2.0+cpu")
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert checkout.says("import of_the_agent, of_evaluations, with_files, torch; print(torch.version)") == "2.0+cpu"
    assert "CUDA" not in done.stdout
    again = checkout.set_up()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_else_it_is_the_indexs_with_cudas_libraries_if_it_does_not_start_without(checkout):
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert "CUDA's libraries" in done.stdout and checkout.says("import torch; print(torch.version)") == "2.0"


def test_one_that_starts_gets_no_libraries_that_it_does_not_need(checkout):
    checkout.pin("torch.txt", "torch", "2.0")
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert "CUDA's libraries" not in done.stdout and checkout.says("import torch; print(torch.version)") == "2.0"


def test_one_that_cannot_be_had_leaves_runs_as_they_were(checkout):
    (checkout.wheels / "torch-2.0-py3-none-any.whl").unlink()
    failed = checkout.set_up()
    assert failed.returncode == 69 and "pip could not install torch" in failed.stderr
    assert "make wheelhouse" in failed.stderr and "Traceback" not in failed.stderr
    run = checkout.set_up("agent")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    checkout.pin("torch.txt", "torch", "2.0", NEEDS_CUDA)
    assert checkout.set_up().returncode == 0


def test_one_that_does_not_start_at_all_is_no_success(checkout):
    checkout.pin("torch.txt", "torch", "2.0", "raise ImportError('libgomp is missing')")
    done = checkout.set_up()
    assert done.returncode == 69 and "torch does not start (ImportError: libgomp is missing)" in done.stderr
    assert "torch.txt" not in json.loads((checkout.root / ".venv" / ".seig.json").read_text(encoding="utf-8"))["locks"]


def test_what_evaluations_need_agrees_with_what_runs_and_tests_need():
    def pins(name: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines():
            if "==" in line and line[0].isalpha():
                found.setdefault(line.partition("==")[0], set()).add(line.rstrip(" \\"))
        return found

    needed = pins("evaluation.txt") | pins(setting_up.TORCH_LOCK)
    for name in ("agent.txt", "dev.txt", setting_up.CUDA_LOCK):
        others = pins(name)
        assert all(needed[package] == others[package] for package in needed.keys() & others.keys()), name
    assert not [package for package in needed if package.startswith(("nvidia", "cuda", "triton", "torchvision"))]
