"""Owns the text of edits: which helpers of the box an edit carries, and how numbers are written. Knows no stage.

Helpers are taken verbatim from box/, so the program that rebuilds a scene shows them where they are used.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from agent.models.offline.box import making, painting, relief, solids

_HELPERS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for module in (solids, relief, making, painting)
    for function in vars(module).values()
    if inspect.isfunction(function) and function.__module__ == module.__name__
}


def edit(*lines: str) -> str:
    """A whole edit: the imports and helpers that its lines use, then the lines."""
    body = "\n".join(lines)
    needed = _needed(body)
    helpers = [inspect.getsource(_HELPERS[name]).rstrip() for name in _HELPERS if name in needed]
    math = [name for name in ("cos", "pi", "sin") if any(re.search(rf"\b{name}\b", text) for text in helpers)]
    imports = ["import bpy"] + ([f"from math import {', '.join(math)}"] if math else [])
    return "\n\n\n".join(["\n".join(imports), *helpers, body]) + "\n"


def _needed(body: str) -> set[str]:
    """Names of the helpers that a text calls, and of those that these call."""
    needed, texts = set[str](), [body]
    while texts:
        text = texts.pop()
        for name, function in _HELPERS.items():
            if name not in needed and re.search(rf"(?<![\w.]){name}\(", text):
                needed.add(name)
                texts.append(inspect.getsource(function))
    return needed


def literal(value: Any, digits: int = 4) -> str:
    """A number, or nested sequences of numbers, as short Python text."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        inside = ", ".join(literal(one, digits) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    rounded = round(float(value), digits)
    return repr(int(rounded)) if rounded == int(rounded) and abs(rounded) < 1e9 else repr(rounded)


def grid(values: Any, scale: float, limit: int = 9999) -> str:
    """Rows of whole numbers."""
    whole = np.clip(np.rint(np.asarray(values, dtype=np.float64) * scale), -limit, limit).astype(int)
    rows = ["[" + ",".join(map(str, row)) + "]" for row in whole.tolist()]
    return "[" + ",\n".join(rows) + "]"


def call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def text(value: str) -> str:
    return repr(value)


def joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)
