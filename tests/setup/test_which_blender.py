"""Which Blender goes on with a run and which verify it: what was named, else the maker, each ready to be started."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import NodeUnfit
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal
from agent.which_blender import to_go_on, to_verify
from protocol.errors import SetupFailed

pytestmark = pytest.mark.usefixtures("only_path")

FETCHED = Path("/fetched")


@pytest.fixture(autouse=True)
def fetching(monkeypatch):
    """What pyzmq and msgpack are fetched for; no stand-in needs them."""
    fetched = []
    monkeypatch.setattr("sandbox.discovery.provide", lambda python, *_: fetched.append(python) or FETCHED)
    return fetched


@pytest.fixture
def run_of(tmp_path):
    """A run's folder, with a scene that 3.4 has saved."""

    def made(version: str, configured: str | None = None) -> RunFolder:
        folder = RunFolder(tmp_path / f"run-{version}")
        folder.prepare()
        journal = Journal(folder.path)
        journal.note("run", version=1, config={"blender": configured}, source="a.png", blender=version)
        journal.close()
        folder.scene.write_bytes(b"BLENDER-v304" + bytes(64))
        return folder

    return made


def taken(folder: RunFolder) -> Path:
    blender = to_go_on(folder, None)
    assert blender.vendor == FETCHED, "it is ready to be started"
    return blender.executable


def test_the_one_that_goes_on_is_ready_to_be_started_be_it_the_maker_or_a_newer_one(machine, run_of):
    machine.blender(machine.path / "blender", "3.4.1")
    newer = machine.blender(machine.home / "blender-4.2" / "blender", "4.2.3")
    assert taken(run_of("4.2.3")) == newer
    assert taken(run_of("4.0.1")) == newer


def test_those_that_verify_are_ready_to_be_started(machine, run_of):
    machine.blender(machine.path / "blender", "4.2.3")
    maker = machine.blender(machine.home / "blender-3.4" / "blender", "3.4.1")
    other = machine.blender(machine.home / "blender-4.5" / "blender", "4.5.1")
    reader, builder = to_verify(run_of("3.4.1"), "3.4.1", None)
    assert reader == builder and (builder.executable, builder.vendor) == (maker, FETCHED)
    reader, builder = to_verify(run_of("3.4.1"), "3.4.1", str(other))
    assert [(one.executable, one.vendor) for one in (reader, builder)] == [(maker, FETCHED), (other, FETCHED)]


@pytest.mark.parametrize("spelt", ["blender-mine", "~/mine/blender", "mine/blender"])
def test_the_one_that_a_run_was_told_to_use_goes_on_before_another_of_its_version(machine, run_of, monkeypatch, spelt):
    machine.blender(machine.path / "blender", "4.2.3")
    mine = machine.blender(machine.home / "mine" / "blender", "4.2.3")
    (machine.path / "blender-mine").symlink_to(mine)
    monkeypatch.chdir(machine.home)
    assert taken(run_of("4.2.3", spelt)).samefile(mine)


def test_one_that_a_run_was_told_to_use_and_that_is_gone_is_made_up_for_by_another_of_its_version(machine, run_of):
    there = machine.blender(machine.path / "blender", "4.2.3")
    assert taken(run_of("4.2.3", "/gone/blender")) == there


def test_what_blender_names_goes_on_and_verifies_and_nothing_else(machine, run_of, monkeypatch):
    maker = machine.blender(machine.path / "blender", "3.4.1")
    named = machine.blender(machine.home / "blender-4.2" / "blender", "4.2.3")
    monkeypatch.setenv("BLENDER", str(named))
    folder = run_of("3.4.1")
    assert taken(folder) == named
    assert [one.executable for one in to_verify(folder, "3.4.1", None)] == [maker, named]
    assert to_go_on(folder, str(maker)).executable == maker, "what the command says comes first"
    monkeypatch.setenv("BLENDER", "/gone/blender")
    with pytest.raises(SetupFailed, match="/gone/blender"):
        to_go_on(folder, None)
    with pytest.raises(SetupFailed, match="/gone/blender"):
        to_verify(folder, "3.4.1", None)


def test_an_older_one_that_blender_names_is_refused(machine, run_of, monkeypatch):
    machine.blender(machine.path / "blender", "4.2.3")
    monkeypatch.setenv("BLENDER", str(machine.blender(machine.home / "blender-3.4" / "blender", "3.4.1")))
    with pytest.raises(NodeUnfit, match=r"3\.4\.1 is older"):
        to_go_on(run_of("4.2.3"), None)


def test_no_other_blender_is_asked_where_the_maker_is_the_one_that_was_named_or_that_a_run_uses(machine, run_of):
    used = machine.blender(machine.path / "blender", "4.2.3")
    mine = machine.blender(machine.home / "mine" / "blender", "4.5.1")
    other = machine.blender(machine.home / "blender-3.4" / "blender", "3.4.1")
    assert taken(run_of("4.2.3")) == used
    assert taken(run_of("4.5.1", str(mine))) == mine
    assert to_verify(run_of("4.5.1", str(mine)), "4.5.1", None)[1].executable == mine
    assert machine.times_asked(other) == 0
