"""Logs that pile up are bounded; the newest, and those of Blenders that were lost, are kept."""

import logging
import os

import pytest
from box_helpers import Editor
from fake_blender import adding, fake

from agent import opening
from agent.runs.folder import RunFolder
from sandbox import logs
from sandbox.limits import GIB, Limits
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore

pytestmark = pytest.mark.farm


def test_of_hundreds_of_blenders_the_newest_logs_and_those_of_lost_ones_are_kept(tmp_path):
    for number in range(300):
        for kind in ("log", "nanny.log"):
            (tmp_path / f"blender-1-{number}.{kind}").write_text("x")
        if number % 3 == 0:
            logs.mark_lost(tmp_path / f"blender-1-{number}.log")
        logs.bound(tmp_path, {"blender-1-1"})
    names = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    lost = {f"blender-1-{number}-lost" for number in range(300) if number % 3 == 0}
    others = [f"blender-1-{number}" for number in range(300) if number % 3]
    assert names == {*sorted(lost, key=lambda name: int(name.split("-")[2]))[-40:], *others[-40:], "blender-1-1"}
    assert len(list(tmp_path.iterdir())) == 2 * 81


def test_what_logs_hold_is_bounded_in_bytes_too_the_lost_ones_first(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "KEPT_BYTES", 1000)
    for number in range(10):
        (tmp_path / f"blender-1-{number}.log").write_bytes(bytes(300))
        os.utime(tmp_path / f"blender-1-{number}.log", (number, number))
    logs.mark_lost(tmp_path / "blender-1-0.log")
    logs.bound(tmp_path, set())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "blender-1-0-lost.log",
        "blender-1-8.log",
        "blender-1-9.log",
    ]


def test_a_log_that_has_grown_too_large_keeps_its_end(tmp_path):
    log = tmp_path / "a.out"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    logs.keep_end(log, 20_000)
    assert len(log.read_text().splitlines()) == 1000
    logs.keep_end(log, 2000)
    kept = log.read_text().splitlines()
    assert kept[-1] == "line 999" and kept[0] == f"line {1000 - len(kept)}" and len(log.read_text()) <= 1000


def test_the_log_of_a_blender_that_was_lost_is_told_from_the_others(tmp_path):
    store, limits = SnapshotStore(tmp_path / "snapshots"), Limits(memory_bytes=GIB, boot_s=20)
    with Pool(fake(tmp_path), limits, store, tmp_path / "logs") as pool, pool.session() as scene:
        edit = Editor(scene)
        assert edit(adding("Box")).kind == "committed"
        assert edit("import os; os._exit(1)").kind == "exited"
        assert edit(adding("Lid")).kind == "committed"
    lost = [path.name for path in (tmp_path / "logs").iterdir() if "-lost." in path.name]
    assert sorted(name.partition(".")[2] for name in lost) == ["log", "nanny.log"]


def test_what_a_run_notes_of_itself_in_detail_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LOG_BYTES", 1000)
    folder = RunFolder(tmp_path)
    folder.prepare()
    with opening._log(folder):
        for number in range(200):
            logging.getLogger("days").info("line %d of many", number)
    assert "line 199 of many" in (tmp_path / "logs" / "agent.log").read_text()
    assert sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) <= 4 * 1000
