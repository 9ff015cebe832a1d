"""What `make wheelhouse` collects is all that a machine without a network needs to set itself up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
from needs import lacking

from sandbox import wheelhouse, wheels
from sandbox.folders import ROOT
from sandbox.provisioning import lock_file


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm") / "the wheels"
    command = [sys.executable, "-m", "sandbox.wheelhouse", "--", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        lacking(f"the package index cannot be reached: {done.stderr}")
    return folder, done.stdout


@pytest.fixture(scope="module")
def no_network():
    """Nothing leads anywhere: neither the index of the user's settings nor any other."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9/")
    away = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull, **proxies}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return {**kept, **away, "NO_PROXY": "", "no_proxy": ""}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_copy_of_the_checkout_is_set_up_from_it_without_a_network(collected, no_network, tmp_path):
    folder, said = collected
    assert f"SEIG_WHEELS='{folder}' make run IMAGE=" in said
    copy = tmp_path / "copy"
    left = (".git", ".venv", ".blender", ".setup", "runs", "wheels", "tests", "docs", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*left))
    environment = {**no_network, "SEIG_WHEELS": str(folder)}
    made = [sys.executable, "-I", "sandbox/setting_up.py", "agent"]
    done = subprocess.run(made, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    provided = (
        "from sandbox.provisioning import provide\n"
        f"for python in {wheelhouse.BLENDER_PYTHONS!r}: print(provide(python, {sysconfig.get_platform()!r}, {{}}))"
    )
    own = [str(copy / ".venv" / "bin" / "python"), "-c", provided]
    done = subprocess.run(own, cwd=copy, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(copy / ".blender" / "vendor")) == len(wheelhouse.BLENDER_PYTHONS)
    started = [str(copy / ".venv" / "bin" / "python"), "-m", "agent", "--help"]
    assert subprocess.run(started, cwd=copy, env=environment, capture_output=True, timeout=60, check=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_wheel_that_was_spoilt_since_is_fetched_again(collected):
    folder, _ = collected
    (wheel,) = (path for path in folder.glob("msgpack-*cp39-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole + b"more")
    wheelhouse.fetch(folder, "those for Python 3.9", lock_file("3.9"), "3.9")
    assert wheel.read_bytes() == whole


def test_without_an_index_it_says_so_and_keeps_what_it_has(no_network, tmp_path):
    (tmp_path / "kept.whl").touch()
    command = [sys.executable, "-m", "sandbox.wheelhouse", "--", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=no_network, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 69 and "wheelhouse: pip could not fetch" in done.stderr
    assert "Traceback" not in done.stderr and (tmp_path / "kept.whl").exists()


def test_a_blender_that_is_no_wheel_is_refused_with_those_that_are(tmp_path):
    command = [sys.executable, "-m", "sandbox.wheelhouse", "--version=4.1", "--", str(tmp_path / "wheels")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 64 and ", ".join(wheels.PYTHONS) in done.stderr
    assert not (tmp_path / "wheels").exists()
