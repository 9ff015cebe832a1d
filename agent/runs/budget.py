"""Owns what a run may spend and has spent: tokens, calls, dollars, minutes. Decides nothing else."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from agent.config import OPTIONS, Budget
from agent.models.base import Place, Usage
from agent.runs.journal import Patience, append
from protocol.models import Value

log = logging.getLogger(__name__)


SPARE, LEAST_SPARE_MINUTES = 0.1, 15.0
"""Of a run's time, for what must be done once it is up: the last call's end, the final render, the proof."""


def longest_minutes(minutes: float) -> float:
    """How old a run of so many minutes may become: one that is older hangs."""
    return minutes + max(SPARE * minutes, LEAST_SPARE_MINUTES)


class BudgetReached(Exception):
    """An outcome, not a failure: the run ends with its best scene so far."""

    def __init__(self, what: str, limit: float) -> None:
        super().__init__(f"the budget of {limit:,.10g} {what} is used up")
        self.what, self.limit = what, limit

    def larger(self) -> tuple[str, str]:
        """The option that would let the run go on, with twice the bound."""
        setting = "usd" if self.what == "dollars" else self.what
        return OPTIONS[f"budget.{setting}"], f"{2 * self.limit:.10g}"


class Spending(Value):
    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    """None as soon as one call's price is unknown."""
    minutes: float = 0.0


class Ledger:
    """`ledger.jsonl`: one line per model call; sums persist across resumed attempts.

    `minutes` is what else is known of the time that earlier attempts took, after their last call.
    """

    def __init__(
        self, path: Path, budget: Budget, minutes: float = 0.0, fence: Callable[[], None] = lambda: None
    ) -> None:
        self._path, self._budget, self._fence = path, budget, fence
        self.room = Patience()
        self.was_reached = False
        """Whether something was not done because of a bound, which may be raised."""
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._calls, self._tokens, self._minutes_before = 0, 0, minutes
        self._usd: float | None = 0.0
        self._in_flight: list[Usage] = []
        self._keys: set[str] = set()
        for entry in _entries(path):
            self._count(entry)

    def knows(self, key: str) -> bool:
        """Whether the reply under this key is booked, as far as lines say which they are of; a call whose reply nobody
        saw may have been made again."""
        return key in self._keys or "" in self._keys

    def check(self) -> None:
        """Raises BudgetReached when nothing more may be spent."""
        if reached := self.reached():
            self.was_reached = True
            raise reached

    @contextlib.contextmanager
    def reserved(self, worst: Usage) -> Iterator[None]:
        """Around a model call. Raises BudgetReached when it might cost more than is left beside those under way."""
        with self._lock:
            if reached := self.reached(worst):
                self.was_reached = True
                raise reached
            self._in_flight.append(worst)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight.remove(worst)

    def reached(self, worst: Usage | None = None) -> BudgetReached | None:
        """The first bound at which nothing more may be spent, or that a call of this cost might pass."""
        spent = self.spent()
        coming = [*self._in_flight, worst] if worst else []
        tokens = spent.tokens + sum(map(_tokens, coming))
        usd = (spent.usd or 0.0) + sum(each.usd or 0.0 for each in coming)
        bounds = (
            ("calls", spent.calls + len(coming), self._budget.calls),
            ("tokens", tokens, self._budget.tokens),
            ("minutes", spent.minutes, self._budget.minutes),
            ("dollars", usd, self._budget.usd),
        )
        for what, used, limit in bounds:
            if limit is not None and (used > limit if coming and what != "minutes" else used >= limit):
                return BudgetReached(what, limit)
        return None

    def book(
        self,
        key: str,
        place: Place,
        model: str,
        usage: Usage,
        seconds: float,
        *,
        http: tuple[int, ...] = (),
        answered: bool = True,
    ) -> None:
        """`key`: under which the reply is stored; `http`: statuses of the attempts that failed before it came; not `answered`: a
        call that was under way when its process was killed, at the most that it can have cost."""
        tokens = _by_kind(usage)
        entry = {
            "at": round(time.time(), 3),
            "key": key,
            "place": place.model_dump(),
            "model": model,
            "tokens": tokens,
            "usd": usage.usd,
            "seconds": round(seconds, 2),
            "retries": len(http),
            "http": http,
            "answered": answered,
            "minutes": round(self.spent().minutes, 3),
        }
        with self._lock:
            self.room.patiently(lambda: self._append(json.dumps(entry).encode() + b"\n"))
            self._keys |= {key} if answered else set()
            self._calls += 1
            self._tokens += sum(tokens.values())
            self._usd = None if self._usd is None or usage.usd is None else self._usd + usage.usd

    def _append(self, line: bytes) -> None:
        self._fence()  # who took the run over has booked this call already
        with self._path.open("ab", buffering=0) as file:
            append(file, line)

    def leave_out(self, seconds: float) -> None:
        """Time in which the run could do nothing, and which is not taken from its budget."""
        self._started += seconds

    def spent(self) -> Spending:
        minutes = self._minutes_before + (time.monotonic() - self._started) / 60
        return Spending(calls=self._calls, tokens=self._tokens, usd=self._usd, minutes=minutes)

    def _count(self, entry: _Entry) -> None:
        self._keys |= {entry.key} if entry.answered else set()
        self._calls += 1
        self._tokens += sum(entry.tokens.values())
        self._usd = None if self._usd is None or entry.usd is None else self._usd + entry.usd
        self._minutes_before = max(self._minutes_before, entry.minutes)


def _by_kind(usage: Usage) -> dict[str, int]:
    kinds: dict[str, int] = usage.model_dump(exclude={"usd"})
    return kinds


def _tokens(usage: Usage) -> int:
    return sum(_by_kind(usage).values())


class _Entry(BaseModel):
    """What sums need of a line."""

    key: str = ""
    answered: bool = True
    tokens: dict[str, int]
    usd: float | None
    minutes: float


def _entries(path: Path) -> Iterator[_Entry]:
    """The whole lines; a last one that a kill left torn is cut off, so that the next begins a line of its own."""
    if not path.exists():
        return
    whole = path.read_bytes()
    if not whole.endswith(b"\n"):
        whole = whole[: whole.rfind(b"\n") + 1]
        os.truncate(path, len(whole))
    for line in whole.splitlines():
        try:
            yield _Entry.model_validate_json(line)
        except ValidationError:
            log.warning("a line of the ledger cannot be read: %.80r", line)
