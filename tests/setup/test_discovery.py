"""Any installed Blender is found and asked; what only looks like one costs a bounded wait and is told with a remedy."""

from __future__ import annotations

import time

import psutil
import pytest

from protocol.errors import SetupFailed
from sandbox import folders
from sandbox.discovery import Blender, Problem, find_blender, find_blenders

pytestmark = pytest.mark.usefixtures("only_path")


def the_problem(timeout_s: float = 20) -> Problem:
    (found,) = find_blenders(timeout_s=timeout_s)
    assert isinstance(found, Problem)
    return found


def ends(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def versions(found: list[Blender | Problem]) -> list[str]:
    return [one.version for one in found if isinstance(one, Blender)]


def test_no_blender_at_all_is_said_with_the_ways_out(machine):
    with pytest.raises(SetupFailed) as caught:
        find_blender()
    assert "no Blender" in caught.value.message
    assert "BLENDER=" in caught.value.remedy and "make blender" in caught.value.remedy


def test_path_comes_before_the_usual_places_and_the_newest_of_these_first(machine):
    for folder, version in (("blender-3.6", "3.6.1"), ("blender-4.1", "4.1.0")):
        machine.blender(machine.home / folder / "blender", version)
    machine.blender(machine.path / "blender", "3.4.1")
    assert versions(find_blenders()) == ["3.4.1", "4.1.0", "3.6.1"]


def test_the_wanted_one_wins_over_all_others(machine, monkeypatch):
    machine.blender(machine.path / "blender", "3.4.1")
    other = machine.blender(machine.home / "mine" / "blender", "4.5.0")
    monkeypatch.setenv("BLENDER", str(other))
    first = find_blenders()[0]
    assert isinstance(first, Blender) and (first.executable, first.found) == (other, "BLENDER")


def test_a_wanted_folder_stands_for_the_blender_in_it(machine, monkeypatch):
    inside = machine.blender(machine.home / "mine" / "blender", "4.5.0")
    monkeypatch.setenv("BLENDER", str(inside.parent))
    assert find_blenders()[0].executable == inside


def test_a_wanted_blender_that_cannot_be_used_is_not_silently_replaced(machine):
    machine.blender(machine.path / "blender")
    with pytest.raises(SetupFailed, match="no such file"):
        find_blender(str(machine.home / "absent"))


def test_a_wanted_version_that_is_not_here_is_refused(machine):
    machine.blender(machine.path / "blender", "4.2.3")
    with pytest.raises(SetupFailed, match=r"no usable Blender 4\.5"):
        find_blender("4.5")


def test_a_blender_that_hangs_costs_a_bounded_wait_and_leaves_nothing_running(machine):
    machine.put(machine.path / "blender", f"/bin/sleep 61.25 &\necho $! > {machine.home}/pid\n/bin/sleep 61.25")
    began = time.monotonic()
    assert "did not answer within 4 s" in the_problem(timeout_s=4).reason
    assert time.monotonic() - began < 20
    assert ends(int((machine.home / "pid").read_text()), within_s=5)


def test_a_hanging_blender_is_not_waited_for_again_by_the_next_run(machine):
    machine.put(machine.path / "blender", "/bin/sleep 60")
    the_problem(timeout_s=1)
    began = time.monotonic()
    with pytest.raises(SetupFailed, match="did not answer"):
        find_blender()
    assert time.monotonic() - began < 1


def test_a_blender_that_is_too_old_is_named_with_its_version(machine):
    machine.put(machine.path / "blender", "echo 'Blender 2.82 (sub 7)'")
    assert "Blender 2.82" in the_problem().reason and "2.93" in the_problem().reason


def test_an_old_blender_that_answers_is_refused_all_the_same(machine):
    machine.blender(machine.path / "blender", "2.92.0")
    assert "2.93 is the oldest" in the_problem().reason


def test_a_script_that_prints_nonsense_is_no_blender(machine):
    machine.put(machine.path / "blender", "echo 'SEIG-PROBE [1, 2'; echo hello; exit 3")
    assert "exit code 3" in the_problem().reason


def test_a_flood_of_output_ends_the_question(machine):
    machine.put(machine.path / "blender", "exec /usr/bin/yes")
    began = time.monotonic()
    assert "printed more than 4 MiB" in the_problem().reason
    assert time.monotonic() - began < 10


def test_what_may_not_be_executed_is_told_with_the_command_that_helps(machine, monkeypatch):
    script = machine.put(machine.home / "mine", "true", executable=False)
    monkeypatch.setenv("BLENDER", str(script))
    assert "chmod +x" in the_problem().remedy


def test_a_folder_without_a_blender_is_told(machine, monkeypatch):
    monkeypatch.setenv("BLENDER", str(machine.home))
    assert "folder" in the_problem().reason


def test_a_flatpak_wrapper_is_refused_without_being_started(machine):
    machine.put(machine.path / "blender", f"touch {machine.home}/started; exec flatpak run org.blender.Blender")
    assert "Flatpak" in the_problem().reason
    assert not (machine.home / "started").exists()


def test_a_snap_command_is_left_to_the_binary_beside_it(machine, monkeypatch):
    monkeypatch.setenv("PATH", "/snap/bin")
    assert find_blenders() == []


def test_a_binary_is_asked_once_until_it_changes(machine):
    blender = machine.blender(machine.path / "blender", "4.2.3")
    for _ in range(3):
        assert versions(find_blenders()) == ["4.2.3"]
    assert machine.times_asked(blender) == 1
    machine.blender(blender, "4.2.13")
    assert versions(find_blenders()) == ["4.2.13"]


def test_one_binary_under_two_names_is_listed_once(machine):
    blender = machine.blender(machine.home / "blender-4.2" / "blender")
    (machine.path / "blender").symlink_to(blender)
    assert len(find_blenders()) == 1


def test_a_spoilt_memory_of_answers_is_written_anew(machine):
    blender = machine.blender(machine.path / "blender")
    find_blenders()
    (remembered,) = (machine.state / "probes").iterdir()
    remembered.write_text("{half", encoding="utf-8")
    assert versions(find_blenders()) == ["4.2.3"]
    assert versions(find_blenders()) == ["4.2.3"]
    assert machine.times_asked(blender) == 2


def test_a_probe_sees_no_secret_of_ours(machine, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-not-for-blender")
    machine.put(machine.path / "blender", f"/usr/bin/env > {machine.home}/env")
    the_problem()
    assert "sk-not-for-blender" not in (machine.home / "env").read_text(encoding="utf-8")


def test_a_checkout_that_cannot_be_written_to_is_no_hindrance(machine, monkeypatch):
    (machine.home / "file").touch()
    monkeypatch.setattr(folders, "CHECKOUT_STATE", machine.home / "file" / ".blender")
    machine.blender(machine.path / "blender")
    assert versions(find_blenders()) == ["4.2.3"]
    assert any((machine.home / ".cache" / "seig" / "probes").iterdir())
