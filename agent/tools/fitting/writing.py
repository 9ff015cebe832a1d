"""Owns how found values become an edit: literal assignments to paths below bpy.data, nothing that calls or computes."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Literal: TypeAlias = "float | Sequence[Literal]"
"""A number, or numbers in tuples of any depth."""


def is_plain_path(path: str) -> bool:
    """Whether the text is a chain of attributes and constant subscripts, nothing that calls or computes."""
    try:
        node: ast.AST = ast.parse(f"bpy.data.{path}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if "\n" in path:
        return False
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute) or (
            isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
        ):
            node = node.value
        else:
            return False
    return True


def assignments(values: Mapping[str, Literal]) -> str:
    """The edit that sets the values, as literal Python."""
    lines = [f"bpy.data.{path} = {literal(value)}" for path, value in values.items()]
    return "import bpy\n\n" + "\n".join(lines) + "\n"


def literal(value: Literal) -> str:
    """As Python, to six digits."""
    if isinstance(value, int | float):
        return f"{value:.6g}"
    return f"({', '.join(literal(one) for one in value)}{',' if len(value) == 1 else ''})"
