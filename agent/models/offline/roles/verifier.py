"""The verifier: a checklist of measured figures."""

from __future__ import annotations

from agent.models.offline.dialogue import Call, Script, Task


def judge(stage: str, task: Task) -> Script:
    result = yield Call("measure", {})
    items = [{"id": None, "text": "The target view can be measured.", "satisfied": bool(result.measures)}]
    decision = "approve" if result.measures else "revise"
    yield Call("verdict", {"items": items, "critique": "Judged by measures.", "decision": decision})
