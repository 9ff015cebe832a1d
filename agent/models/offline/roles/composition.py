"""The generator of the composition stage: places follow from the picture; the framing is fitted by small renders."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles.common import finish, fit, start_score
from agent.models.offline.roles.framing import lens_and_shift


def refine(task: Task) -> Script:
    if task.round > 1:
        yield from finish("Places and framing stay: they follow from the picture.")
        return
    stands = start = yield from start_score()
    values = yield from lens_and_shift(0.01, 0.02)
    if values:
        stands = yield from fit(task, "framing", values, 16, start)
    yield from finish(f"The framing was fitted; score {start:.2f} → {stands:.2f}.")
