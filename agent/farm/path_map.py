"""Owns the mapping of paths from where a batch was submitted to where it runs: Open Job Description's pathmapping-1.0.

Source: the specification "How Jobs Are Run", section Path Mapping.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from agent.errors import ConfigurationError
from protocol.models import Value

VERSION = "pathmapping-1.0"
_KINDS: dict[str, type[PurePath]] = {"POSIX": PurePosixPath, "WINDOWS": PureWindowsPath}


class Rule(Value):
    kind: str
    """"POSIX" or "WINDOWS": how the source is written."""
    source: str
    destination: str


class PathMap(Value):
    rules: tuple[Rule, ...]
    """The longest source first: the most particular rule wins."""

    def mapped(self, path: str) -> str:
        """The path as this machine has it; one that no rule is of stays as it is."""
        for rule in self.rules:
            pure = _KINDS[rule.kind]
            try:
                below = pure(path).relative_to(pure(rule.source))
            except ValueError:
                continue
            return str(Path(rule.destination, *below.parts))
        return path


def read_path_map(file: Path) -> PathMap:
    """Raises ConfigurationError for what is no such file."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if said == {}:  # what a runner writes where there are no rules
            return PathMap(rules=())
        if said["version"] != VERSION:
            raise ValueError(f"version {said['version']!r} is not known, only {VERSION!r}")
        rules = [_rule(each) for each in said.get("path_mapping_rules", ())]
    except OSError as error:
        raise ConfigurationError(f"path map {file}: {(error.strerror or str(error)).lower()}.", "Check it.") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        message = f"path map {file} cannot be understood: {reason}."
        raise ConfigurationError(message, f"It is JSON of the form {VERSION}.") from None
    return PathMap(rules=tuple(sorted(rules, key=lambda rule: len(rule.source), reverse=True)))


def _rule(said: Any) -> Rule:
    kind = str(said["source_path_format"]).upper()
    if kind not in _KINDS:
        raise ValueError(f"source_path_format {kind!r} is neither POSIX nor WINDOWS")
    return Rule(kind=kind, source=said["source_path"], destination=said["destination_path"])
