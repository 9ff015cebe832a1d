"""Owns a stage's checklist: an item once stated stays until it is satisfied or withdrawn with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.tools.ending import VerdictInput
from protocol.models import Value


class Item(Value):
    id: int
    text: str
    satisfied: bool = False
    withdrawn: str | None = None
    round: int
    """The round in which it was first stated."""


class Checklist(Value):
    items: tuple[Item, ...] = ()
    critique: str | None = None
    """What the last verdict asked for."""
    approved: bool = False
    """Every item of the last verdict's list is satisfied or withdrawn."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Checklist:
        """Begun with what was asked for from outside the stage."""
        return cls(items=tuple(Item(id=number, text=text, round=0) for number, text in enumerate(texts, 1)))

    def after(self, verdict: VerdictInput, number: int) -> Checklist:
        """The list after a verdict: known items judged again, forgotten ones kept open, new ones added."""
        judged = {item.id: item for item in verdict.items if item.id is not None}
        items = []
        for item in self.items:
            again = judged.get(item.id)
            change = {"satisfied": again.satisfied, "withdrawn": again.withdrawn} if again else {}
            items.append(item.model_copy(update=change))
        known = {item.id for item in items}
        for new in verdict.items:
            if new.id not in known:
                fields = new.model_dump(include={"text", "satisfied", "withdrawn"})
                items.append(Item(id=max((i.id for i in items), default=0) + 1, round=number, **fields))
        is_open = any(not item.satisfied and not item.withdrawn for item in items)
        approved = verdict.decision == "approve" and not is_open
        return Checklist(items=tuple(items), critique=verdict.critique, approved=approved)

    def held_back_by(self, problems: list[str]) -> Checklist:
        """The same list, unapproved while a check by machine finds problems, which the generator is told first."""
        if not problems:
            return self
        critique = " ".join(["Found by machine:", *problems, self.critique or ""])
        return self.model_copy(update={"approved": False, "critique": critique.strip()})

    def told(self) -> list[dict[str, Any]]:
        return [item.model_dump(mode="json") for item in self.items]
