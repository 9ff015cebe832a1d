"""Owns the experiment file: TOML, checked as a whole, its paths beside itself. docs/experiments.md describes it.

What the pictures are is left to `pictures.py`, what the settings mean to `agent/config.py`.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from agent.config import NOT_SHAPING, OPTIONS, ModelName, Preset, dotted, in_plain_words, read_toml
from agent.errors import ConfigurationError, UsageError
from agent.experiments.methods import WAY_OUT, Method, methods_of
from protocol.models import Value

OWN_TABLES = {"seed": "seeds", "model": "model", "preset": "preset"}
"""What [settings] does not say, and what says it."""
EXAMPLE = 'methods = ["staged", "monolithic"]'


class RunBudget(Value):
    """Bounds of each run; what is not named is as a run has it."""

    usd: PositiveFloat | None = None
    tokens: PositiveInt | None = None
    calls: PositiveInt | None = None
    minutes: PositiveFloat | None = None


class TotalBudget(Value):
    """Of the whole experiment, with all that was ever spent on it."""

    usd: PositiveFloat | None = None
    tokens: PositiveInt | None = None


class Budgets(Value):
    run: RunBudget = RunBudget()
    total: TotalBudget = TotalBudget()


class Written(Value):
    """What a file may hold."""

    title: str = ""
    data: str = ""
    """As `evaluate --data` takes it; with a kind alone, "nerf-paper:", the place is said on the command line."""
    pictures: tuple[str, ...] = ()
    """Picture files, folders of them, manifests."""
    methods: tuple[str, ...] = Field(min_length=1)
    method: dict[str, dict[str, Any]] = Field(default_factory=dict)
    model: ModelName | None = None
    recording: str = ""
    """Folder whose replies the recorded model gives."""
    preset: Preset | None = None
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of all runs: those of a run by their names, but for what has a place of its own here."""
    budget: Budgets = Budgets()

    @model_validator(mode="after")
    def _one_of_each(self) -> Written:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is named twice")
        if self.data and self.pictures:
            raise ValueError("there are both data and pictures: the pictures are the one or the other")
        if self.model is None and not self.recording:
            raise ValueError('no model is named: model = "claude" or "offline"')
        if (self.model == "recorded") != bool(self.recording) and self.model is not None:
            raise ValueError('model = "recorded" and a recording go together')
        return self


TABLES: dict[str, type[Value]] = {"budget": Budgets, "budget.run": RunBudget, "budget.total": TotalBudget}


class ExperimentFile(Value):
    path: Path
    name: str
    """Of the file, without its ending."""
    written: Written
    methods: tuple[Method, ...]

    @property
    def title(self) -> str:
        return self.written.title or self.name

    @property
    def settings(self) -> dict[str, Any]:
        """Of all runs: dotted name → value."""
        said = {"model": self.written.model, "preset": self.written.preset}
        return {name: value for name, value in said.items() if value is not None} | dotted(self.written.settings)

    @property
    def told(self) -> list[str]:
        """What all runs are told that makes no other result: options of `run`."""
        bounds = self.written.budget.run.model_dump(exclude_none=True)
        options = [text for name, value in bounds.items() for text in (OPTIONS[f"budget.{name}"], str(value))]
        if self.written.recording:
            options += ["--recording", str(self.beside(self.written.recording))]
        return options

    def beside(self, path: str) -> Path:
        """A path of the file's, which is relative to it."""
        return (self.path.parent / Path(path).expanduser()).absolute()


def find_file(named: str) -> Path:
    """A file, or one that is shipped by its name. Raises UsageError."""
    path = Path(named).expanduser()
    if path.exists() or path.suffix == ".toml" or len(path.parts) > 1:
        return path
    names = shipped()
    if named in names:
        return names[named]
    close = difflib.get_close_matches(named, names, 1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    message = f"there is no experiment file {named!r}, and none of that name is shipped."
    raise UsageError(message, f"{meant}There are {', '.join(sorted(names))}.")


def shipped() -> dict[str, Path]:
    """Name → file."""
    folder = Path(str(resources.files("agent.experiments") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_file(path: Path) -> ExperimentFile:
    """Raises ConfigurationError that names the file and what is wrong in it."""
    said = read_toml("experiment file", path, EXAMPLE)
    try:
        written = Written.model_validate(said)
        _refuse_strange_settings(written.settings)
        methods = methods_of(written.methods, written.method)
    except ValidationError as error:
        raise _refused(path, error) from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}", error.remedy) from None
    return ExperimentFile(path=path, name=path.stem, written=written, methods=methods)


def _refuse_strange_settings(settings: dict[str, Any]) -> None:
    for name in settings:
        if name in OWN_TABLES:
            raise ConfigurationError(f"[settings]: {name!r} has a place of its own.", f"Say it as {OWN_TABLES[name]}.")
        if name in NOT_SHAPING:
            raise ConfigurationError(f"[settings]: {name!r} makes no other result.", WAY_OUT)


def _refused(path: Path, error: ValidationError) -> ConfigurationError:
    first = error.errors()[0]
    if first["type"] == "value_error" and not first["loc"]:
        return ConfigurationError(f"{path}: {first['ctx']['error']}.", "Correct it there.")
    names = [str(part) for part in first["loc"] if part != "[key]"]
    known = TABLES.get(".".join(names[:-1]), Written).model_fields
    close = difflib.get_close_matches(names[-1], known, 1) if first["type"] == "extra_forbidden" else []
    remedy = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(known)}: docs/experiments.md."
    return ConfigurationError(f"{path}: {'.'.join(names)!r} {in_plain_words(first)}.", remedy)
