"""How quick views are made is chosen once, by what Blender can do, and stays when a run goes on elsewhere."""

import io
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from agent.console import ONCE_AT_MOST, Console, answer
from agent.runs.journal import Journal
from agent.tools.quick import COARSE, QuickViews, chosen, quick_views
from protocol.models import Made
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


def test_of_what_is_said_once_only_so_much_is_said_however_much_a_blender_notes():
    said = io.StringIO()
    console = Console(stream=said)
    for number in range(5 * ONCE_AT_MOST):
        console.say_once(f"note {number}")
    lines = [line.partition("] ")[2] for line in said.getvalue().splitlines()]
    assert lines == [*(f"note {number}" for number in range(ONCE_AT_MOST)), "more was noted, which the journal has"]


HOSTILE = "\x1b]0;owned\x07a\rb\x9b2J\u202ec"


def test_what_a_blender_says_of_a_picture_is_one_line_that_commands_no_terminal():
    made = Made(engine="cycles", samples=4, device=HOSTILE, denoised=True, notes=(f"one\n[0:05] {HOSTILE}",))
    plain = "�]0;owned�a b�2J�c"
    assert (made.device, made.notes) == (plain, (f"one [0:05] {plain}",))
    with pytest.raises(ValidationError):
        Made(engine="cycles", samples=4, device="CPU", denoised=True, notes=("n" * 501,))


def test_the_screen_is_commanded_by_nothing_that_is_said(capsys):
    said = io.StringIO()
    Console(stream=said).say(f"material:{HOSTILE}")
    answer(f"one\ntwo\t{HOSTILE}")
    assert "material:�]0;owned�a�b�2J�c" in said.getvalue()
    assert capsys.readouterr().out == "one\ntwo\t�]0;owned�a�b�2J�c\n"
