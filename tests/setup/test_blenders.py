"""`blenders` lists what is here, what each can do, and why one is used and the others are not."""

from __future__ import annotations

import json

import pytest

from agent.blenders import Inventory, blenders, take_inventory
from sandbox.discovery import find_blender

pytestmark = pytest.mark.usefixtures("only_path")


@pytest.fixture
def several(machine):
    """On PATH an old one; in the home a newer one; the default wheel."""
    machine.blender(machine.path / "blender", "3.4.1")
    machine.blender(machine.home / "blender-4.2" / "blender", "4.2.3")
    machine.blender(machine.state / "bpy-4.5" / "bin" / "python", "4.5.1")
    return machine


def why(inventory: Inventory) -> dict[str, str]:
    return {blender.version: blender.why for blender in inventory.blenders}


def used(inventory: Inventory) -> str:
    return inventory.used.version if inventory.used else ""


def test_the_first_on_path_is_used_and_the_others_say_what_comes_before_them(several):
    found = take_inventory()
    assert used(found) == "3.4.1"
    assert why(found) == {
        "3.4.1": "used: the first on PATH",
        "4.2.3": "not used: 3.4.1 comes first, on PATH",
        "4.5.1": "not used: 3.4.1 comes first, on PATH",
    }


@pytest.mark.parametrize(
    ("wanted", "version", "reason"),
    [
        ("4.2", "4.2.3", "used: the first of version 4.2, which BLENDER asks for"),
        ("wheel", "4.5.1", "used: BLENDER=wheel names it"),
        ("~/blender-4.2", "4.2.3", "used: BLENDER=~/blender-4.2 names it"),
    ],
)
def test_what_blender_names_is_used_and_the_same_is_said_that_a_run_does(several, monkeypatch, wanted, version, reason):
    monkeypatch.setenv("BLENDER", wanted)
    monkeypatch.setattr("sandbox.discovery.provide", lambda python: None)  # fetches what no stand-in needs
    found = take_inventory()
    assert used(found) == version == find_blender().version
    assert found.blenders[0].version == version and why(found)[version] == reason
    assert all(text == f"not used: BLENDER={wanted} asks for another" for text in why(found).values() if text != reason)


def test_without_path_the_newest_of_the_usual_places_is_used_and_then_the_wheel(machine):
    machine.blender(machine.state / "bpy-4.5" / "bin" / "python", "4.5.1")
    assert why(take_inventory()) == {
        "4.5.1": "used: nothing usable is installed, and of the wheels fetched it comes first"
    }
    machine.blender(machine.home / "blender-4.2" / "blender", "4.2.3")
    assert why(take_inventory())["4.2.3"].startswith("used: nothing usable is on PATH")


def test_a_version_that_is_not_here_leaves_a_run_without_one(several, monkeypatch, capsys):
    monkeypatch.setenv("BLENDER", "5.2")
    assert blenders() == 69
    said = capsys.readouterr().out
    assert "none that BLENDER=5.2 asks for can be used" in said and "not used: BLENDER=5.2 asks for another" in said


def test_of_a_named_folder_with_a_broken_one_the_next_is_used(machine, monkeypatch):
    machine.put(machine.home / "all" / "blender-5.0" / "blender", "kill -SEGV $$")
    machine.blender(machine.home / "all" / "blender-4.2" / "blender", "4.2.3")
    monkeypatch.setenv("BLENDER", str(machine.home / "all"))
    found = take_inventory()
    assert used(found) == "4.2.3"
    assert [thing.prevents_runs for thing in found.missing] == [False] and "SIGSEGV" in found.missing[0].why


def test_each_is_listed_with_what_it_can_do(machine, capsys):
    facts = {
        "version": "4.2.3",
        "python": "3.11",
        "engines": ["cycles", "eevee", "workbench"],
        "numpy": True,
        "denoisers": ["OPENIMAGEDENOISE"],
        "devices": [{"kind": "CPU", "name": "a processor"}, {"kind": "OPTIX", "name": "a card"}],
        "picture_s": {"cycles": 0.12, "workbench": 0.34},
        "exporters": ["gltf", "usd"],
        "flags": ["-noaudio"],
    }
    machine.put(machine.path / "blender", f"/bin/sleep 0.1; echo 'SEIG-PROBE {json.dumps(facts)}'")
    assert blenders() == 0
    said = capsys.readouterr().out
    for text in (
        f"4.2.3  {machine.path}/blender  ← used by a run",
        "a binary on PATH, Python 3.11 with numpy; starts in 0.",
        "rendered without a screen: Cycles in 0.1 s, Workbench in 0.3 s; ",
        "; not here without a screen or a graphics card: EEVEE",
        "denoiser: OPENIMAGEDENOISE; devices: CPU a processor, OPTIX a card; writes: glTF, USD",
    ):
        assert text in said
    assert blenders(json=True) == 0
    (listed,) = json.loads(capsys.readouterr().out)["blenders"]
    assert listed["used"] is True and listed["why"] == "used: the first on PATH"
    assert {name: listed["facts"][name] for name in facts} == facts and listed["facts"]["start_s"] >= 0.1
