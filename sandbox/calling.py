"""Owns how this program is called from where it lies, for messages that name a command: it must work when copied."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from sandbox.folders import ROOT

NAMED_BY = {"run": "IMAGE", "batch": "MANIFEST", "experiment": "FILE", "farm submit": "MANIFEST"}
"""The make variable that holds what a command is about, where it is not OUT."""


def command(name: str, about: str | Path = "", *options: str, **variables: str | Path) -> str:
    """For example `make resume OUT=runs/chair` in a checkout, else `seig resume runs/chair`; quoted for a shell. A
    command of a group, "farm status", is the target farm-status.

    `variables` are options that make has a variable for: `out=folder` is OUT=folder, or --out=folder.
    """
    subject = str(about)
    if not _through_make():
        named = [f"--{key}={value}" for key, value in variables.items()]
        dashed = ["--"] if subject.startswith("-") else []
        return shlex.join(["seig", *name.split(), *named, *options, *dashed, *([subject] if subject else [])])
    words = ["make", *([] if Path.cwd() == ROOT else ["-C", str(ROOT)]), name.replace(" ", "-")]
    words += [f"{NAMED_BY.get(name, 'OUT')}={subject}"] if subject else []
    words += [f"{key.upper()}={value}" for key, value in variables.items()]
    words += [f"ARGS={shlex.join(options)}"] if options else []
    return " ".join(map(_quoted, words))


def _through_make() -> bool:
    """In a checkout, unless the installed command was used."""
    return (ROOT / "Makefile").is_file() and Path(sys.argv[0]).name != "seig"


def _quoted(word: str) -> str:
    """As a person would: OUT='a b', not 'OUT=a b'."""
    key, equals, value = word.partition("=")
    return f"{key}={shlex.quote(value)}" if equals and key.isupper() else shlex.quote(word)
