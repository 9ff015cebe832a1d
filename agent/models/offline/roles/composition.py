"""The generator of the composition stage: the camera's shift and lens, and the distance of what stands highest, by
small renders."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles.common import finish, fit
from agent.models.offline.roles.framing import lens_and_shift


def refine(task: Task) -> Script:
    if task.round > 1:
        yield from finish("Places and framing stay: they follow from the picture.")
        return
    values = yield from lens_and_shift(0.01, 0.02)
    gain = (yield from fit(task, "framing", values, 30)) if values else 0.0
    yield from finish(f"The framing was fitted; the loss fell by {gain:.4f}.")
