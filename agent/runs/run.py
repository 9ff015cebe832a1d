"""Owns what every part of a run shares: its settings, reference, folder, journal, model and Blenders."""

from __future__ import annotations

from dataclasses import dataclass

from agent.config import Config
from agent.console import Console
from agent.models.base import Model
from agent.picture import Reference
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal
from agent.runs.room import Room
from sandbox.discovery import Blender
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore


@dataclass(frozen=True)
class Opened:
    """What is open while a folder is worked in: all of a run but its reference."""

    config: Config
    folder: RunFolder
    journal: Journal
    ledger: Ledger
    console: Console
    model: Model
    blender: Blender
    store: SnapshotStore
    pool: Pool
    room: Room

    def run(self, reference: Reference) -> Run:
        return Run(**vars(self), reference=reference)


@dataclass(frozen=True)
class Run(Opened):
    reference: Reference
