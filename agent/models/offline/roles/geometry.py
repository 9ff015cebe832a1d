"""The generator of the geometry stage: primitives become solids with the regions' own outlines."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.relief_code import relief_code
from agent.models.offline.reliefs import reliefs
from agent.models.offline.roles.common import finish, keep_if_better, reading_of, run_code, start_score


def refine(task: Task) -> Script:
    reading = reading_of(task)
    before = yield from start_score()
    result = yield from run_code("outlines given depth", relief_code(reading, reliefs(reading)))
    after = yield from keep_if_better(before, result)
    yield from finish(f"Regions became solids of their outlines; score {before:.2f} → {after:.2f}.")
