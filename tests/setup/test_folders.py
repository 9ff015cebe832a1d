"""Where the set-up keeps things: the checkout, the user's cache, else a private temporary folder that is truly ours."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import ordinary_user
import pytest
from needs import lacking

from sandbox import folders
from sandbox.confinement import paths

KEEP = "from sandbox.folders import state_folder; print(state_folder())"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A checkout that cannot be written to and temporary folders of our own; a test says what HOME is."""
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(folders, "CHECKOUT_STATE", file / ".blender")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(file))
    return tmp_path


@pytest.mark.parametrize("home", ["absent", "file", "~"])
def test_without_a_home_that_can_be_used_things_are_kept_in_a_private_temporary_folder(nowhere, monkeypatch, home):
    monkeypatch.setenv("HOME", str(nowhere / home) if home != "~" else home)
    kept = folders.state_folder()
    assert kept == nowhere / "tmp" / f"seig-{os.getuid()}"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert folders.readable_folders() == [kept]
    assert not (nowhere / "absent").exists()


def test_a_home_that_can_be_used_is_preferred(nowhere, monkeypatch):
    monkeypatch.setenv("HOME", str(nowhere / "tmp"))
    assert folders.state_folder() == nowhere / "tmp" / ".cache" / "seig"


@pytest.mark.parametrize("trap", ["link", "open to others", "file"])
def test_a_temporary_folder_that_a_stranger_may_have_laid_is_not_used(nowhere, trap):
    laid = nowhere / "tmp" / f"seig-{os.getuid()}"
    if trap == "link":
        (nowhere / "elsewhere").mkdir(mode=0o700)
        laid.symlink_to(nowhere / "elsewhere")
    elif trap == "file":
        laid.touch()
    else:
        laid.mkdir()
        laid.chmod(0o777)
    with pytest.raises(OSError, match="XDG_CACHE_HOME"):
        folders.state_folder()
    assert folders.readable_folders() == []


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_an_ordinary_user_with_a_home_of_no_use_keeps_things_among_the_temporary_ones(tmp_path, mode):
    home, closed = tmp_path / "user", tmp_path / "closed"
    home.mkdir()
    closed.mkdir()
    closed.chmod(mode)
    if os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lacking("root that may make a mount namespace")
    needed = paths.of_python(Path(sys.executable))
    command = ["env", f"HOME={closed}", f"TMPDIR={home}", "XDG_CACHE_HOME=", sys.executable, "-c", KEEP]
    try:
        done = ordinary_user.run(command, home, needed, cwd=folders.ROOT, capture_output=True, text=True, timeout=60)
    finally:
        closed.chmod(0o755)
    assert done.returncode == 0, done.stderr
    kept = home / done.stdout.strip().rpartition("/")[2]
    assert kept.name.startswith("seig-") and stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_what_is_kept_in_a_checkout_is_for_all_who_may_read_it(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CHECKOUT_STATE", tmp_path / ".blender")
    assert stat.S_IMODE(folders.state_folder().stat().st_mode) == 0o755


def test_a_checkouts_folder_that_is_closed_to_us_has_no_wheels_for_us(tmp_path):
    home, closed = tmp_path / "user", tmp_path / "closed"
    home.mkdir()
    closed.mkdir()
    closed.chmod(0o700)
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lacking("root that may make a mount namespace")
    look = (
        "import pathlib; from sandbox import folders, places; "
        f"folders.CHECKOUT_STATE = pathlib.Path({str(closed)!r}); print(list(places.wheels()))"
    )
    needed = [*paths.of_python(Path(sys.executable)), tmp_path]
    command = [sys.executable, "-c", look]
    done = ordinary_user.run(command, home, needed, cwd=folders.ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
