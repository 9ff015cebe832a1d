"""Owns what a tool is: a name, a description, a typed input, and a function of a workbench.

A result's first block is one JSON object as text; pictures follow. Which role may use which tool is `table.py`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.models.base import Picture, Text, ToolSpec
from protocol.models import Value


class ToolInput(Value):
    """The input of one tool; unknown fields are refused, and the fields' docstrings are told to the model."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Outcome(Value):
    """What a tool call came to: told to the model, recorded in the journal."""

    content: tuple[Text | Picture, ...]
    is_error: bool = False
    head: str | None = None
    """Id of the snapshot that is the scene after the call; None where there is no scene."""
    committed: bool = False
    failure: str | None = None
    """Of an edit that was rolled back: what is compared to find that the model turns in circles."""
    plan: str | None = None
    """Of a plan that was handed in: nothing may be built before there is one."""
    product: dict[str, Any] | None = None
    """Of a tool that ends the conversation: what the conversation was for."""


def answered(facts: dict[str, Any], *pictures: Picture, **fields: Any) -> Outcome:
    """An outcome that tells the model `facts` and shows it pictures."""
    text = Text(text=json.dumps(facts, ensure_ascii=False))
    return Outcome(content=(text, *pictures), **fields)


def refused(problem: str, head: str | None = None, **facts: Any) -> Outcome:
    """An outcome that tells the model why its call could not be done."""
    return answered({"error": problem, **facts}, is_error=True, head=head)


@dataclass(frozen=True)
class Tool:
    name: str
    description: str
    input: type[ToolInput]
    use: Callable[[Any, Any], Outcome]
    """(workbench, input) → outcome."""
    ends: bool = False
    """A successful call ends the conversation."""
    builds: bool = False
    """It may change the scene: not before the plan, where one is asked for."""

    def spec(self) -> ToolSpec:
        schema = _untitled(self.input.model_json_schema())
        return ToolSpec(name=self.name, description=self.description, schema_=schema)


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic derives from names: a model learns nothing from them."""
    if isinstance(schema, dict):
        return {
            name: _untitled(value) for name, value in schema.items() if name != "title" or not isinstance(value, str)
        }
    return [_untitled(value) for value in schema] if isinstance(schema, list) else schema


def parse_input(kind: type[ToolInput], given: dict[str, Any]) -> ToolInput | str:
    """The typed input, or one text that says what is wrong with it."""
    if not _is_finite(given):
        return "every number must be finite"
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'input'}: {e['msg']}" for e in error.errors()[:5])


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def tell(value: BaseModel) -> dict[str, Any]:
    """A frozen value as JSON-able facts for a model."""
    return value.model_dump(mode="json")
