"""Owns the reading of a .blend file's first bytes: whether it is one, uncompressed, and which Blender wrote it."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.errors import SetupFailed

HEADER_BYTES = 17
_OLD = re.compile(rb"BLENDER[-_][vV](\d)(\d\d)")  # up to 4.5
_NEW = re.compile(rb"BLENDER17-\d\dv(\d\d)(\d\d)")  # from 5.0
_COMPRESSED = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}

Version = tuple[int, int]


class NoBlendFile(ValueError):
    """These bytes do not begin a file that we would open."""


def version_of(header: bytes) -> Version:
    """(4, 5) for a file that Blender 4.5 wrote."""
    found = _OLD.match(header) or _NEW.match(header)
    if found:
        return int(found[1]), int(found[2])
    for magic, name in _COMPRESSED.items():
        if header.startswith(magic):
            raise NoBlendFile(f"compressed with {name}: save it uncompressed")
    raise NoBlendFile("no .blend file")


def written_by(path: Path) -> Version:
    """The version that wrote a file. Raises NoBlendFile or OSError; reads its first bytes only."""
    with open(path, "rb") as file:
        return version_of(file.read(HEADER_BYTES))


def refuse_newer(path: Path, blender: str) -> None:
    """An older Blender may crash on a newer one's file, or open it in part, so it never gets to see it. Raises
    SetupFailed, NoBlendFile or OSError."""
    if (version := written_by(path)) > parse_version(blender):
        raise newer(".".join(map(str, version)), blender)


def newer(version: str, blender: str) -> SetupFailed:
    """The refusal of what a Blender of that version has written."""
    message = f"The scene was saved by Blender {version}, newer than this one ({blender}), which cannot open it."
    return SetupFailed(message, f"Use Blender {version} or a newer one: --blender, or BLENDER=/path/to/it.")


def parse_version(text: str) -> Version:
    """(4, 5) for "4.5.15"."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
