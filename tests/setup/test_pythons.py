"""The set-up picks a Python that fits, or says in one message what is missing and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from needs import lacking

from sandbox import libraries, pythons
from sandbox.folders import ROOT
from sandbox.pythons import CannotSetUp, ask, choose

HERE = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def fake_python(tmp_path):
    def put(name: str, answer: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return put


@pytest.fixture
def no_uv(tmp_path, monkeypatch):
    """Nor a pip that could bring it."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(pythons, "SETUP", tmp_path / "setup")
    monkeypatch.setattr(pythons.sys, "executable", "/no/python")
    monkeypatch.setattr(pythons.sys, "_base_executable", "/no/python")


def test_the_running_python_is_chosen_when_it_fits():
    chosen = choose((HERE,), "the test")
    assert chosen.version == HERE and chosen.has_venv


def test_a_shim_that_does_not_run_is_passed_over(fake_python):
    assert ask(fake_python("python3.13", "pyenv: command not found")) is None
    assert ask("/no/such/python") is None


def test_no_python_that_fits_is_one_message_with_the_way_out(no_uv):
    with pytest.raises(CannotSetUp, match=r"needs Python 3\.98 or 3\.99, but .* only") as caught:
        choose(("3.98", "3.99"), "Blender's wheel")
    assert "make PYTHON=" in str(caught.value)


def test_where_none_fits_uv_fetches_one_into_the_checkout(no_uv, tmp_path, monkeypatch, fake_python):
    tools, real = tmp_path / "tools", fake_python("python3.99", "3 99 True")
    home = "$UV_PYTHON_INSTALL_DIR/cpython-$4.7-linux/bin"
    script = f"#!/bin/sh\n/bin/mkdir -p {home} && /bin/ln -s {real} {home}/python3\n"
    tools.mkdir()
    (tools / "uv").write_text(script, encoding="utf-8")
    (tools / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    chosen = choose(("3.99",), "Blender's wheel")
    assert chosen.version == "3.99" and chosen.path.startswith(str(tmp_path / "setup" / "python"))


def test_a_wanted_python_that_does_not_fit_is_refused(fake_python):
    with pytest.raises(CannotSetUp, match=r"is Python 3\.12, but Blender's wheel needs 3\.11 or 3\.13"):
        choose(("3.11", "3.13"), "Blender's wheel", fake_python("python3", "3 12 True"))


def test_a_python_without_venv_is_told_with_the_command_that_installs_it(no_uv, fake_python, monkeypatch):
    monkeypatch.setattr(
        pythons.shutil, "which", lambda name, path=None: "/usr/bin/apt-get" if name == "apt-get" else None
    )
    with pytest.raises(CannotSetUp, match=r"lacks the venv module.*apt-get install .*python3\.11-venv"):
        choose(("3.11",), "the agent", fake_python("python3.11", "3 11 False"))


def test_missing_libraries_become_one_command():
    missing = libraries.missing_libraries(
        Path("/no/such/binary"), "ImportError: libXi.so.6: cannot open shared object file: No such file or directory"
    )
    assert missing == ["libXi.so.6"]
    command = libraries.apt_command(libraries.packages_for(["libXi.so.6", "libSM.so.6", "libunheard.so.9"]))
    assert command.endswith("libsm6 libxi6") and command.count("apt-get install") == 1


def test_the_set_up_changes_nothing_when_all_is_there():
    """As every target does: started by the plain Python of this environment, it must be quick and say nothing."""
    stamp = ROOT / ".venv" / ".seig.json"
    if not stamp.is_file():
        lacking("these tests were not started through make")
    before = stamp.stat().st_mtime_ns
    command = [sys.executable, "-I", "sandbox/setting_up.py", "agent"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"" and stamp.stat().st_mtime_ns == before
