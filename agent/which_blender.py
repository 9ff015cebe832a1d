"""Owns which Blender goes on with a run, and which ones verify it: the one that was used while it is on this machine,
else a newer one. An older one never gets to see a newer one's file, and so is refused before anything is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.errors import InputUnreadable, NodeUnfit
from agent.runs.folder import RunFolder
from agent.runs.journal import read_journal
from protocol.errors import SetupFailed
from sandbox.blend_file import NoBlendFile, Version, newer, parse_version, written_by
from sandbox.calling import command
from sandbox.discovery import Blender, find_blender, find_blenders, provided, wanted_blender


def took_part(folder: RunFolder) -> tuple[str, ...]:
    """Versions of the Blenders that a run was worked on with, each once, in the order of their first time."""
    entries = [one for one in read_journal(folder.journal) if one["event"] in ("run", "resumed")]
    return tuple(dict.fromkeys(str(one["blender"]) for one in entries if "blender" in one))


def to_go_on(folder: RunFolder, wanted: str | None) -> Blender:
    """The Blender that goes on with a run: the one that is wanted (else BLENDER's), else the last one, else the nearest
    newer one. Raises NodeUnfit for an older one, SetupFailed where the wanted one is none."""
    last = max(took_part(folder), key=_order)
    if wanted := wanted or wanted_blender():
        blender = find_blender(wanted)
        if parse_version(blender.version) < parse_version(last):
            message = (
                f"The run was made with Blender {last}, and {blender.version} is older: it cannot open its scenes."
            )
            raise NodeUnfit(message, f"Go on with {last} or newer: {command('resume', folder.path, blender=last)}")
        return blender
    maker, here = _looked_for(last, folder)
    if maker is not None:
        return provided(maker)
    fit = [one for one in here if parse_version(one.version) > parse_version(last)]
    if not fit:
        message = f"The run was made with Blender {last}, and here is none that can open its scenes ({_listed(here)})."
        named = command("resume", folder.path, blender="/path/to/it")
        raise NodeUnfit(message, f"Install that one or a newer one, or name it: {named}")
    return provided(min(fit, key=lambda one: _order(one.version)))


def to_verify(folder: RunFolder, maker: str, wanted: str | None) -> tuple[Blender | None, Blender]:
    """The Blender that reads the delivered scene, and the one that builds it again: the same where it is the maker.
    No reader: there is none of the maker's, and the other one, which is newer, may open the scene itself. Raises
    NodeUnfit where no Blender is there that may, InputUnreadable for a scene that no Blender would open."""
    saved_by = _saved_by(folder.scene)
    wanted = wanted or wanted_blender()
    builder = find_blender(wanted) if wanted else None
    if builder is not None and same_series(builder.version, maker):
        if parse_version(builder.version) < saved_by:
            raise newer(".".join(map(str, saved_by)), builder.version)
        return builder, builder
    reader = made_by(maker, folder) if parse_version(maker) >= saved_by else None
    if builder is None:
        if reader is None:
            elsewhere = command("verify", folder.path, blender="/path/to/another")
            message = (
                f"The scene was made with Blender {maker}, which is not on this machine or cannot open it any more."
            )
            raise NodeUnfit(message, f"To build it in another one and compare what both have: {elsewhere}")
        return reader, reader
    if reader is None and parse_version(builder.version) < saved_by:
        raise newer(".".join(map(str, saved_by)), builder.version)
    if reader is None and parse_version(builder.version) < parse_version(maker):
        message = f"The scene was made with Blender {maker}, and {builder.version} is older: it cannot open it."
        raise NodeUnfit(message, f"To compare them, Blender {maker} must be on this machine too.")
    return reader, builder


def to_evaluate(scene: Path, wanted: str | None) -> Blender:
    """The Blender that opens a finished run's scene: the one that is wanted (else BLENDER's), else the oldest here that
    may. The file alone tells what that is: a run's record could name a program of a stranger's choice. Raises NodeUnfit
    or SetupFailed where none may, InputUnreadable for a scene that no Blender would open."""
    saved_by = _saved_by(scene)
    if wanted := wanted or wanted_blender():
        blender = find_blender(wanted)
        if parse_version(blender.version) < saved_by:
            raise newer(".".join(map(str, saved_by)), blender.version)
        return blender
    here = [one for one in find_blenders() if isinstance(one, Blender)]
    fit = [one for one in here if parse_version(one.version) >= saved_by]
    if not fit:
        version = ".".join(map(str, saved_by))
        message = f"{scene} was saved by Blender {version}, and here is none that can open it ({_listed(here)})."
        raise NodeUnfit(message, "Install that one or a newer one, or name it with BLENDER=/path/to/it.")
    return provided(min(fit, key=lambda one: parse_version(one.version)))


def _saved_by(scene: Path) -> Version:
    try:
        return written_by(scene)
    except NoBlendFile as error:
        raise InputUnreadable(f"The scene {scene} cannot be opened: it is {error}.") from error
    except OSError as error:
        raise InputUnreadable(f"The scene {scene} cannot be read: {error.strerror}.", "See to its rights.") from error


def same_series(one: str, other: str) -> bool:
    """Whether two versions share their files and their defaults: 4.5.3 and 4.5.15 do."""
    return parse_version(one) == parse_version(other)


def made_by(version: str, folder: RunFolder) -> Blender | None:
    """The Blender of a version, ready to be started. Raises SetupFailed where it lacks what cannot be fetched."""
    maker, _ = _looked_for(version, folder)
    return provided(maker) if maker else None


def _looked_for(version: str, folder: RunFolder) -> tuple[Blender | None, list[Blender]]:
    """The very version, else one of its series; and all that were asked: those after the very version were not."""
    here = []
    for one in _here(folder):
        here.append(one)
        if one.version == version:
            return one, here
    return next((one for one in here if same_series(one.version, version)), None), here


def _here(folder: RunFolder) -> Iterator[Blender]:
    """The one that the run was told to use, the one that a run uses today, and all others; each is asked when its turn
    comes, for one that hangs takes a minute to be given up."""
    configured = folder.first_entry()["config"].get("blender")
    for likely in dict.fromkeys((configured, None)):
        with contextlib.suppress(SetupFailed):
            yield find_blender(likely)
    yield from (one for one in find_blenders() if isinstance(one, Blender))


def _listed(blenders: Iterable[Blender]) -> str:
    return ", ".join(dict.fromkeys(one.version for one in blenders)) or "none"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
