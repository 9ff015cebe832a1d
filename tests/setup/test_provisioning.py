"""pyzmq and msgpack for Blender's Python: fetched once, whole or not at all, with or without a network."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from contextlib import closing
from pathlib import Path

import pytest
from needs import lacking

from protocol.errors import SetupFailed
from sandbox import provisioning
from sandbox.discovery import Blender, find_blender
from sandbox.folders import ROOT
from sandbox.provisioning import is_provided, lock_file, provide, vendor_folder
from tests.blender_server.servers import Server

PYTHON = "{}.{}".format(*sys.version_info[:2])
MACHINE = sysconfig.get_platform()
TAG = f"cp{PYTHON.replace('.', '')}-{MACHINE.partition('-')[0]}-{platform.machine()}"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory) -> Path:
    """The very wheels that the lock file names."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    wanted = ["--python-version", PYTHON, "--require-hashes", "-r", str(lock_file(PYTHON)), "-d", str(folder)]
    done = subprocess.run([*pip, *wanted], capture_output=True, timeout=100, check=False)
    if done.returncode != 0:
        lacking(f"the package index cannot be reached: {done.stderr.decode()}")
    return folder


@pytest.fixture
def offline(machine, wheels, monkeypatch):
    """Only the wheel folder: an index that leads nowhere."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("SEIG_WHEELS", str(wheels))
    return machine


def is_complete(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("zmq", "msgpack"))


def leftovers(machine) -> list[str]:
    folder = machine.state / "vendor"
    return [path.name for path in folder.iterdir() if path.name not in (TAG, f"{TAG}.lock")] if folder.exists() else []


def test_a_wheel_folder_is_enough_on_a_machine_without_a_network(offline):
    folder = provide(PYTHON, MACHINE, {})
    assert folder == offline.state / "vendor" / TAG
    assert is_complete(folder)
    assert is_provided(PYTHON, MACHINE, {}) and leftovers(offline) == []


def test_what_was_provided_is_importable_by_a_python_of_that_version(offline):
    folder = str(provide(PYTHON, MACHINE, {}))
    code = f"import sys; sys.path.insert(0, {folder!r}); import zmq, msgpack; print(zmq.__file__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, timeout=20, check=True)
    assert str(offline.state) in done.stdout.decode()


def test_a_second_time_changes_nothing_and_needs_no_wheels(offline, monkeypatch):
    before = provide(PYTHON, MACHINE, {}).stat().st_ino
    monkeypatch.setenv("SEIG_WHEELS", "/nowhere")
    assert provide(PYTHON, MACHINE, {}).stat().st_ino == before


def test_a_half_filled_folder_is_replaced(offline):
    half = offline.state / "vendor" / TAG
    (half / "zmq").mkdir(parents=True)
    (half / "stale.py").touch()
    folder = provide(PYTHON, MACHINE, {})
    assert (folder / "msgpack").is_dir() and not (folder / "stale.py").exists()
    assert leftovers(offline) == []


def test_two_processes_at_once_end_with_one_whole_folder(offline):
    code = (
        "import sys; from pathlib import Path; from sandbox import folders; from sandbox.provisioning import provide;"
        f"folders.CHECKOUT_STATE = Path({str(offline.state)!r});"
        f"print(provide({PYTHON!r}, {MACHINE!r}, {{}}).stat().st_ino)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    said = {process.communicate(timeout=90)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(said) == 1 and leftovers(offline) == []


def test_a_wheel_with_another_hash_is_refused_and_nothing_is_left(offline, wheels, tmp_path, monkeypatch):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(wheels, spoilt)
    with next(spoilt.glob("pyzmq*")).open("ab") as file:
        file.write(b"more")
    monkeypatch.setenv("SEIG_WHEELS", str(spoilt))
    with pytest.raises(SetupFailed) as caught:
        provide(PYTHON, MACHINE, {})
    assert "make wheelhouse" in caught.value.remedy and "Expected " in caught.value.log_tail
    assert not is_provided(PYTHON, MACHINE, {}) and leftovers(offline) == []
    assert not (offline.state / "vendor" / TAG).exists()


def test_a_wheel_folder_that_is_none_is_named(offline, monkeypatch):
    monkeypatch.setenv("SEIG_WHEELS", "/no/such/folder")
    with pytest.raises(SetupFailed, match="/no/such/folder"):
        provide(PYTHON, MACHINE, {})


def test_an_index_out_of_reach_is_told_within_seconds_with_the_way_out(machine, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    with pytest.raises(SetupFailed, match="cannot be had from the package index") as caught:
        provide(PYTHON, MACHINE, {})
    assert "make wheelhouse" in caught.value.remedy and "SEIG_WHEELS" in caught.value.remedy
    assert time.monotonic() - began < 15 and leftovers(machine) == []


def test_a_folder_that_lacks_the_wheels_is_named_with_the_way_out(machine, tmp_path, monkeypatch):
    (tmp_path / "none here").mkdir()
    monkeypatch.setenv("SEIG_WHEELS", str(tmp_path / "none here"))
    with pytest.raises(SetupFailed, match=r"Python 3\.10 on .* cannot be had in .*none here") as caught:
        provide("3.10", MACHINE, {})
    assert "make wheelhouse" in caught.value.remedy


def test_the_users_own_settings_of_where_packages_go_do_not_hold(offline, monkeypatch):
    monkeypatch.setenv("PIP_USER", "1")
    assert is_complete(provide(PYTHON, MACHINE, {}))
    assert list(offline.home.iterdir()) == []


# ── what a Blender brings itself ──────────────────────────────────────────────────────────────────────────────────────
def test_where_its_own_python_has_both_nothing_is_fetched(machine):
    own = {"zmq": "22.0.3", "msgpack": "1.0.2"}
    assert vendor_folder(PYTHON, MACHINE, own) is None and provide(PYTHON, MACHINE, own) is None
    assert is_provided(PYTHON, MACHINE, own) and list(machine.state.iterdir()) == []


@pytest.mark.parametrize("own", [{}, {"zmq": "27.3.0"}, {"zmq": "21.0.2", "msgpack": "1.0.2"}, {"msgpack": "0.6.2"}])
def test_one_of_them_alone_or_too_old_is_not_enough(offline, own):
    assert not is_provided(PYTHON, MACHINE, own)
    assert is_complete(provide(PYTHON, MACHINE, own))


def test_a_wheel_folder_is_preferred_to_what_it_brings_if_it_has_them(offline, tmp_path, monkeypatch):
    own = {"zmq": "25.1.1", "msgpack": "1.0.8"}
    assert is_complete(provide(PYTHON, MACHINE, own))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SEIG_WHEELS", str(tmp_path / "empty"))
    assert provide("3.10", MACHINE, own) is None


@pytest.mark.blender
def test_a_blender_whose_own_python_has_both_starts_without_a_folder_of_ours(blender, machine, wheels, tmp_path):
    python = python_with_bpy(tmp_path / "own", blender)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels.glob("*.whl"))]
    subprocess.run(pip, check=True, timeout=60)
    found = find_blender(str(python))
    assert found.vendor is None and not (machine.state / "vendor").exists()
    with closing(Server(found)) as server:
        assert server.hello.blender == blender.version
        assert server.evaluate("__import__('zmq').__file__").startswith(str(tmp_path / "own"))


@pytest.mark.blender
def test_neither_blender_nor_the_users_folders_are_touched(blender, offline):
    before = files_in(blender.executable.parent.parent)
    found = find_blender(str(blender.executable))
    with closing(Server(found)) as server:
        assert server.evaluate("__import__('zmq').__file__").startswith(str(offline.state))
    assert files_in(blender.executable.parent.parent) == before
    assert files_in(offline.home) == {}


def python_with_bpy(folder: Path, blender: Blender) -> Path:
    """A Python that imports that Blender, and whatever is installed into it besides."""
    subprocess.run([str(blender.executable), "-m", "venv", str(folder)], check=True, timeout=60)
    (packages,) = blender.executable.parent.parent.glob("lib/python*/site-packages")
    (here,) = folder.glob("lib/python*/site-packages")
    (here / "blender.pth").write_text(f"{packages}\n", encoding="utf-8")
    return folder / "bin" / "python"


def files_in(folder: Path) -> dict[str, int]:
    """When each file was changed; Python's own cache aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in files}


# ── other machines, other Pythons ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "python, machine_of, name",
    [
        ("3.9", "linux-x86_64", "cp39-linux-x86_64"),
        ("3.13", "linux-aarch64", "cp313-linux-aarch64"),
        ("3.11", "macosx-11.00-arm64", "cp311-macosx-arm64"),
        ("3.11", "macosx-10.9-universal2", f"cp311-macosx-{platform.machine()}"),
    ],
)
def test_each_python_version_on_each_machine_has_a_folder_of_its_own(machine, python, machine_of, name):
    assert vendor_folder(python, machine_of, {}) == machine.state / "vendor" / name


def test_a_python_that_the_newest_versions_left_behind_has_pins_of_its_own():
    assert lock_file("3.9").name == "vendor-cp39.txt" and lock_file("3.13").name == "vendor.txt"


def test_a_blender_of_another_kind_of_machine_is_refused_before_anything_is_fetched(offline):
    with pytest.raises(SetupFailed, match=r"made for linux-sparc64, and this program runs as") as caught:
        provide(PYTHON, "linux-sparc64", {})
    assert "BLENDER=" in caught.value.remedy and leftovers(offline) == []


def test_an_intel_blender_on_apple_silicon_gets_libraries_of_its_own_kind(machine, wheels, monkeypatch):
    """As that machine would ask; the index is the same for all."""
    monkeypatch.setattr(provisioning.sysconfig, "get_platform", lambda: "macosx-14.0-arm64")
    folder = provide("3.11", "macosx-11.00-x86_64", {})
    libraries = [path.name for path in folder.rglob("*.so")]
    assert folder.name == "cp311-macosx-x86_64"
    assert libraries and all("cpython-311-darwin" in name for name in libraries)
