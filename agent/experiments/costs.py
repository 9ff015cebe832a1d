"""Owns what an experiment can cost at most, and the refusal of one that might cost more than it may."""

from __future__ import annotations

from collections.abc import Iterable

from agent.config import Config, is_live, model_ids, unpriced
from agent.errors import UsageError
from agent.experiments.file import TotalBudget
from agent.farm.outcomes import Outcome
from agent.models.prices import MILLION, price_of
from protocol.models import Value


class Cost(Value):
    usd: float | None = 0.0
    """None where the price is not known."""
    tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Cost(usd=usd, tokens=self.tokens + other.tokens)

    def told(self) -> str:
        return f"{dollars(self.usd)}, {self.tokens:,} tokens"


def worst_case(config: Config) -> Cost:
    """Of one run, over all its attempts: its bound in dollars, or its tokens at the dearest rate."""
    if not is_live(config):
        return Cost()
    tokens = config.budget.tokens
    if unpriced(config):
        return Cost(usd=None, tokens=tokens)
    usd = tokens * max(max(price_of(model) or ()) for model in model_ids(config)) / MILLION
    return Cost(usd=min(usd, config.budget.usd or usd), tokens=tokens)


def spent(outcomes: Iterable[Outcome]) -> Cost:
    return sum((Cost(usd=one.usd, tokens=one.tokens) for one in outcomes), Cost())


def refuse_too_dear(most: Cost, total: TotalBudget) -> None:
    """Raises UsageError where the experiment might come to more than its file allows."""
    remedy = "Lower what a run may cost ([budget.run]), ask for fewer rows, or raise [budget.total]."
    if total.tokens is not None and most.tokens > total.tokens:
        message = f"this experiment may come to {most.tokens:,} tokens, more than the {total.tokens:,} of its file."
        raise UsageError(message, remedy)
    if total.usd is None:
        return
    if most.usd is None:
        message = "the price of a model of this experiment is not known, so no bound in dollars holds."
        raise UsageError(message, "Bound it in tokens: [budget.total] tokens.")
    if most.usd > total.usd:
        message = f"this experiment may cost ${most.usd:,.2f}, more than the ${total.usd:,.2f} of its file."
        raise UsageError(message, remedy)


def dollars(usd: float | None) -> str:
    return "an unknown price" if usd is None else f"${usd:,.2f}"
