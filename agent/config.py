"""Owns the settings of a run: defaults < preset < file < command line. Knows nothing of what they are used for.

A configuration file is TOML with the field names below; tables for `rounds`, `budget`, `limits`
and, of limits that differ in a stage, `limits.stages.geometry` and the like.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from agent.errors import ConfigurationError
from agent.models.claude import key_present
from protocol.models import Value
from sandbox.limits import MIB, Limits

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


class Budget(Value):
    """Bounds of a run; reaching one ends it with its best scene so far."""

    tokens: PositiveInt = 8_000_000
    """Input (cached or not) and output tokens together."""
    calls: PositiveInt = 600
    minutes: PositiveFloat = 240.0
    usd: PositiveFloat | None = None
    """Counts only where the model's price is known."""


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


class Config(Value):
    preset: Preset = "default"
    model: ModelName | None = None
    """None: claude when a key is present, else offline."""
    claude_model: str | None = None
    """Model id for the service; None: the project's dated default."""
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
    prove_stages: bool = True
    """Prove the rebuild at each stage's end too, not only at the run's end."""
    standby: bool = True

    def digest(self) -> str:
        """Of everything that shapes the result, so that a resumed run can tell whether it is the same one."""
        shaping = self.model_dump_json(exclude={"blender", "budget", "limits", "side_by_side", "standby", "recording"})
        return hashlib.sha256(shaping.encode()).hexdigest()


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {
        "rollouts": 1,
        "rounds": {"initialisation": 1, "geometry": 1, "material": 1, "composition": 1, "lighting": 1, "camera": 1},
        "target_px": 256,
        "final_samples": 16,
        "look_px": 128,
        "look_samples": 8,
        "fit_px": 96,
        "fit_samples": 4,
        "fit_looks": 12,
        "splits": 0,
        "prove_stages": False,
    },
    "fine": {"target_px": 1024, "final_samples": 256, "look_px": 384, "look_samples": 32, "fit_looks": 400},
}


def load_config(options: Mapping[str, Any], file: Path | None = None) -> Config:
    """Merge `options` (dotted names, None left out) over the file over the preset over the defaults.

    Raises ConfigurationError with the setting's name when a file or value is unusable.
    """
    from_file = _read_toml(file) if file else {}
    given = _nested({name: value for name, value in options.items() if value is not None})
    preset = given.get("preset", from_file.get("preset", "default"))
    if preset not in PRESETS:
        raise ConfigurationError(f"preset {preset!r} is unknown.", f"Known: {', '.join(PRESETS)}.")
    merged = _merge(_merge(PRESETS[preset], from_file), given)
    try:
        return Config.model_validate({**merged, "preset": preset})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"setting {where!r}: {first['msg']} (got {first['input']!r}).") from None


def choose_model(config: Config) -> ModelName:
    """The model in force: the one asked for, else claude when a key is present, else offline."""
    if config.model:
        return config.model
    return "claude" if key_present() else "offline"


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"configuration file {file}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {file} is not valid TOML: {error}.") from None


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in dotted.items():
        *tables, last = name.split(".")
        place = nested
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return nested


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merge(merged[name], value) if both_tables else value
    return merged
