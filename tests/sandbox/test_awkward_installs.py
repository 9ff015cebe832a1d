"""Real Blenders where users have them: behind links and scripts, in odd paths, read-only, another user's, without HOME.
Each runs a whole box: one edit as a transaction, one picture."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ordinary_user
import pytest
from needs import lacking

from sandbox.confinement import paths, probes
from sandbox.confinement.levels import Level
from sandbox.discovery import find_blender

PROGRAM = Path(__file__).parents[1] / "fakes" / "boxed_once.py"
DEBIANS = Path("/usr/bin/blender")
ODD = "Blender – größer & 'besser' 3.4"

pytestmark = pytest.mark.blender


@pytest.fixture(params=[Level.CONFINED, Level.SANDBOXED], ids=str)
def level(request):
    """Each that keeps files from a Blender: it must be shown all that it consists of."""
    if not probes.reach().holds(request.param):
        lacking(f"{request.param} is out of reach here")
    return request.param


@pytest.fixture(scope="module")
def ground():
    """A folder that every user may enter: pytest closes its own."""
    with tempfile.TemporaryDirectory(prefix="seig-test-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def unpacked(ground):
    """Debian's Blender as a download unpacks: all in one folder, which no system folder holds."""
    if not DEBIANS.exists():
        lacking(f"no {DEBIANS} here")
    folder = ground / ODD
    folder.mkdir()
    shutil.copy(DEBIANS, folder / "blender")
    shutil.copytree("/usr/share/blender/scripts", folder / "3.4" / "scripts")
    (folder / "3.4" / "datafiles").symlink_to("/usr/share/blender/datafiles")
    return folder / "blender"


def boxed(blender, level, env=None):
    command = [sys.executable, str(PROGRAM), str(blender), str(level)]
    done = subprocess.run(command, env=env or dict(os.environ), capture_output=True, text=True, timeout=300)
    return outcome(done)


def outcome(done):
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_worked(found, level):
    assert (found["kind"], found["picture"]) == ("committed", True), found
    assert found["level"] == str(level)


def test_a_path_with_spaces_and_other_letters(unpacked, level):
    found = boxed(unpacked, level)
    assert_worked(found, level)
    assert found["program"] == str(unpacked)


def test_a_link_elsewhere(unpacked, ground, level):
    link = ground / f"link {level}"
    link.symlink_to(unpacked)
    assert_worked(boxed(link, level), level)


def test_a_script_that_starts_it(unpacked, ground, level):
    """The box is shown the install that the script starts, though its path says nothing of it."""
    script = ground / f"my tools {level}" / "blender"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(unpacked))} "$@"\n')
    script.chmod(0o755)
    found = boxed(script, level)
    assert_worked(found, level)
    assert found["program"] == str(unpacked)


def test_a_script_is_asked_again_once_what_it_starts_has_changed(unpacked, ground):
    script = ground / "counting"
    script.write_text(f'#!/bin/sh\necho asked >> {ground}/asked\nexec {shlex.quote(str(unpacked))} "$@"\n')
    script.chmod(0o755)
    for times in (1, 1):
        find_blender(str(script))
        assert len((ground / "asked").read_text().splitlines()) == times
    os.utime(unpacked)
    find_blender(str(script))
    assert len((ground / "asked").read_text().splitlines()) == 2


def test_a_wheel_in_an_environment_with_an_odd_path(blender, ground, level):
    """What it imports lies elsewhere besides, as where environments share their packages."""
    environment = ground / f"Umgebung für Blender {level}"
    own = blender.executable.parent.parent
    subprocess.run([own / "bin" / "python", "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(f"{own / packages.relative_to(environment)}\n")
    found = boxed(environment / "bin" / "python", level)
    assert_worked(found, level)
    assert found["program"].startswith(str(own.resolve()))


def test_a_read_only_install_of_another_user_without_a_home(unpacked, ground, level):
    """Of root, for one who is nobody in particular and has no HOME, nor a folder of that user's anywhere."""
    for folder, _, files in os.walk(unpacked.parent):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chmod(path, 0o555)
    blender = find_blender(str(unpacked))
    (home := ground / f"user {level}").mkdir()
    command = ["env", "-u", "HOME", f"TMPDIR={home}", sys.executable, str(PROGRAM), str(unpacked), str(level)]
    needed = [*paths.of_python(Path(sys.executable)), *paths.of_blender(blender)]
    done = ordinary_user.run(command, home, needed, capture_output=True, text=True, timeout=300)
    found = outcome(done)
    assert_worked(found, level)
    assert found["home"] is None and found["uid"] != 0


def test_without_any_home(unpacked, level):
    """As a container starts a program as a user that it has no entry for: "~" stays what it is."""
    assert_worked(boxed(unpacked, level, {**os.environ, "HOME": "~"}), level)


def test_flags_that_its_command_line_knows_are_told(unpacked):
    """Debian's 3.4 is too old to be told to stay off the network."""
    assert find_blender(str(unpacked)).facts.flags == ("-noaudio",)
