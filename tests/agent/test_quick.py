"""How quick views are made is chosen once, by what Blender can do, and stays when a run goes on elsewhere."""

import io
from types import SimpleNamespace

import pytest

from agent.console import Console
from agent.runs.journal import Journal
from agent.tools.quick import COARSE, QuickViews, chosen, quick_views
from sandbox.probing import Facts

WORKBENCH = QuickViews(engine="workbench", samples=1, most_px=None)


def able(**picture_s):
    known = {"version": "4.5.0", "python": "3.11", "engines": ("cycles", "workbench")}
    return Facts.model_validate({**known, **picture_s})


@pytest.mark.parametrize(
    ("picture_s", "quick"),
    [
        ({"cycles": 0.4, "workbench": 0.1}, WORKBENCH),
        ({"cycles": 0.2, "workbench": 0.4}, WORKBENCH),
        ({"workbench": 0.1}, WORKBENCH),
        ({"cycles": 0.1, "workbench": 75.0}, COARSE),
        ({"cycles": 0.1}, COARSE),
        ({"cycles": 0.1, "eevee": 0.01}, COARSE),
        ({}, COARSE),
    ],
)
def test_workbench_is_taken_where_it_works_and_its_start_is_no_burden(picture_s, quick):
    assert chosen(able(picture_s=picture_s)) == quick


def test_the_choice_stays_when_the_run_goes_on_where_another_would_be_made(tmp_path):
    for picture_s in ({"cycles": 0.4, "workbench": 0.1}, {"cycles": 0.4}):
        journal = Journal(tmp_path)
        opened = SimpleNamespace(journal=journal, blender=SimpleNamespace(facts=able(picture_s=picture_s)))
        assert quick_views(opened) == WORKBENCH
        journal.close()


def test_what_is_to_be_said_once_is_said_once():
    said = io.StringIO()
    console = Console(stream=said)
    for text in ("no denoiser", "no card", "no denoiser"):
        console.say_once(text)
    assert [line.partition("] ")[2] for line in said.getvalue().splitlines()] == ["no denoiser", "no card"]
