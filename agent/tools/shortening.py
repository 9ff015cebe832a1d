"""Owns the size of a tool's result: JSON that is too long loses the ends of its longest lists, and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

LEAST_KEPT = 3
"""Entries of a list below which nothing of it is cut."""
MOST_KEYS = 24
"""A table with more is one of things by name, and may lose some."""
LONGEST_TEXT = 2000


def shortened(facts: dict[str, Any], most_chars: int) -> dict[str, Any]:
    """The same where it is short enough; else with "cut": what was left out, where. Changes `facts`, which is JSON."""
    cut: dict[str, list[int]] = {}
    while (excess := _length(facts) - most_chars) > 0 and (found := _longest(facts)):
        path, values = found
        whole = cut.setdefault(path, [len(values), len(values)])[0]
        share = max(0.5, 1 - excess / _length(values))
        _keep(values, max(LEAST_KEPT, int(len(values) * share) - 1))
        cut[path] = [whole, len(values)]
    if cut:
        facts["cut"] = [f"{path}: the first {kept} of {whole}" for path, (whole, kept) in cut.items()]
    return facts


def without_long_texts(value: Any) -> Any:
    """Every text cut to `LONGEST_TEXT`."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {str(without_long_texts(name)): without_long_texts(inner) for name, inner in value.items()}
    return [without_long_texts(inner) for inner in value] if isinstance(value, list | tuple) else value


def _keep(values: list[Any] | dict[str, Any], count: int) -> None:
    if isinstance(values, list):
        del values[count:]
    else:
        for name in list(values)[count:]:
            del values[name]


def _longest(facts: dict[str, Any]) -> tuple[str, list[Any] | dict[str, Any]] | None:
    """Path and value of the list or table that takes most room and may still lose entries."""
    candidates = [(path, inner) for path, inner in _below(facts, "") if len(inner) > LEAST_KEPT]
    return max(candidates, key=lambda one: _length(one[1]), default=None)


def _below(value: Any, path: str) -> Iterator[tuple[str, list[Any] | dict[str, Any]]]:
    """All lists and long tables in it, with their paths."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in entries:
        if isinstance(inner, list | dict):
            here = f"{path}.{name}" if path else str(name)
            if isinstance(inner, list) or len(inner) > MOST_KEYS:
                yield here, inner
            yield from _below(inner, here)


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))
