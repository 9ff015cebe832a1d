"""Owns the settings of a run: defaults < preset < file < command line. Knows nothing of what they are used for.

A configuration file is TOML with the field names below; tables for `rounds`, `budget`, `limits`
and, of limits that differ in a stage, `limits.stages.geometry` and the like.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from agent.errors import ConfigurationError, UsageError
from agent.models.base import Role
from agent.models.claude import Effort, key_present
from agent.models.prices import DEFAULT_MODEL, price_of
from protocol.gpu import GpuKind
from protocol.models import Gpu, Value
from sandbox.confinement.levels import parse_wanted
from sandbox.limits import MIB, Limits, Recycling

Preset = Literal["quick", "default", "fine"]
ModelName = Literal["claude", "offline", "recorded"]
StageName = Literal["initialisation", "geometry", "material", "composition", "lighting", "camera"]


class Rounds(Value):
    """Generator–verifier rounds of each stage; 0 leaves the stage out."""

    initialisation: PositiveInt = 2
    geometry: NonNegativeInt = 5
    material: NonNegativeInt = 3
    composition: NonNegativeInt = 3
    lighting: NonNegativeInt = 2
    camera: NonNegativeInt = 1
    monolithic: PositiveInt = 8
    """Of the one loop that takes the refining stages' place where `monolithic` is set."""
    reopened: NonNegativeInt = 1
    """Of each stage that is reopened at the end for the tickets of later ones; 0 reopens none."""


class Budget(Value):
    """Bounds of a run; reaching one ends it with its best scene so far."""

    tokens: PositiveInt = 8_000_000
    """Input (cached or not) and output tokens together."""
    calls: PositiveInt = 600
    minutes: PositiveFloat = 240.0
    usd: PositiveFloat | None = None
    """Refused where the price of a model is not known."""


class StageLimits(Value):
    """Limits of each Blender that a stage may have of its own."""

    memory_mib: PositiveInt = 4096
    """Resident, of the whole process tree."""
    folder_mib: PositiveInt = 2048
    """Everything in its work folder."""
    file_mib: PositiveInt = 1024
    """Any one file that it writes."""
    processes: PositiveInt = 64
    open_files: PositiveInt = 1024
    output_mib: PositiveInt = 16
    """Printed during one call."""
    cpu_s: PositiveInt = 7 * 24 * 3600
    """Processor time of one Blender in all."""
    execute_s: PositiveFloat = 60.0
    """Wall clock of one edit."""
    render_s: PositiveFloat = 300.0
    """Wall clock of one render."""


class BoxLimits(StageLimits):
    """Resource limits of each Blender."""

    reply_mib: PositiveInt = 256
    """Of one message that it sends."""
    boot_s: PositiveFloat = 60.0
    threads: PositiveInt | None = None
    """Of one Blender; None: the machine's cores."""
    recycle_edits: PositiveInt = 1000
    """After so many a fresh Blender takes its place; after so many minutes; after its memory grew by so much."""
    recycle_minutes: PositiveFloat = 360.0
    recycle_growth_mib: PositiveInt = 1024
    stages: dict[StageName, StageLimits] = Field(default_factory=dict)
    """By stage, what differs there: a table `limits.stages.geometry` with some of the names above."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """What a stage does not name is as in the whole run."""
        if not isinstance(given, dict) or not isinstance(given.get("stages"), dict):
            return given
        whole = {name: given[name] for name in StageLimits.model_fields if name in given}
        stages = {name: whole | own if isinstance(own, dict) else own for name, own in given["stages"].items()}
        return {**given, "stages": stages}

    def of(self, stage: str) -> StageLimits:
        """Those in force in a stage."""
        return self.stages.get(cast(StageName, stage), self)

    def of_process(self, stage: str) -> Limits:
        """What a Blender is held to in a stage."""
        return self._limits(self.of(stage))

    def of_any_process(self) -> Limits:
        """The widest of all stages, for a Blender that may be used in any of them."""
        each = [self, *self.stages.values()]
        widest = {name: max(getattr(one, name) for one in each) for name in StageLimits.model_fields}
        return self._limits(StageLimits.model_validate(widest))

    def widest_memory_mib(self) -> int:
        """That a Blender may take in any stage."""
        return max(each.memory_mib for each in (self, *self.stages.values()))

    def recycling(self) -> Recycling:
        return Recycling(
            opened=self.recycle_edits,
            age_s=60 * self.recycle_minutes,
            growth_bytes=self.recycle_growth_mib * MIB,
        )

    def _limits(self, stage: StageLimits) -> Limits:
        return Limits(
            memory_bytes=stage.memory_mib * MIB,
            folder_bytes=stage.folder_mib * MIB,
            file_bytes=stage.file_mib * MIB,
            processes=stage.processes,
            open_files=stage.open_files,
            output_bytes=stage.output_mib * MIB,
            cpu_s=stage.cpu_s,
            reply_bytes=self.reply_mib * MIB,
            boot_s=self.boot_s,
            threads=self.threads or 0,
        )


class Disk(Value):
    """What a run takes of its disks: that of its folder and that of TMPDIR."""

    start_mib: PositiveInt = 256
    """Free space without which it does not begin."""
    least_mib: PositiveInt = 64
    """Free space below which it waits, until there is more."""
    wait_minutes: NonNegativeFloat = 60.0
    """After which it stops waiting, to be resumed."""
    snapshots_mib: PositiveInt = 8192
    """Of its snapshots; above it those that nothing can need again lose their files."""


NOT_SHAPING = {
    "blender", "budget", "disk", "limits", "side_by_side", "standby", "recording", "level", "require_level", "gpu",
}  # fmt: skip
"""Settings that may differ when a run is resumed: the result is the same."""


class Config(Value):
    preset: Preset = "default"
    model: ModelName | None = None
    """None: claude when a key is present, else offline."""
    claude_model: str | None = None
    """Model id for the service; None: the project's dated default."""
    claude_models: dict[Role, str] = Field(default_factory=dict)
    """Role → model id, where it differs: generator, verifier, selector, decomposer."""
    claude_efforts: dict[Role, Effort] = Field(default_factory=dict)
    """Role → how much the service is to think: low, medium, high (where nothing is said), xhigh, max."""
    recording: Path | None = None
    """Run folder whose replies the recorded model gives."""
    blender: str | None = None
    seed: NonNegativeInt = 0
    rollouts: PositiveInt = Field(4, le=16)
    side_by_side: PositiveInt = Field(2, le=16)
    """Blenders that work on rollouts at the same time."""
    rounds: Rounds = Rounds()
    budget: Budget = Budget()
    limits: BoxLimits = BoxLimits()
    disk: Disk = Disk()
    target_px: PositiveInt = Field(512, le=4096)
    """Long side of the final render and of the reference as compared."""
    final_samples: PositiveInt = 64
    look_px: PositiveInt = 256
    """Long side of the pictures that are measured on the way."""
    look_samples: PositiveInt = 16
    fit_px: PositiveInt = 128
    fit_samples: PositiveInt = 8
    fit_looks: PositiveInt = 150
    """Most renders that one call of the fit tool may take."""
    generator_calls: PositiveInt = 24
    """Most model calls of one generator attempt."""
    verifier_calls: PositiveInt = 10
    splits: NonNegativeInt = 1
    """How often the decomposer is asked again to split nodes."""
    verifier: bool = True
    """Without one each stage ends after its first attempt."""
    hints: bool = True
    """Tell a model what is measured, and let it have the tools that measure."""
    scopes: bool = True
    """Refuse edits of what a stage is not there for."""
    text_only_scaffold: bool = False
    """Build the scaffold from the scene graph's words alone, as the paper does."""
    monolithic: bool = False
    """One loop over all factors in place of the four refining stages."""
    align_looks: NonNegativeInt = 160
    """Most renders that the alignment of the camera after the choice of a rollout may take; 0 leaves it out."""
    prove_stages: bool = True
    """Prove the rebuild at each stage's end too, not only at the run's end."""
    standby: bool = True
    level: str = "auto"
    """How strongly Blender is confined: L0 to L3, or the best that holds here."""
    require_level: str | None = None
    """Refuse to run where the level in force would be lower."""
    gpu: Gpu = False
    """Render with graphics cards: true for the best kind that there is, or one: "OPTIX", "CUDA", "HIP", "ONEAPI",
    "METAL". What cannot be had the processor does, which is said."""

    @field_validator("level", "require_level")
    @classmethod
    def _known_level(cls, name: str | None) -> str | None:
        if name is not None:
            parse_wanted(name)
        return name

    @field_validator("gpu", mode="before")
    @classmethod
    def _known_gpu(cls, wanted: Any) -> Any:
        if not isinstance(wanted, bool) and wanted not in get_args(GpuKind):
            raise ValueError(f"{wanted!r:.40} is neither true nor false nor one of {', '.join(get_args(GpuKind))}")
        return wanted

    def digest(self) -> str:
        """Of everything that shapes the result, so that a resumed run can tell whether it is the same one."""
        shaping = self.model_dump_json(exclude=NOT_SHAPING)
        return hashlib.sha256(shaping.encode()).hexdigest()


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {
        "rollouts": 1,
        "rounds": {
            "initialisation": 1,
            "geometry": 1,
            "material": 1,
            "composition": 1,
            "lighting": 1,
            "camera": 1,
            "monolithic": 2,
        },
        "target_px": 256,
        "final_samples": 16,
        "look_px": 128,
        "look_samples": 8,
        "fit_px": 96,
        "fit_samples": 4,
        "fit_looks": 12,
        "align_looks": 60,
        "splits": 0,
        "prove_stages": False,
    },
    "fine": {"target_px": 1024, "final_samples": 256, "look_px": 384, "look_samples": 32, "fit_looks": 400},
}


OPTIONS = {
    "budget.calls": "--max-calls",
    "budget.tokens": "--max-tokens",
    "budget.minutes": "--max-minutes",
    "budget.usd": "--max-cost",
    "limits.threads": "--threads",
    "standby": "--no-standby",
    **{f"claude_models.{role}": "--claude-model" for role in get_args(Role)},
}
"""How a setting is typed on the command line, where that is not its name."""


def load_config(
    options: Mapping[str, Any],
    file: Path | None = None,
    recorded: Mapping[str, Any] | None = None,
    own: Mapping[str, Any] | None = None,
) -> Config:
    """Merge `own` over `options` (dotted names, None left out) over the file over the preset over the defaults.

    `recorded`: the settings of a run that is to be replayed, in the preset's place where none is named. `own`: those
    of this picture alone, by their dotted names or as tables.
    Raises UsageError for an option, ConfigurationError for a file, with the setting as it was written there.
    """
    from_file = read_toml("configuration file", file, example="rollouts = 2") if file else {}
    own = dotted(own or {})
    typed = {name: value for name, value in options.items() if value is not None and name not in own}
    given = _nested({**typed, **own})
    preset = given.get("preset", from_file.get("preset"))
    below = recorded if recorded and preset is None else PRESETS.get(preset, {}) if isinstance(preset, str) else {}
    named = {"preset": preset or below.get("preset", "default")}
    return _validated({**_merge(_merge(below, from_file), given), **named}, typed, None if own else file)


def with_budget(config: Config, options: Mapping[str, Any]) -> Config:
    """The same settings with what `options` (dotted names, None left out) says of the budget. Raises UsageError or
    ConfigurationError for what it cannot be."""
    given = _nested({name: value for name, value in options.items() if value is not None})
    larger = _validated(_merge(config.model_dump(), given), options)
    if options.get("budget.usd") is not None:  # a run that was begun with one goes on all the same
        _refuse_unknown_price(larger)
    return larger


def _validated(settings: Mapping[str, Any], options: Mapping[str, Any], file: Path | None = None) -> Config:
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
    names = [str(part) for part in first["loc"] if part != "[key]"]
    setting, (reason, remedy) = ".".join(names), (in_plain_words(first), "")
    if first["type"] == "extra_forbidden":
        remedy = _known_instead(names)
    if options.get(setting) is not None:
        option = OPTIONS.get(setting, f"--{setting.replace('_', '-')}")
        raise UsageError(f"{option} {reason}.", remedy)
    where = f"{file}: " if file else ""
    raise ConfigurationError(f"{where}the setting {setting!r} {reason}.", remedy or "Correct it there.")


def in_plain_words(error: ErrorDetails) -> str:
    """What is wrong with a value that somebody wrote, to follow its name: "must be at least 1, not 0"."""
    facts, kind, got = error.get("ctx", {}), error["type"], error["input"]
    if kind == "extra_forbidden":
        return "is not known"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return f"is refused: {facts['error']}"
    must = next((words.format(**facts) for part, words in _KINDS.items() if kind.startswith(part)), error["msg"])
    return f"{must}, not {f'{got:.10g}' if isinstance(got, float) else repr(got)[:80]}"


_KINDS = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal": "must be one of {expected}",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "path": "must be a path",
    "tuple": "must be a list",
    "too_short": "must have at least one",
    "dict": "must be a table of settings",
    "model": "must be a table of settings",
}
"""By how pydantic's name for an error begins."""


def _known_instead(names: list[str]) -> str:
    """The closest in the same table, else anywhere, else the setting of an option's name; and where all are."""
    *table, last = names
    known = [*_names(Config), *(f"limits.stages.{names[2]}.{name}" for name in StageLimits.model_fields if names[2:])]
    beside = {name.rpartition(".")[2]: name for name in known if name.split(".")[:-1] == table}
    anywhere = {option[2:].replace("-", "_"): name for name, option in OPTIONS.items()}
    anywhere |= {name.rpartition(".")[2]: name for name in known}
    close = next((names[one] for names in (beside, anywhere) for one in difflib.get_close_matches(last, names, 1)), "")
    meant = f"Did you mean {close!r}? " if close else ""
    return f"{meant}All settings are named in {Path(__file__)}."


def _names(table: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in table.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def with_model(config: Config) -> Config:
    """With the model in force: the one asked for, else claude when a key is present, else offline.

    The offline model reckons its shapes through the camera that it has set, so that is not aligned.
    Raises ConfigurationError for what the model cannot do.
    """
    model = config.model or ("claude" if key_present() else "offline")
    if model == "offline" and config.text_only_scaffold:
        raise ConfigurationError("the offline model builds from the picture alone.", "Leave text_only_scaffold out.")
    settled = config.model_copy(update={"model": model} | ({"align_looks": 0} if model == "offline" else {}))
    _refuse_unknown_price(settled)
    return settled


def is_live(config: Config) -> bool:
    """Asks a service, which costs money."""
    return config.model == "claude"


def model_ids(config: Config) -> list[str]:
    """The models that are asked for, the first by all roles that have none of their own."""
    if not is_live(config):
        return [str(config.model)]
    return list(dict.fromkeys([config.claude_model or DEFAULT_MODEL, *config.claude_models.values()]))


def unpriced(config: Config) -> list[str]:
    """Those of them that cost nobody knows what."""
    return [model for model in model_ids(config) if price_of(model) is None] if is_live(config) else []


def _refuse_unknown_price(config: Config) -> None:
    if config.budget.usd is not None and (unknown := unpriced(config)):
        message = f"the price of {unknown[0]!r} is not known, so no bound in dollars (--max-cost, budget.usd) holds."
        remedy = f"Bound --max-tokens or --max-calls, or name a model whose price is known, such as {DEFAULT_MODEL}."
        raise ConfigurationError(message, remedy)


def read_toml(what: str, file: Path, example: str) -> dict[str, Any]:
    """Raises ConfigurationError for a file that cannot be read or is no TOML, with an example of a line."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"{what} {file}: {reason}.", "Check the path, or go without it.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{what} {file} is not valid TOML: {str(error).rstrip('.')}."
        raise ConfigurationError(message, f"It holds lines such as: {example}") from None


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ConfigurationError for a name that lies below another's value."""
    nested: dict[str, Any] = {}
    for name, value in dotted.items():
        *tables, last = name.split(".")
        above = (".".join(tables[:count]) for count in range(1, len(tables) + 1))
        if both := next((one for one in above if one in dotted), ""):
            message = f"there cannot be both the settings {both!r} and {name!r}."
            raise ConfigurationError(message, _known_instead([name]))
        place = nested
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return nested


def dotted(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their dotted names, of tables or of such names already."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merge(merged[name], value) if both_tables else value
    return merged
