"""The generator of the camera step: a last small fit of the framing."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles.common import finish, fit
from agent.models.offline.roles.framing import lens_and_shift


def refine(task: Task) -> Script:
    values = yield from lens_and_shift(0.004, 0.008)
    gain = (yield from fit(task, "framing", values, 16)) if values else 0.0
    yield from finish(f"The camera was chosen first and all was built to be seen by it; a last fit gained {gain:.4f}.")


def nothing(task: Task) -> Script:
    yield from finish("The offline model has nothing to do in this stage.")
