"""A Blender is asked once for all that it can do; the answers are forgotten when anything they depend on changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox import questioning, remembered
from sandbox.discovery import Blender, find_blenders
from sandbox.probing import probe

pytestmark = pytest.mark.usefixtures("only_path")


def asked_twice(machine, change) -> bool:
    """Whether it is asked again after a change."""
    blender = machine.blender(machine.path / "blender")
    probe(blender, wheel=False)
    probe(blender, wheel=False)
    assert machine.times_asked(blender) == 1
    change(blender)
    probe(blender, wheel=False)
    return machine.times_asked(blender) == 2


def test_it_is_asked_again_when_its_file_changes(machine):
    assert asked_twice(machine, lambda blender: os.utime(blender, ns=(1, 1)))


def test_it_is_asked_again_when_the_questions_change(machine, monkeypatch, tmp_path):
    def newer_version(blender):
        (tmp_path / "compat.py").write_text("# knows more")
        monkeypatch.setattr(remembered, "ASKS_WITH", (tmp_path / "compat.py",))
        remembered._digest.cache_clear()

    try:
        assert asked_twice(machine, newer_version)
    finally:
        remembered._digest.cache_clear()


def test_it_is_asked_again_when_the_machine_gets_a_graphics_card(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(remembered, "_GRAPHICS", (str(tmp_path / "dev" / "nvidia[0-9]*"),))

    def plug_in(blender):
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev" / "nvidia0").touch()

    assert asked_twice(machine, plug_in)


def test_a_wheel_is_asked_again_when_its_module_changes(machine):
    python = machine.blender(machine.state / "bpy-4.2" / "bin" / "python")
    module = machine.state / "bpy-4.2" / "lib" / "python3.11" / "site-packages" / "bpy" / "__init__.so"
    module.parent.mkdir(parents=True)
    for content in ("old", "newer"):
        module.write_text(content)
        for _ in range(2):
            probe(python, wheel=True)
    assert machine.times_asked(python) == 2


def test_several_are_asked_side_by_side_and_listed_in_their_order(machine):
    """Each waits until the other was started, so one after the other they would wait for ever."""
    for name, other in (("4.2.0", "4.5.0"), ("4.5.0", "4.2.0")):
        facts = f'{{"version": "{name}", "python": "3.11", "engines": ["cycles"]}}'
        wait = f": > {machine.home}/{name}\nuntil test -e {machine.home}/{other}; do /bin/sleep 0.02; done"
        machine.put(machine.home / f"blender-{name}" / "blender", f"{wait}\necho 'SEIG-PROBE {facts}'")
    found = find_blenders(timeout_s=20)
    assert [one.version for one in found if isinstance(one, Blender)] == ["4.5.0", "4.2.0"]


def test_it_finds_no_shaders_ready_in_the_users_cache_and_leaves_none_there(machine, monkeypatch):
    """So a picture takes as long as the first in a box does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.home / "cache"))
    facts = '{"version": "4.2.3", "python": "3.11", "engines": ["cycles"]}'
    lines = f'echo "$HOME:$XDG_CACHE_HOME" > {machine.home}/where', f"echo 'SEIG-PROBE {facts}'"
    probe(machine.put(machine.path / "blender", "\n".join(lines)), wheel=False)
    home, _, cache = (machine.home / "where").read_text().strip().partition(":")
    assert cache == home != str(machine.home)


def real_ones():
    return [one for one in find_blenders() if isinstance(one, Blender)]


@pytest.mark.blender
def test_every_real_blender_of_this_machine_says_all_that_it_can_do(monkeypatch):
    monkeypatch.undo()
    found = real_ones()
    assert found
    for blender in found:
        facts = blender.facts
        assert {"cycles", "eevee", "workbench"} <= set(facts.engines), blender.version
        assert 0 < facts.picture_s["cycles"] < questioning.PICTURES_S and facts.start_s > 0
        assert "CPU" in {device.kind for device in facts.devices} and "CPU" not in facts.gpus
        assert "gltf" in facts.exporters and "cycles" in facts.build_options
        assert facts.platform.startswith(("linux-", "macosx-", "win")) and facts.python.startswith("3.")
        assert Path(facts.program).is_file() and all(Path(part).is_dir() for part in facts.parts)
        assert set(facts.flags) <= {"--offline-mode", "-noaudio"}
        assert bool(facts.flags) == (blender.kind == "binary")


@pytest.mark.blender
def test_a_real_blender_without_numpy_or_a_denoiser_says_so(monkeypatch, blender):
    monkeypatch.undo()
    assert blender.facts.denoiser and blender.facts.numpy
    for other in real_ones():
        if other.executable == Path("/usr/bin/blender") and other.version.startswith("3.4"):
            assert not other.facts.denoiser and not other.facts.numpy and "usd" not in other.facts.exporters
