"""Owns what the ledger holds of each case: the calls under its number, from whatever process, and who answered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from agent.models.base import Place
from protocol.models import Value


class Cost(Value):
    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    """None where a call's price is unknown."""

    def __add__(self, other: Cost) -> Cost:
        usd = None if self.usd is None or other.usd is None else round(self.usd + other.usd, 6)
        return Cost(calls=self.calls + other.calls, tokens=self.tokens + other.tokens, usd=usd)


class _Booked(BaseModel):
    """What costs need of a ledger's line."""

    place: Place
    model: str
    tokens: dict[str, int]
    usd: float | None


def costs(ledger: Path) -> dict[int, Cost]:
    """By the case's number."""
    found: dict[int, Cost] = {}
    for line in _booked(ledger):
        one = Cost(calls=1, tokens=sum(line.tokens.values()), usd=line.usd)
        found[line.place.rollout] = found.get(line.place.rollout, Cost()) + one
    return found


def models(ledger: Path) -> list[str]:
    """The ids that answered, as the service reports them."""
    return sorted({line.model for line in _booked(ledger)})


def _booked(ledger: Path) -> Iterator[_Booked]:
    for line in ledger.read_bytes().splitlines() if ledger.exists() else ():
        with contextlib.suppress(ValidationError):  # a line that was changed from outside
            yield _Booked.model_validate_json(line)
