"""A command that a message names works when it is copied: through make in a checkout, else by the program's name."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from sandbox import calling
from sandbox.calling import command


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    (tmp_path / "Makefile").touch()
    monkeypatch.setattr(calling, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["-m"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_in_a_checkout_make_is_named(checkout):
    assert command("resume", "runs/a") == "make resume OUT=runs/a"
    assert command("blenders") == "make blenders"
    assert (
        command("run", "a b.png", "--fresh", out=Path("runs/a")) == "make run IMAGE='a b.png' OUT=runs/a ARGS=--fresh"
    )


def test_from_another_folder_make_is_told_where_the_checkout_is(checkout, monkeypatch):
    monkeypatch.chdir(Path("/"))
    assert command("blenders") == f"make -C {checkout} blenders"


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_checkout_or_by_its_own_name_the_program_is_named(checkout, monkeypatch, installed):
    if installed:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/seig"])
    else:
        (checkout / "Makefile").unlink()
    assert command("resume", "-a b", "--max-calls", "14") == "seig resume --max-calls 14 -- '-a b'"
    assert command("run", "a.png", out="b") == "seig run --out=b a.png"


@pytest.mark.parametrize("name", ["it's", "$x `y`", "a=b", "ü"])
def test_any_path_survives_the_shell(name):
    assert shlex.split(command("resume", f"/{name}", "--max-calls", "3")) == [
        "make",
        "resume",
        f"OUT=/{name}",
        "ARGS=--max-calls 3",
    ]
