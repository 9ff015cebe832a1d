"""Owns what a call costs: list prices as data, dated and with their source. A model not listed has no known price.

Not here on purpose: models whose price depends on the length of the prompt, and other services' names for these models.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DEFAULT_MODEL = "claude-opus-5-5"
"""Chosen on 2026-11-23: the newest of the Opus line, which the method was first tried with."""

SOURCE = "https://platform.claude.com/docs/en/about-claude/pricing"
AS_OF = "2026-11-23"

MILLION = 1_000_000
_SNAPSHOT = re.compile(r"-20\d{6}$")


class Price(NamedTuple):
    """Dollars per million tokens, without discounts."""

    input: float
    output: float
    cache_read: float
    cache_write_5m: float
    cache_write_1h: float


_OPUS = Price(5.00, 25.00, 0.50, 6.25, 10.00)

PRICES: dict[str, Price] = {
    "claude-fable-5-1": Price(10.00, 50.00, 0.25, 12.50, 20.00),
    "claude-fable-5": Price(10.00, 50.00, 1.00, 12.50, 20.00),
    "claude-opus-5-5": Price(4.00, 20.00, 0.20, 5.00, 8.00),
    "claude-opus-5": _OPUS,
    "claude-opus-4-8": _OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-5": _OPUS,
    "claude-sonnet-5-5": Price(2.00, 10.00, 0.10, 2.50, 4.00),
    "claude-sonnet-5": Price(2.00, 10.00, 0.20, 2.50, 4.00),
    "claude-sonnet-4-6": Price(3.00, 15.00, 0.30, 3.75, 6.00),
    "claude-haiku-4-5": Price(1.00, 5.00, 0.10, 1.25, 2.00),
}


def price_of(model: str) -> Price | None:
    """The price of a model id or of a dated snapshot of it."""
    return PRICES.get(_SNAPSHOT.sub("", model))


def dollars(
    model: str, *, input: int, output: int, cache_read: int = 0, cache_write_5m: int = 0, cache_write_1h: int = 0
) -> float | None:
    """What these tokens cost at list price; None where the price is unknown."""
    price = price_of(model)
    if price is None:
        return None
    tokens = (input, output, cache_read, cache_write_5m, cache_write_1h)
    return sum(count * rate for count, rate in zip(tokens, price, strict=True)) / MILLION
