"""A thing that is named as a Blender and is none, or a broken one, is told with its reason and a way out."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import ordinary_user
import pytest
from needs import lacking

from protocol.errors import SetupFailed
from sandbox.confinement import paths
from sandbox.discovery import Problem, find_blender, find_blenders, used_by_a_run
from sandbox.probing import probe

pytestmark = pytest.mark.usefixtures("only_path")


@pytest.fixture
def problem(machine, monkeypatch):
    """What is said of the Blender that BLENDER= names."""

    def look(named: Path) -> Problem:
        monkeypatch.setenv("BLENDER", str(named))
        (found,) = (one for one in find_blenders(timeout_s=20) if one.found == "BLENDER")
        assert isinstance(found, Problem) and found.remedy
        with pytest.raises(SetupFailed) as caught:
            find_blender(timeout_s=20)
        assert str(found.executable) in caught.value.message and found.reason in caught.value.message
        return found

    return look


def test_one_that_is_not_there(machine, problem):
    assert problem(machine.home / "absent" / "blender").reason == "there is no such file"


def test_a_link_to_one_that_is_gone_names_where_it_leads(machine, problem):
    (machine.home / "blender").symlink_to(machine.home / "gone" / "blender")
    assert f"it is a link to {machine.home}/gone/blender" in problem(machine.home / "blender").reason


def test_a_link_to_itself(machine, problem):
    (machine.home / "blender").symlink_to(machine.home / "blender")
    assert "Too many levels of symbolic links" in problem(machine.home / "blender").reason


def test_one_that_may_not_be_executed(machine, problem):
    script = machine.put(machine.home / "my tools" / "blender", "true", executable=False)
    assert problem(script).remedy == f"Make it executable: chmod +x '{script}'"


def test_a_folder_without_one(machine, problem):
    assert "a folder without a Blender" in problem(machine.home).reason


def test_a_program_for_another_machine(machine, problem):
    program = machine.put(machine.home / "blender", "")
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    found = problem(program)
    assert "Exec format error" in found.reason and "no program for this machine" in found.remedy


def test_a_script_whose_interpreter_is_not_here(machine, problem):
    script = machine.put(machine.home / "blender", "")
    script.write_text("#!/no/such/interpreter\n")
    assert "interpreter that it names" in problem(script).remedy


def test_one_that_lacks_a_shared_library_names_it(machine, problem):
    if b"libc.so.6" not in (true := Path("/bin/true").read_bytes()):
        lacking("a /bin/true that loads libc.so.6")
    program = machine.put(machine.home / "blender", "")
    program.write_bytes(true.replace(b"libc.so.6", b"libQ.so.6"))
    assert problem(program).reason == "it lacks libQ.so.6"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_one_that_crashes_at_its_start(machine, problem, name):
    found = problem(machine.put(machine.home / "blender", f"echo 'Blender 4.2.0'; kill -{name[3:]} $$"))
    assert f"it crashes at its start ({name}; Blender 4.2.0)" in found.reason
    assert f"{machine.home}/blender -b" in found.remedy


def test_one_whose_wrapper_reports_the_crash(machine, problem):
    assert "exit code 139" in problem(machine.put(machine.home / "blender", "exit 139")).reason


def test_one_that_says_its_version_and_then_hangs_is_not_waited_for_longer_than_asked(machine):
    script = machine.put(machine.home / "blender", "echo 'Blender 4.2.0'\nexec /bin/sleep 61.5")
    began = time.monotonic()
    with pytest.raises(SetupFailed, match="did not answer within 2 s"):
        find_blender(str(script), timeout_s=2)
    assert time.monotonic() - began < 10


def test_one_that_closes_its_output_and_hangs_is_ended_too(machine):
    script = machine.put(machine.home / "blender", "exec >&- 2>&-\nexec /bin/sleep 61.5")
    with pytest.raises(SetupFailed, match="did not answer within 2 s"):
        find_blender(str(script), timeout_s=2)


def test_one_that_leaves_a_child_with_its_output_is_not_waited_for(machine):
    facts = '{"version": "4.2.0", "python": "3.11", "engines": ["cycles"]}'
    script = machine.put(machine.home / "blender", f"/bin/sleep 61.5 &\necho 'SEIG-PROBE {facts}'")
    began = time.monotonic()
    assert probe(script, wheel=False).version == "4.2.0"
    assert time.monotonic() - began < 10


def test_answers_before_a_crash_or_a_hang_over_pictures_stand(machine, monkeypatch):
    monkeypatch.setattr("sandbox.questioning.PICTURES_S", 0.5)
    facts = '{"version": "4.2.0", "python": "3.11", "engines": ["cycles", "eevee"], "denoisers": ["OPENIMAGEDENOISE"]}'
    pictures = 'SEIG-PROBE {"picture_s": {"cycles": 0.1}}'
    for name, end in (("crashing", "kill -SEGV $$"), ("hanging", "exec /bin/sleep 61.5")):
        script = machine.put(
            machine.home / name / "blender", f"/bin/sleep 0.1\necho 'SEIG-PROBE {facts}'\necho '{pictures}'\n{end}"
        )
        began = time.monotonic()
        found = probe(script, wheel=False)
        assert time.monotonic() - began < 10
        assert found.denoiser and found.picture_s == {"cycles": 0.1} and not found.workbench
        assert 0.1 <= found.start_s < 10


def test_a_python_without_bpy(machine, problem):
    found = problem(Path(sys.executable))
    assert "a Python without Blender's module `bpy`" in found.reason and "pip install bpy" in found.remedy


def test_answers_that_are_lies_are_not_believed(machine, problem):
    lies = '{"version": "4.2.0", "python": "3.11", "engines": ["cycles"], "made_up": 1}'
    script = machine.put(machine.home / "blender", f"echo 'SEIG-PROBE {lies}'; echo 'SEIG-PROBE [1]'; exit 3")
    assert "it answers no question (exit code 3" in problem(script).reason


def test_a_broken_one_does_not_keep_the_next_from_being_used(machine):
    machine.put(machine.path / "blender", "kill -SEGV $$")
    machine.blender(machine.home / "blender-4.2" / "blender", "4.2.3")
    found = find_blenders()
    assert [type(one).__name__ for one in found] == ["Problem", "Blender"]
    assert used_by_a_run(found) == found[1]


@pytest.mark.parametrize("closed", ["the folder", "a folder above"])
def test_one_of_another_user_that_is_closed_to_us(machine, monkeypatch, closed):
    """Asked as an ordinary user, of a folder that only root may enter."""
    if os.getuid() != 0:
        lacking("root, to become another user")
    monkeypatch.setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
    with tempfile.TemporaryDirectory(prefix="seig-test-", dir="/tmp") as folder:  # pytest closes its own to others
        os.chmod(folder, 0o755)
        (home := Path(folder) / "user").mkdir()
        blender = machine.blender(Path(folder) / "theirs" / "blender")
        blender.parent.chmod(0o700)
        named = blender.parent if closed == "the folder" else blender
        command = ["env", f"BLENDER={named}", f"PATH={machine.path}", sys.executable, "-m", "agent", "blenders"]
        needed = paths.of_python(Path(sys.executable))
        done = ordinary_user.run(command, home, needed, cwd=ordinary_user.ROOT, capture_output=True, text=True)
    assert done.returncode == 69, done.stderr
    assert f"chmod a+rx {blender.parent}" in done.stdout and "Traceback" not in done.stderr
    assert ("may not be read" if closed == "the folder" else f"it lies in {blender.parent}") in done.stdout


def test_its_private_home_is_gone_afterwards(machine, problem):
    script = machine.put(machine.home / "blender", f'echo "$HOME" > {machine.home}/where; touch "$HOME/left"; exit 1')
    problem(script)
    where = Path((machine.home / "where").read_text().strip())
    assert where.parent.name.startswith("seig-box-") and not where.parent.exists()
