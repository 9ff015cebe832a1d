"""Blender's wheels are fetched by version, each into an environment of its own with the Python that it needs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from protocol.errors import SetupFailed
from sandbox import folders, pythons, setting_up, wheels
from sandbox.discovery import find_blender
from sandbox.folders import ROOT
from sandbox.pythons import CannotSetUp, Python

HERE = "{}.{}".format(*sys.version_info[:2])


class Checkout:
    """A copy of what the set-up needs, in which everything comes from a folder of wheels."""

    def __init__(self, root: Path) -> None:
        self.root, self.wheels = root / "checkout", root / "wheels"
        for name in ("sandbox", "requirements"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "Makefile"):
            shutil.copy(ROOT / name, self.root)
        self.wheels.mkdir()

    def publish(self, version: str, code: str) -> None:
        """A wheel of Blender's name that is `code`, and the file that pins it; for whatever Python runs the tests."""
        wheel = self.wheels / f"bpy-{version}.9-py3-none-any.whl"
        about = f"bpy-{version}.9.dist-info"
        with zipfile.ZipFile(wheel, "w") as file:
            file.writestr("bpy/__init__.py", code)
            file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: bpy\nVersion: {version}.9\n")
            file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{about}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.root / "requirements" / f"bpy-{version}.txt").write_text(f"bpy=={version}.9 --hash=sha256:{digest}\n")
        table = self.root / "sandbox" / "wheels.py"
        text = table.read_text(encoding="utf-8")
        table.write_text(text.replace(f'"{version}": "{wheels.PYTHONS[version]}"', f'"{version}": "{HERE}"'))

    def set_up(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(self.root / "sandbox" / "setting_up.py"), *words]
        environment = {**os.environ, "SEIG_WHEELS": str(self.wheels)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture
def here(monkeypatch):
    """Say which Pythons this machine has, each with venv or without; there is no uv, nor a way to get it."""

    def put(*found: str, venv: bool = True) -> None:
        monkeypatch.setattr(pythons, "find_uv", lambda: None)
        monkeypatch.setattr(pythons, "_paths", lambda versions: iter(found))
        monkeypatch.setattr(pythons, "ask", lambda version: Python(f"/usr/bin/python{version}", version, venv))

    return put


# ── fetching one ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_version_is_fetched_into_an_environment_of_its_own_and_shown_to_start(checkout):
    checkout.publish("4.2", "print('started')")
    done = checkout.set_up("blender", "--version=4.2")
    assert done.returncode == 0, done.stderr
    assert "Blender 4.2 as a Python wheel (350 MB, unpacked 1 GB)" in done.stdout
    folder = checkout.root / ".blender" / "bpy-4.2"
    command = [folder / "bin" / "python", "-I", "-c", "import bpy"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"started\n"
    again = checkout.set_up("blender", "--version=4.2")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    (folder / ".seig.json").unlink()
    noted_anew = checkout.set_up("blender", "--version=4.2")
    assert noted_anew.returncode == 0 and "Making" not in noted_anew.stdout
    assert (folder / ".seig.json").exists()


def test_one_that_does_not_start_is_no_success(checkout):
    checkout.publish("4.2", "raise ImportError('libXi.so.' + '6: cannot open shared object file: No such file')")
    done = checkout.set_up("blender", "--version=4.2")
    assert done.returncode == 69 and "The wheel of Blender 4.2 lacks libXi.so.6. Install" in done.stderr
    assert "starts" not in (checkout.root / ".blender" / "bpy-4.2" / ".seig.json").read_text(encoding="utf-8")


def test_a_version_that_is_no_wheel_is_refused_with_those_that_are(checkout):
    done = checkout.set_up("blender", "--version=4.1")
    assert (done.returncode, done.stdout) == (64, "")
    assert "Blender 4.1 is not among" in done.stderr and "4.2, 4.5, 5.0, 5.1, 5.2" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_a_folder_that_lacks_it_ends_at_once_with_the_way_out(checkout):
    done = checkout.set_up("blender", "--version=5.0")
    assert (done.returncode, done.stdout) == (69, "")
    assert f"{checkout.wheels} holds no wheel of Blender 5.0. Add it" in done.stderr
    assert "make wheelhouse VERSION=5.0" in done.stderr and "BLENDER=" in done.stderr


def test_a_wheel_folder_that_is_none_is_named(checkout):
    shutil.rmtree(checkout.wheels)
    done = checkout.set_up("agent")
    assert done.returncode == 69 and f"{checkout.wheels}, which is no folder" in done.stderr


# ── which one ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "found, default", [(("3.13", "3.11"), "4.5"), (("3.12", "3.13"), "5.2"), (("3.12",), "4.5"), ((), "4.5")]
)
def test_the_default_is_the_first_whose_python_is_here(here, found, default):
    here(*found)
    assert setting_up._default_wheel() == default


@pytest.mark.parametrize(
    "held, default", [(("4.5", "5.2"), "5.2"), (("4.2",), "4.2"), (("4.2", "5.0", "5.1"), "5.1"), ((), "5.2")]
)
def test_without_a_network_it_is_one_that_the_folder_holds(here, held, default, tmp_path, monkeypatch):
    here("3.13")
    monkeypatch.setenv("SEIG_WHEELS", str(tmp_path))
    for version in held:
        (tmp_path / f"bpy-{version}.1-cp313-cp313-manylinux_2_28_x86_64.whl").touch()
    assert setting_up._default_wheel() == default


@pytest.mark.parametrize("version", wheels.PYTHONS)
def test_with_python_3_12_alone_each_version_says_what_it_needs(here, version, tmp_path, monkeypatch):
    here("3.12")
    monkeypatch.setattr(folders, "CHECKOUT_STATE", tmp_path)
    with pytest.raises(CannotSetUp) as caught:
        setting_up.set_up_blender(version=version)
    needed = wheels.PYTHONS[version]
    assert f"The wheel of Blender {version} needs Python {needed}, but this machine has only" in str(caught.value)
    assert f"make PYTHON=/path/to/python{needed}" in str(caught.value) and "BLENDER=" in str(caught.value)


@pytest.mark.parametrize("version", wheels.PYTHONS)
def test_without_venv_each_version_says_what_to_install(here, version, tmp_path, monkeypatch):
    here(wheels.PYTHONS[version], venv=False)
    monkeypatch.setattr(folders, "CHECKOUT_STATE", tmp_path)
    with pytest.raises(CannotSetUp, match=rf"python{wheels.PYTHONS[version]} fits .* lacks the venv module"):
        setting_up.set_up_blender(version=version)


def test_a_full_disk_is_told_before_anything_is_fetched(here, tmp_path, monkeypatch):
    here("3.11")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(folders, "CHECKOUT_STATE", tmp_path)
    monkeypatch.setattr(setting_up.shutil, "disk_usage", lambda folder: usage(1 << 30))
    with pytest.raises(CannotSetUp, match=r"Blender 4\.2, 5\.0 as a Python wheel needs 3 GiB in .*but 1\.0 GiB are"):
        setting_up._set_up_wheels(["4.2", "5.0"])
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_machine_that_blender_is_not_published_for_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CHECKOUT_STATE", tmp_path)
    monkeypatch.setattr(wheels.platform, "machine", lambda: "riscv64")
    with pytest.raises(CannotSetUp, match=r"not published as a Python wheel for .*riscv64.*BLENDER="):
        setting_up.set_up_blender(version="4.2")


# ── asking for one that is not here ───────────────────────────────────────────────────────────────────────────────────
def test_a_version_that_is_not_here_but_could_be_is_refused_with_the_command_that_fetches_it(machine):
    with pytest.raises(SetupFailed, match=r"no usable Blender 4\.2") as caught:
        find_blender("4.2")
    assert "make blender VERSION=4.2" in caught.value.remedy
    with pytest.raises(SetupFailed, match=r"no usable Blender 4\.1") as caught:
        find_blender("4.1")
    assert "VERSION=" not in caught.value.remedy


def test_of_those_that_are_here_the_default_comes_first_and_then_the_newest(machine):
    for version in ("4.2", "5.2", "4.5", "5.0"):
        wheels.environment(version).mkdir()
    assert [folder.name for folder in wheels.environments()] == ["bpy-4.5", "bpy-5.2", "bpy-5.0", "bpy-4.2"]


@pytest.mark.blender
def test_each_wheel_that_is_here_is_the_version_that_its_folder_is_named_after(blender):
    assert blender.version.startswith(blender.executable.parent.parent.name.partition("-")[2])
