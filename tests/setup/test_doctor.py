"""Doctor says what the machine has and lacks, with a fix for each thing; it never shows a key."""

from __future__ import annotations

import json

import pytest

from agent import blenders, doctor

pytestmark = pytest.mark.usefixtures("only_path")
KEY = "sk-canary-0123456789"


def test_without_a_blender_doctor_says_how_to_get_one_and_exits_with_69(machine, capsys):
    assert doctor.doctor() == 69
    said = capsys.readouterr().out
    assert "none that can be used" in said and "make blender" in said and "Not ready" in said


def test_with_a_blender_a_run_is_possible(machine, capsys):
    machine.blender(machine.path / "blender", "4.2.3")
    assert doctor.doctor() == 0
    said = capsys.readouterr().out
    assert "4.2.3" in said and "Ready to run." in said


def test_json_says_the_same_to_a_program(machine, capsys):
    machine.blender(machine.path / "blender", "4.2.3")
    assert doctor.doctor(json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["usable"] is True and said["blenders"][0]["version"] == "4.2.3"
    assert said["isolation"]["level"] in {"L1", "L2", "L3"} and said["machine"]["cores"] >= 1
    tried = [probe for probe in said["isolation"]["probes"] if probe["name"] == "connect over TCP"]
    assert tried and all(probe["stopped"] for probe in tried if probe["passed"])
    assert all(thing["fix"] for thing in said["missing"])


@pytest.mark.parametrize("as_json", [False, True])
def test_the_key_is_never_shown(machine, monkeypatch, capsys, as_json):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    doctor.doctor(json=as_json)
    captured = capsys.readouterr()
    assert KEY not in captured.out + captured.err and "claude" in captured.out


def test_a_wanted_blender_that_is_broken_prevents_runs_even_with_another_there(machine, monkeypatch, capsys):
    machine.blender(machine.path / "blender")
    monkeypatch.setenv("BLENDER", str(machine.home / "absent"))
    assert doctor.doctor() == 69
    assert "no such file" in capsys.readouterr().out


def test_blenders_lists_usable_and_unusable_ones(machine, capsys):
    machine.blender(machine.path / "blender", "4.2.3")
    machine.put(machine.home / "blender-2.82" / "blender", "echo 'Blender 2.82'")
    assert blenders.blenders() == 0
    said = capsys.readouterr().out
    assert "4.2.3" in said and "Unusable" in said and "2.82" in said
    assert blenders.blenders(json=True) == 0
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 1


def test_blenders_without_any_says_how_to_get_one_in_either_form(machine, capsys):
    assert blenders.blenders() == 69
    assert "make blender" in capsys.readouterr().out
    assert blenders.blenders(json=True) == 69
    (missing,) = json.loads(capsys.readouterr().out)["missing"]
    assert "make blender" in missing["fix"]
