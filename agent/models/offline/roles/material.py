"""The generator of the material stage."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles.common import finish


def refine(task: Task) -> Script:
    yield from finish("Nothing yet.")
