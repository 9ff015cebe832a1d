"""Owns what one row of a table of faults is, and how a table is written down with what came of it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import levels
from tests.faults.ground import REACHED, Ground


@dataclass(frozen=True)
class Row:
    """One injection. Outcomes are an edit's kind, or "denied" and "reached" where code tries to get at something."""

    id: str
    """Number in the catalogue, with a letter where that holds several injections."""
    injection: str
    """What is done, for the reader of the documentation."""
    expected: frozenset | dict
    """The outcomes, or those of each level. Where a level does not stop something, that is what is expected."""
    what: str | Callable[[Ground], str]
    """Code that is run as an edit, or something that is done and gives the outcome."""
    timeout_s: float = 15.0
    reaches: bool = False
    """Whether it prints REACHED, or leaves a mark on a canary, where it gets at what it should not."""
    ends_by: str = ""
    """What stops it, in words."""
    kind: str = "wheel"
    ordinary: bool = False
    """Part of `make test`."""
    lingers: bool = False
    """What it leaves in its process stays until its stage ends: the next edit to be looked at begins a stage."""
    once: bool = False
    """The level cannot make a difference: it is tried at the lowest alone."""

    def at(self, level):
        expected = self.expected[level] if isinstance(self.expected, dict) else self.expected
        return expected() if callable(expected) else expected

    def levels(self, offered):
        """Where to try it: everywhere if the outcome differs, else at the lowest and at the highest level."""
        if len({self.at(level) for level in levels.LEVELS}) > 1:
            return offered
        return offered[:1] if self.once else tuple(dict.fromkeys((offered[0], offered[-1])))

    def try_on(self, ground):
        """The outcome, in one word."""
        if callable(self.what):
            return self.what(ground)
        ground.canaries.touched()
        outcome = ground.edit(ground.with_targets(self.what), timeout_s=self.timeout_s)
        if not self.reaches:
            return outcome.kind
        touched = ground.canaries.touched()
        if REACHED in outcome.stdout or touched:
            return "reached"
        return "denied" if outcome.kind in ("committed", "script_error") else outcome.kind


def one_of(*words):
    return frozenset(words)


def walled(reached="reached", denied="denied"):
    """Open at L0 and L1, as documented, and shut at L2 and L3."""
    return {name: one_of(reached) for name in levels.OPEN} | {name: one_of(denied) for name in levels.SHUT}


SURPRISE = "SURPRISE"


def written(rows, outcomes):
    """A Markdown table. `outcomes`: (id, level) → (word, whether that was expected)."""
    shown = [level for level in levels.LEVELS if any(level == at for _, at in outcomes)]
    lines = [
        "| # | what is done | " + " | ".join(shown) + " | expected | what stops it |",
        "|---" * (len(shown) + 4) + "|",
    ]
    for row in rows:
        cells = [_cell(outcomes.get((row.id, level))) for level in shown]
        lines.append(f"| {row.id} | {row.injection} | {' | '.join(cells)} | {_expected(row)} | {row.ends_by} |")
    return "\n".join(lines) + "\n"


def _cell(found):
    if found is None:
        return "·"
    word, as_expected = found
    return word if as_expected else f"**{SURPRISE}: {word}**"


def _expected(row):
    if not isinstance(row.expected, dict):
        return _words(row.expected)
    by_words = {}
    for level in levels.LEVELS:
        by_words.setdefault(row.at(level), []).append(level)
    if len(by_words) == 1:
        return _words(next(iter(by_words)))
    return "; ".join(f"{', '.join(at)}: {_words(words)}" for words, at in by_words.items())


def _words(words):
    return " or ".join(sorted(words))
