"""Owns the methods that an experiment can compare: named bundles of settings of ours, and how they may be called."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from agent.config import NOT_SHAPING, dotted
from agent.errors import ConfigurationError
from agent.evaluation.other_systems import other_system
from protocol.models import Value


class Method(Value):
    name: str
    settings: dict[str, Any]
    """Dotted name → value, over those of the whole experiment."""
    what: str
    """In one line, for the report."""


SHIPPED = {
    method.name: method
    for method in (
        Method(name="staged", settings={}, what="all stages, as `run` has them"),
        Method(
            name="monolithic",
            settings={"monolithic": True},
            what="one loop over all factors in place of the four refining stages",
        ),
        Method(name="one_rollout", settings={"rollouts": 1}, what="one scene graph and scaffold, no choice"),
        Method(name="no_verifier", settings={"verifier": False}, what="each stage ends after its first attempt"),
        Method(name="no_hints", settings={"hints": False}, what="models are told no measured figures"),
        Method(name="no_scopes", settings={"scopes": False}, what="a stage may change whatever it likes"),
        Method(
            name="text_only_scaffold",
            settings={"text_only_scaffold": True},
            what="the scaffold is built from the scene graph's words, without the picture",
        ),
        Method(name="offline", settings={"model": "offline"}, what="the built-in offline model: no network, no key"),
    )
}

OF_THE_EXPERIMENT = {"seed": "seeds", "preset": "preset", "recording": "recording"}
"""What is not a method's to say, and where the file says it."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,23}")


def methods_of(names: tuple[str, ...], own: Mapping[str, Mapping[str, Any]]) -> tuple[Method, ...]:
    """The methods with these names; `own`: those that a file defines. Raises ConfigurationError."""
    for name, settings in own.items():
        _check(name, settings)
    known = SHIPPED | {name: _own(name, settings) for name, settings in own.items()}
    taken: set[str] = set()
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no method {name!r}.", _instead(name, list(known)))
        if name.casefold() in taken:
            raise ConfigurationError(f"the method {name!r} is named twice.", "Name it once.")
        taken.add(name.casefold())
    if unused := [name for name in own if name not in names]:
        raise ConfigurationError(f"[method.{unused[0]}] is not among the methods.", "Name it there, or remove it.")
    return tuple(known[name] for name in names)


def _own(name: str, settings: Mapping[str, Any]) -> Method:
    flat = dotted(settings)
    return Method(name=name, settings=flat, what=", ".join(f"{key} = {value}" for key, value in flat.items()))


def _check(name: str, settings: Mapping[str, Any]) -> None:
    if system := other_system(name):
        message = f"the method {name!r} would carry the name of another system, {system}."
        raise ConfigurationError(message, "It is a setting of this program: call it by what it changes.")
    if not NAME.fullmatch(name):
        remedy = "A name is 1 to 24 letters, digits, '_' or '-', and begins with a letter."
        raise ConfigurationError(f"{name[:80]!r} cannot name a method.", remedy)
    if name in SHIPPED:
        message = f"[method.{name}] is the name of a method that there is already: {SHIPPED[name].what}."
        raise ConfigurationError(message, "Give it another name.")
    for setting in settings:
        if setting in OF_THE_EXPERIMENT:
            message = f"[method.{name}]: {setting!r} is the same for all methods."
            raise ConfigurationError(message, f"Say it as {OF_THE_EXPERIMENT[setting]} of the experiment.")
        if setting in NOT_SHAPING:
            raise ConfigurationError(f"[method.{name}]: {setting!r} makes no other result.", WAY_OUT)


WAY_OUT = "Bounds stand in [budget]; the rest is said to each run after --, as `run` takes it."


def _instead(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return (f"Did you mean {close[0]!r}? " if close else "") + f"There are {', '.join(known)}."
