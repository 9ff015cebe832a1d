"""Owns what the runs of a batch are told: options that hold for each, the settings of a row, what they may cost.

All of it is checked before a batch begins, and what would depend on where or when a row runs is settled there and then:
the model, the place of files, and what the configuration file says.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.commands import settings_of
from agent.config import Config, is_live, load_config, with_model
from agent.errors import RunError, UsageError
from agent.farm.manifest import Row
from agent.runs.journal import write_atomically
from agent.runs.recording import recorded_settings
from protocol.models import Value

OWN = {"image": "a picture", "out": "--out", "manifest": "--manifest", "index": "--index", "path_map": "--path-map",
       "fresh": "--fresh", "json": "--json", "retry_failed": "--retry-failed"}  # fmt: skip
"""What a batch itself says to its runs, or that none of them may be told."""


class Bounds(Value):
    usd: float | None
    """Of all rows together; None without a bound of each."""
    minutes: float
    """Of the longest row."""
    memory_mib: int
    """Of one Blender of the row that may take most."""
    calls_at_once: int
    """Of a model's service by one row; 0 where none asks one."""

    @classmethod
    def of(cls, configs: Sequence[Config]) -> Bounds:
        """Of rows with these settings, at least one."""
        caps = [config.budget.usd for config in configs]
        return cls(
            usd=None if None in caps else sum(cap or 0.0 for cap in caps),
            minutes=max(config.budget.minutes for config in configs),
            memory_mib=max(config.limits.widest_memory_mib() for config in configs),
            calls_at_once=max(config.side_by_side if is_live(config) else 0 for config in configs),
        )


class RunsTold:
    """Options of `run` as they stand after "--", understood. Raises UsageError or ConfigurationError for wrong ones."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.options = _parsed(arguments)
        self.config = self.config_of({})
        self._arguments = (*arguments, *self._settled())
        self._file = self.options.config.read_bytes() if self.options.config else None

    @property
    def digest(self) -> str:
        """Of what shapes the results: a batch that goes on must be told the same."""
        return self.config.digest()

    def frozen_as(self, copy: Path) -> tuple[str, ...]:
        """The options for each row, with a copy, by its absolute path, in the place of the configuration file: when
        that changes later, no row does."""
        if self._file is None:
            return self._arguments
        write_atomically(copy, self._file)
        return (*self._arguments, "--config", str(copy))

    def bounds(self, manifest: Path, rows: Iterable[Row]) -> Bounds:
        """What the rows can come to. Raises UsageError that names the first row whose settings cannot be."""
        configs: dict[str, Config] = {}
        of_rows = []
        for row in rows:
            key = json.dumps(row.settings, sort_keys=True) if row.settings else ""
            if key not in configs:
                configs[key] = self._of(manifest, row)
            of_rows.append(configs[key])
        return Bounds.of(of_rows)

    def config_of(self, own: Mapping[str, Any]) -> Config:
        """The settings of a row that has some of its own, by their dotted names."""
        options = self.options
        recorded = recorded_settings(options.recording) if options.recording else None
        if unknown := sorted(own.keys() & {"recording", "config"}):
            raise UsageError(f"{unknown[0]!r} is no setting of a row.", "Give it for all rows, after --.")
        return with_model(load_config(settings_of(options), options.config, recorded, own))

    def _of(self, manifest: Path, row: Row) -> Config:
        try:
            return self.config_of(row.settings)
        except RunError as error:
            message = f"{manifest}, row {row.index} ({row.id}): {error.message}"
            raise UsageError(message, error.remedy or "Correct it there.") from None

    def _settled(self) -> list[str]:
        options, said = self.options, []
        if options.model is None and self.config.model is not None:
            said += ["--model", self.config.model]
        if options.recording is not None:
            said += ["--recording", os.path.abspath(options.recording)]
        if options.blender and os.sep in options.blender:
            said += ["--blender", os.path.abspath(options.blender)]
        return said


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Ends with a usage message (exit code 64) where they cannot be understood."""
    from agent.cli import parse

    options = parse(["run", *arguments])
    if said := [option for name, option in OWN.items() if getattr(options, name) not in (None, False)]:
        raise UsageError(f"{said[0]} cannot be said to the runs of a batch.", "Leave it out after --.")
    return options
