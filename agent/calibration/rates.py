"""Owns the rates of error: counts of right and wrong decisions, and what they say of the true rate."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from agent.calibration.judging import Judgement
from protocol.models import Value

Z = 1.959964
"""Of the normal distribution: 95 % lie within as many standard deviations."""


class Rate(Value):
    """How many of how many, with Wilson's 95 % interval."""

    wrong: int
    judged: int
    """Only those with a verdict."""
    rate: float | None
    """None where nothing was judged."""
    low: float
    high: float


class Rates(Value):
    """Of one stage's verifier, or of all."""

    stage: str
    cases: int
    no_verdict: int
    false_approval: Rate
    """Of broken scenes: approved."""
    false_rejection: Rate
    """Of good scenes: sent back."""
    unnamed: Rate
    """Of broken scenes sent back: where neither an open item nor the critique names what is wrong."""


def rates_of(stage: str, judgements: Sequence[Judgement]) -> Rates:
    broken = [one for one in judgements if one.expected == "revise" and one.decision != "none"]
    good = [one for one in judgements if one.expected == "approve" and one.decision != "none"]
    found = [one for one in broken if one.decision == "revise"]
    return Rates(
        stage=stage,
        cases=len(judgements),
        no_verdict=len(judgements) - len(broken) - len(good),
        false_approval=rate(len(broken) - len(found), len(broken)),
        false_rejection=rate(sum(one.decision == "revise" for one in good), len(good)),
        unnamed=rate(sum(not one.names_fault for one in found), len(found)),
    )


def rate(wrong: int, judged: int) -> Rate:
    if not judged:
        return Rate(wrong=0, judged=0, rate=None, low=0.0, high=1.0)
    share, spread = wrong / judged, Z * Z / judged
    middle = (share + spread / 2) / (1 + spread)
    half = sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return Rate(
        wrong=wrong,
        judged=judged,
        rate=round(share, 4),
        low=round(max(0.0, middle - half), 4),
        high=round(min(1.0, middle + half), 4),
    )
