"""Runs are found through links, each once, and what was not looked into is said."""

import pytest
from evaluated_runs import draw_picture, finished

from agent.evaluation.finding import find_runs


@pytest.fixture
def runs(tmp_path):
    picture = draw_picture(tmp_path / "p.png")
    finished(tmp_path / "elsewhere" / "far", picture)
    finished(tmp_path / "runs" / "near", picture)
    return tmp_path / "runs"


def names(*paths):
    return [run.id for run in find_runs(paths)]


def test_a_link_that_is_named_or_lies_in_a_named_folder_is_followed(runs, tmp_path):
    (runs / "linked").symlink_to(tmp_path / "elsewhere" / "far")
    (tmp_path / "named").symlink_to(runs)
    assert names(runs) == names(tmp_path / "named") == ["near", "linked"]


def test_links_lead_neither_in_circles_nor_twice_to_a_run_nor_to_what_lies_above(runs, tmp_path):
    (runs / "self").symlink_to(runs)
    (runs / "above").symlink_to(tmp_path)
    (runs / "again").symlink_to(runs / "near")
    (runs / "broken").symlink_to(runs / "nothing")
    (runs / "group").mkdir()
    (runs / "group" / "deeper").symlink_to(tmp_path / "elsewhere" / "far")
    assert names(runs) == names(runs, runs / "near") == ["near"]


def test_folders_that_lie_too_deep_are_told(runs, caplog):
    finished(runs / "1" / "2" / "run", runs / "near" / "reference.png")
    assert names(runs) == ["run", "near"] and not caplog.messages
    finished(runs / "1" / "2" / "3" / "4" / "run", runs / "near" / "reference.png")
    assert names(runs) == ["run", "near"]
    assert caplog.messages == [f"{runs}: runs are looked for 3 folders deep, not below {runs / '1' / '2' / '3'}"]
