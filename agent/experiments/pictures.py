"""Owns which pictures an experiment is on: a data set, or what its file lists. How data sets are read is not here."""

from __future__ import annotations

import re
from pathlib import Path

from agent.errors import ConfigurationError, InputUnreadable, UsageError
from agent.evaluation.data import Dataset, Item, View
from agent.evaluation.datasets import read_dataset
from agent.experiments.file import ExperimentFile
from protocol.models import Value

KIND = re.compile(r"([a-z][a-z0-9-]*):(?!//)")
"""How the text of a data set begins that names its layout: "nerf-paper:/data/nerf_synthetic"."""
LISTED = (".csv", ".jsonl", ".ndjson", ".json")


class Pictures(Value):
    said: str
    """As the data set was named; empty where the file lists pictures."""
    dataset: Dataset

    @property
    def kind(self) -> str:
        """The layout that was named: "nerf-paper"."""
        found = KIND.match(self.said)
        return found[1] if found else ""


def pictures_of(file: ExperimentFile, data: str) -> Pictures:
    """`data`: the data set said on the command line, in the place of the file's. Raises UsageError,
    ConfigurationError, or InputUnreadable where pictures are not there."""
    said = _said(file, data)
    if not said and not file.written.pictures:
        remedy = 'Give it pictures = ["photo.jpg", "folder"], or data = "…" as `evaluate --data` takes it.'
        raise ConfigurationError(f"{file.path} names no pictures.", remedy)
    dataset = read_dataset(said) if said else _listed(file)
    if not dataset.items:
        raise InputUnreadable(f"there are no pictures in {said or file.path}.", "Check what it names.")
    if missing := [item.reference.picture for item in dataset.items if not item.reference.picture.is_file()]:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise InputUnreadable(f"{file.path}: {missing[0]}{more}: no such picture.", "Correct it there.")
    return Pictures(said=said, dataset=dataset)


def _said(file: ExperimentFile, data: str) -> str:
    known = file.written.data
    kind = KIND.fullmatch(known)
    if data:
        return data if KIND.match(data) or not kind else known + data
    if kind:
        message = f"the pictures of the experiment {file.name!r} are not shipped with it: a data set {known}…"
        raise UsageError(message, f"Say where it lies: --data {known}/path/to/it")
    return _beside(file, known) if known else ""


def _beside(file: ExperimentFile, said: str) -> str:
    """With the path in it absolute; what names no file beside it stays as it is: a data set may go by a name."""
    kind = KIND.match(said)
    before, path = (kind[0], said[kind.end() :]) if kind else ("", said)
    there = file.beside(path)
    return f"{before}{there}" if kind or there.exists() or "/" in path else said


def _listed(file: ExperimentFile) -> Dataset:
    items: list[Item] = []
    notes: list[str] = []
    for path in map(file.beside, file.written.pictures):
        if path.is_dir() or path.suffix.lower() in LISTED:
            found = read_dataset(str(path))
            items += found.items
            notes += found.notes
        else:
            items.append(Item(id=path.stem, reference=View(name=path.stem, picture=path)))
    seen: dict[str, Path] = {}
    for item in items:
        if item.id.casefold() in seen:
            both = f"{seen[item.id.casefold()]} and {item.reference.picture}"
            raise ConfigurationError(f"{file.path}: two pictures are called {item.id!r}: {both}.", "List one of them.")
        seen[item.id.casefold()] = item.reference.picture
    return Dataset(name=file.name, items=tuple(items), notes=tuple(notes))
