"""Owns the choice of a level: the one asked for, or the best that holds here; never below the one that is required."""

from __future__ import annotations

from protocol.errors import SetupFailed
from sandbox.confinement import probes
from sandbox.confinement.levels import Level, parse_wanted


def choose(wanted: str = "auto", required: str | None = None) -> Level:
    """The level to use. Raises ValueError for a name that is none, SetupFailed where this machine does not reach what
    was asked for or required: nothing is ever lowered silently."""
    level, at_least = parse_wanted(wanted), Level.parse(required) if required else Level.PROCESS
    reach = probes.reach()
    best = reach.best()
    if level is not None and not reach.holds(level):
        raise _unreached(level, best)
    if (level if level is not None else best) < at_least:
        if level is not None:
            raise SetupFailed(f"Isolation level {at_least} is required, and {level} asked for.", "Ask for auto.")
        raise _unreached(at_least, best)
    return best if level is None else level


def _unreached(level: Level, best: Level) -> SetupFailed:
    failed = next(probe for probe in probes.reach().of(level) if not probe.passed)
    message = f"This machine does not reach isolation level {level} ({level.word}), only {best}: {failed.name}: "
    return SetupFailed(message + failed.detail.strip().rstrip(".") + ".", failed.remedy or "See `doctor`.")
