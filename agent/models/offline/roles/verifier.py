"""The verifier: a checklist of measured figures, the same items in every round. It judges numbers, not looks."""

from __future__ import annotations

from typing import Any

from agent.models.offline.dialogue import Call, Script, Task
from agent.models.offline.roles.checks import CHECKS, Check, Seen, solidity

NO_BETTER = "The offline model has no other means to improve it; it stays as measured."


def judge(stage: str, task: Task) -> Script:
    result = yield Call("measure", {})
    objects = result.facts.get("objects")
    further, hidden = (frozenset(result.facts.get(name, ())) for name in ("further_objects", "not_seen"))
    seen = Seen(task, result.measures, objects if isinstance(objects, dict) else {}, further, hidden)
    checks = CHECKS[stage](seen) if stage in CHECKS and seen.measures else []
    if stage == "geometry" and task.cutout and checks:
        checks.append((yield from solidity()))
    if not seen.measures:
        checks = [Check("The target view can be measured.", False)]
    items = _items(checks, task.facts.get("previous_checklist") or [], task.round)
    still_open = [item["text"] for item in items if not item["satisfied"] and not item["withdrawn"]]
    done = "All figures are within their bounds, or withdrawn."
    critique = f"To improve: {' '.join(still_open)}" if still_open else done
    yield Call(
        "verdict",
        {"items": items, "critique": critique, "decision": "revise" if still_open else "approve"},
    )


def _items(checks: list[Check], known: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Checks as items: a known one by its id, an open one withdrawn from the second round on."""
    ids = {str(item.get("text")): item.get("id") for item in known}
    items = [_item(check.text, check.satisfied, ids.pop(check.text, None), number) for check in checks]
    for item in known:
        if item.get("text") in ids:
            done = bool(item.get("satisfied"))
            withdrawn = item.get("withdrawn") or (None if done else "It is no longer judged.")
            items.append({"id": item.get("id"), "text": item["text"], "satisfied": done, "withdrawn": withdrawn})
    return items[:40]


def _item(text: str, satisfied: bool, known: int | None, number: int) -> dict[str, Any]:
    withdrawn = NO_BETTER if not satisfied and number > 1 else None
    return {"id": known, "text": text, "satisfied": satisfied, "withdrawn": withdrawn}
