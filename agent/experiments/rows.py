"""Owns the rows of an experiment: picture × method × seed, each known by a digest of all that shapes its result; which
of them there are already, which are missing, and which runs no longer belong to it.

Rows of the same digest are one run: a method that comes to the settings of another shares its runs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.commands import settings_of
from agent.config import Config
from agent.errors import ConfigurationError, UsageError
from agent.evaluation.data import Item
from agent.experiments.file import ExperimentFile
from agent.experiments.methods import Method
from agent.farm.manifest import Row
from agent.farm.settings import RunsTold
from agent.opening import VERSION
from agent.picture_file import read_content
from agent.prompting import prompts_digest
from protocol.models import Value

KEY_LETTERS = 12
ITEM_LETTERS = 36
"""Of a picture's name in a run's: with method, seed and digest it has to stay below 80."""


class Asked(Value):
    """One picture by one method with one seed."""

    item: str
    method: str
    seed: int
    id: str
    """Names the run's folder, "desk_lamp.staged.s0.3f0c…": after the first method that comes to these settings."""
    image: Path
    settings: dict[str, Any]
    """Of the row: dotted name → value."""
    config: Config

    @property
    def key(self) -> str:
        return key_of(self.id)

    def row(self) -> Row:
        return Row(index=0, id=self.id, image=self.image, seed=self.seed, settings=self.settings)


class Stale(Value):
    """A run that the file no longer asks for."""

    row: Row
    why: str


def asked_for(file: ExperimentFile, items: Sequence[Item], told: RunsTold) -> tuple[Asked, ...]:
    """All rows, pictures outermost. Raises ConfigurationError for settings of a method that cannot be, InputUnreadable
    for a picture."""
    if told.options.seed is not None:
        raise UsageError("--seed is not said to the runs of an experiment.", f"Name seeds in {file.path}.")
    typed = {name for name, value in settings_of(told.options).items() if value is not None}
    shared = {name: value for name, value in file.settings.items() if name not in typed}
    configs = {
        (method.name, seed): _config(file, method, {**shared, **method.settings, "seed": seed}, told)
        for method in file.methods
        for seed in file.written.seeds
    }
    rows: list[Asked] = []
    ids: dict[str, str] = {}
    for item in items:
        image = hashlib.sha256(read_content(item.reference.picture)).hexdigest()
        for method in file.methods:
            for seed in file.written.seeds:
                config = configs[method.name, seed]
                key = _key(item.id, image, config)
                rows.append(
                    Asked(
                        item=item.id,
                        method=method.name,
                        seed=seed,
                        id=ids.setdefault(key, f"{_label(item.id, method.name, seed)}.{key}"),
                        image=item.reference.picture,
                        settings={**shared, **method.settings},
                        config=config,
                    )
                )
    return tuple(rows)


def each_once(asked: Sequence[Asked]) -> list[Asked]:
    """Those that are runs of their own."""
    first: dict[str, Asked] = {}
    for row in asked:
        first.setdefault(row.key, row)
    return list(first.values())


def key_of(id: str) -> str:
    return id.rpartition(".")[2]


def stale(asked: Sequence[Asked], known: Sequence[Row]) -> list[Stale]:
    """Of the rows that there are, those that are asked for no longer, with the reason."""
    keys = {row.key for row in asked}
    by_label = {row.id.rpartition(".")[0]: row for row in asked}
    left = [row for row in known if key_of(row.id) not in keys]
    return [Stale(row=row, why=_why(row, by_label.get(row.id.rpartition(".")[0]))) for row in left]


def _why(before: Row, now: Asked | None) -> str:
    if now is None:
        return "the file no longer names it"
    names = sorted(before.settings.keys() | now.settings.keys())
    if changed := [name for name in names if before.settings.get(name) != now.settings.get(name)]:
        return f"{', '.join(changed)} changed"
    return "its picture, the prompts or what is said to each run changed"


def _config(file: ExperimentFile, method: Method, settings: dict[str, Any], told: RunsTold) -> Config:
    inner = [name for name in settings for table in settings if name.startswith(f"{table}.")]
    try:
        if inner:
            table = inner[0].rpartition(".")[0]
            raise ConfigurationError(f"the setting {table!r} is a table of settings, and is said as one value too.")
        return told.config_of(settings)
    except (ConfigurationError, UsageError) as error:
        message = f"{file.path}, method {method.name!r}: {error.message}"
        raise ConfigurationError(message, error.remedy or "Correct it there.") from None


def _label(item: str, method: str, seed: int) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", item).strip("-_")[:ITEM_LETTERS] or "picture"
    return f"{plain}.{method}.s{seed}"


def _key(item: str, image: str, config: Config) -> str:
    recording = str(config.recording) if config.recording else ""
    said = json.dumps([VERSION, item, image, config.digest(), prompts_digest(), recording])
    return hashlib.sha256(said.encode()).hexdigest()[:KEY_LETTERS]
