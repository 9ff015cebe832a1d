"""Blenders are found where BLENDER= names them, on PATH, and where each kind of installation puts them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sandbox import places
from sandbox.folders import UNFINISHED

USUAL = places.USUAL_PLACES
PROGRAM = "Contents/MacOS/Blender"


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def named(wanted: object) -> list[tuple[Path, str]]:
    return [(one.path, one.kind) for one in places.named(str(wanted))]


def in_usual_places() -> list[Path]:
    return [one.path for one in places.in_usual_places()]


# ── what BLENDER= names ───────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("inside", ["blender", "bin/blender", PROGRAM, "blender.exe"])
def test_a_folder_stands_for_the_blender_in_it(tmp_path, inside):
    program = touched(tmp_path / "Blender 4.2" / inside)
    assert named(tmp_path / "Blender 4.2") == [(program, "binary")]


def test_an_application_may_be_named_or_the_folder_that_holds_it(tmp_path):
    program = touched(tmp_path / "Blender 4.2 LTS.app" / PROGRAM)
    assert named(tmp_path / "Blender 4.2 LTS.app") == named(tmp_path) == [(program, "binary")]


def test_a_python_or_its_environment_stands_for_the_wheel_in_it(tmp_path):
    python = touched(tmp_path / "my env" / "bin" / "python3.11")
    assert named(python) == [(python, "wheel")]
    plain = touched(tmp_path / "my env" / "bin" / "python")
    assert named(tmp_path / "my env") == [(plain, "wheel")]


def test_a_folder_with_several_stands_for_all_the_newest_first(tmp_path):
    names = ("blender-4.9.2-linux-x64", "blender-4.10.0-linux-x64", "blender-10.1", "blender-9.3", "blender-nightly")
    for name in names:
        touched(tmp_path / name / "blender")
    (tmp_path / "notes.txt").touch()
    found = [path.parent.name for path, _ in named(tmp_path)]
    assert found == [names[2], names[3], names[1], names[0], names[4]]


def test_a_library_that_sorts_by_kind_of_build_is_looked_through(tmp_path):
    """As Blender Launcher keeps them: stable/blender-4.2.1/…, daily/blender-5.1.0/…"""
    for name in ("stable/blender-4.2.1", "daily/blender-5.1.0"):
        touched(tmp_path / name / "blender")
    assert [path.parent.name for path, _ in named(tmp_path)] == ["blender-5.1.0", "blender-4.2.1"]


def test_of_a_folder_of_environments_those_with_bpy_count(tmp_path):
    for name in ("bpy-4.2", "bpy-5.0", "other"):
        touched(tmp_path / name / "bin" / "python")
    for name in ("bpy-4.2", "bpy-5.0"):
        (tmp_path / name / "lib/python3.11/site-packages/bpy").mkdir(parents=True)
    assert [path.parts[-3] for path, _ in named(tmp_path)] == ["bpy-5.0", "bpy-4.2"]


def test_brackets_in_a_folder_name_are_no_pattern(tmp_path):
    program = touched(tmp_path / "[old] *" / "blender-4.2" / "blender")
    assert named(tmp_path / "[old] *") == [(program, "binary")]


def test_a_folder_without_any_and_a_file_that_is_not_there_are_kept_to_be_told(tmp_path):
    assert named(tmp_path) == [(tmp_path, "binary")]
    assert named(tmp_path / "absent") == [(tmp_path / "absent", "binary")]


def test_a_name_is_looked_up_on_path_and_a_tilde_is_the_home(tmp_path, monkeypatch):
    program = touched(tmp_path / "bin" / "blender-4.2")
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named("blender-4.2") == named("~/bin/blender-4.2") == [(program, "binary")]


# ── PATH ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_folder_of_path_is_looked_into(tmp_path, monkeypatch):
    programs = [touched(tmp_path / name / "blender") for name in ("b", "a")]
    monkeypatch.setenv("PATH", os.pathsep.join(str(program.parent) for program in programs))
    assert [one.path for one in places.on_path()] == programs


# ── the usual places ──────────────────────────────────────────────────────────────────────────────────────────────────
INSTALLS = {
    "a download in the home": ("linux", "blender-4.2.3-linux-x64/blender"),
    "several downloads in a folder": ("linux", "blenders/blender-4.2/blender"),
    "a download left where it fell": ("linux", "Downloads/blender-4.2.3-linux-x64/blender"),
    "Flatpak": ("linux", ".local/share/flatpak/app/org.blender.Blender/current/active/files/blender/blender"),
    "Steam": ("linux", ".local/share/Steam/steamapps/common/Blender/blender"),
    "Steam's older folder": ("linux", ".steam/steam/steamapps/common/Blender/blender"),
    "Steam in a Flatpak": (
        "linux",
        ".var/app/com.valvesoftware.Steam/.local/share/Steam/steamapps/common/Blender/blender",
    ),
    "an application": ("darwin", "Applications/Blender 4.2.app/Contents/MacOS/Blender"),
    "Steam on macOS": (
        "darwin",
        "Library/Application Support/Steam/steamapps/common/Blender/Blender.app/Contents/MacOS/Blender",
    ),
    "a Windows user's own": ("win32", "AppData/Local/Programs/Blender Foundation/Blender 4.2/blender.exe"),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home, on a machine that has nothing elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for table in ("USUAL_PLACES", "STEAM"):
        of_home = {
            system: tuple(place for place in listed if place.startswith("~/"))
            for system, listed in getattr(places, table).items()
        }
        monkeypatch.setattr(places, table, of_home)
    return tmp_path


@pytest.mark.parametrize("install", INSTALLS)
def test_each_kind_of_installation_is_found_where_it_lies(home, monkeypatch, install):
    system, where = INSTALLS[install]
    monkeypatch.setattr(sys, "platform", system)
    program = touched(home / where)
    assert in_usual_places() == [program]


def test_the_machines_own_places_are_in_the_list():
    assert {
        "/usr/bin/blender",
        "/snap/blender/current/blender",
        "/var/lib/flatpak/app/org.blender.Blender/current/active/files/blender/blender",
        "/opt/blender*/blender",
    } <= set(USUAL["linux"])
    assert "/Applications/Blender*.app/Contents/MacOS/Blender" in USUAL["darwin"]
    assert "C:/Program Files/Blender Foundation/Blender*/blender.exe" in USUAL["win32"]


def test_further_libraries_of_steam_are_read_from_its_list(home, tmp_path_factory):
    games, older = tmp_path_factory.mktemp("my games"), tmp_path_factory.mktemp("older")
    programs = {touched(library / "steamapps/common/Blender/blender") for library in (games, older)}
    listed = touched(home / ".local/share/Steam/steamapps/libraryfolders.vdf")
    listed.write_text(
        f'"libraryfolders"\n{{\n "0" {{ "path"\t\t"{games}"\n "apps" {{ "365670" "1234" }} }}\n "1" "{older}"\n}}\n'
    )
    assert set(in_usual_places()) == programs


def test_the_newest_of_all_usual_places_comes_first_and_those_without_a_version_last(home):
    programs = [
        touched(home / where)
        for where in (
            "Downloads/blender-10.0.1-linux-x64/blender",
            "blenders/blender-4.10/blender",
            "blender-4.9.1/blender",
            "blender/blender",
        )
    ]
    assert in_usual_places() == programs


def test_what_cannot_be_started_is_none(home):
    (home / "blender-4.2").mkdir()
    (home / "blender-4.2" / "blender").touch(mode=0o644)
    (home / "blender-4.3" / "blender").mkdir(parents=True)
    assert in_usual_places() == []


# ── wheels ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_of_the_wheels_the_default_comes_first_then_the_newest(machine):
    for name in ("bpy-4.2", "bpy-5.10", "bpy-5.9", f"bpy-{places.DEFAULT_WHEEL}", "bpy", "bpy-5.11"):
        touched(machine.state / name / "bin" / "python")
    (machine.state / "bpy-5.11" / UNFINISHED).touch()
    found = [one.path.parts[-3] for one in places.wheels()]
    assert found == [f"bpy-{places.DEFAULT_WHEEL}", "bpy-5.10", "bpy-5.9", "bpy-4.2", "bpy"]
    assert list(places.named("wheel")) == list(places.wheels())
