"""The generator of the camera step: a last small fit of the framing."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles.common import finish, fit, start_score
from agent.models.offline.roles.framing import lens_and_shift


def refine(task: Task) -> Script:
    if task.preset == "quick":
        yield from finish("The camera stays: it was chosen first, and all was built to be seen by it.")
        return
    stands = start = yield from start_score()
    values = yield from lens_and_shift(0.004, 0.008)
    if values:
        stands = yield from fit(task, "framing", values, 10, start)
    yield from finish(f"A last fit of the framing; score {start:.2f} → {stands:.2f}.")


def nothing(task: Task) -> Script:
    yield from finish("The offline model has nothing to do in this stage.")
