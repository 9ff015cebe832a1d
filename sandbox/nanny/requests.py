"""Owns what a nanny is told at its start, and what it can be asked beyond the methods that it passes on to Blender."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from protocol.models import Gpu, Reply, Request, RestoreReply, SnapshotReply, Value
from sandbox.confinement.levels import Level
from sandbox.discovery import Blender
from sandbox.limits import Limits


class Settings(Value):
    """The one line that a nanny reads from its standard input, which then stays open as long as its owner lives."""

    blender: Blender
    limits: Limits
    level: Level
    gpu: Gpu = False
    folder: Path
    """Its own: holds the socket to its owner."""
    worker_folder: Path
    """Blender's: the only one that it may write to."""
    log_file: Path
    epoch: str
    """Names the nanny in every message to its owner; Blender never learns it."""
    mark: str
    """Names the Blender in every message, and marks everything that it starts."""


class OpenRequest(Request):
    """Open a copy of a file from outside the box; the empty start without one."""

    method: ClassVar[str] = "nanny.open"
    reply: ClassVar[type[Reply]] = RestoreReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 30.0
    file: Path | None


class SaveRequest(Request):
    """Save the scene, and copy what was saved into a file outside the box, which exists and is empty."""

    method: ClassVar[str] = "nanny.save"
    reply: ClassVar[type[Reply]] = SnapshotReply
    timeout_s: ClassVar[float] = 30.0
    target: Path


class ReopenRequest(Request):
    """Open what it has saved itself last, then remove the file."""

    method: ClassVar[str] = "nanny.reopen"
    reply: ClassVar[type[Reply]] = RestoreReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 30.0
    file: str


class LookReply(Reply):
    unfit: str
    """Why it should not run another edit: what the last one left behind. Empty when it may."""
    memory_bytes: int
    """Resident memory of the whole tree."""
    dropped: dict[str, int]
    """Messages of Blender's that answered nothing, by kind, since the boot."""


class LookRequest(Request):
    """How Blender is, as the operating system and the clock tell."""

    method: ClassVar[str] = "nanny.look"
    reply: ClassVar[type[Reply]] = LookReply


class LimitReply(Reply):
    pass


class LimitRequest(Request):
    """Other limits from now on: those of a stage."""

    method: ClassVar[str] = "nanny.limit"
    reply: ClassVar[type[Reply]] = LimitReply
    limits: Limits


OWN: tuple[type[Request], ...] = (OpenRequest, SaveRequest, ReopenRequest, LookRequest, LimitRequest)
