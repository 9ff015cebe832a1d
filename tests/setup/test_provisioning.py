"""pyzmq and msgpack for Blender's Python: fetched once, whole or not at all, with or without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from needs import lacking

from protocol.errors import SetupFailed
from sandbox import provisioning
from sandbox.folders import ROOT
from sandbox.provisioning import is_provided, lock_file, provide

PYTHON = "{}.{}".format(*sys.version_info[:2])
MACHINE = sysconfig.get_platform()
TAG = f"cp{PYTHON.replace('.', '')}-linux-{MACHINE.rpartition('-')[2]}"


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


def leftovers(machine) -> list[str]:
    folder = machine.state / "vendor"
    return [path.name for path in folder.iterdir() if path.name not in (TAG, f"{TAG}.lock")] if folder.exists() else []


def test_a_wheel_folder_is_enough_on_a_machine_without_a_network(offline):
    folder = provide(PYTHON, MACHINE, {})
    assert folder == offline.state / "vendor" / TAG
    assert (folder / "zmq").is_dir() and (folder / "msgpack").is_dir()
    assert is_provided(PYTHON, MACHINE, {}) and leftovers(offline) == []


def test_what_was_provided_is_importable_by_a_python_of_that_version(offline):
    code = f"import sys; sys.path.insert(0, {str(provide(PYTHON, MACHINE, {}))!r}); import zmq, msgpack; print(zmq.__file__)"
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
        f"folders.CHECKOUT_STATE = Path({str(offline.state)!r}); print(provide({PYTHON!r}, {MACHINE!r}, {{}}).stat().st_ino)"
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
    assert "SEIG_WHEELS" in caught.value.remedy
    assert not is_provided(PYTHON, MACHINE, {}) and leftovers(offline) == []
    assert not (offline.state / "vendor" / TAG).exists()


def test_a_wheel_folder_that_is_none_is_named(offline, monkeypatch):
    monkeypatch.setenv("SEIG_WHEELS", "/no/such/folder")
    with pytest.raises(SetupFailed, match="/no/such/folder"):
        provide(PYTHON, MACHINE, {})


def test_an_index_out_of_reach_ends_with_the_way_out(machine, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupFailed) as caught:
        provide(PYTHON, MACHINE, {})
    assert "pip download" in caught.value.remedy


def test_python_versions_get_folders_and_pins_of_their_own():
    folders = {provisioning.vendor_folder(python).name for python in ("3.9", "3.10", "3.11", "3.13")}
    assert folders == {"cp39", "cp310", "cp311", "cp313"}
    assert lock_file("3.9").name == "vendor-cp39.txt" and lock_file("3.13").name == "vendor.txt"
