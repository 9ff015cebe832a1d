"""The generator of the camera step: nothing is gained where the camera was chosen first and all was built to be seen by it."""

from __future__ import annotations

from agent.models.offline.dialogue import Script, Task
from agent.models.offline.roles.common import finish


def refine(task: Task) -> Script:
    yield from finish("The camera stays: everything was placed to be seen through it.")


def nothing(task: Task) -> Script:
    yield from finish("The offline model has nothing to do in this stage.")
