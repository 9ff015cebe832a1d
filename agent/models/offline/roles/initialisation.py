"""The generator of the initialisation: a plan, then the scaffold in one edit."""

from __future__ import annotations

from agent.models.offline.dialogue import Call, Script, Task
from agent.models.offline.reliefs import Swelling
from agent.models.offline.roles.common import finish, reading_of, run_code
from agent.models.offline.scaffold import scaffold_code
from agent.models.offline.shading import guess_light


def build(task: Task) -> Script:
    reading = reading_of(task)
    plan = (
        "Background first, then one primitive for each region, on an upright plane where its silhouette meets the "
        "ground; a sun, an even sky, and a camera that shows each region where the picture has it."
    )
    yield Call("submit_plan", {"plan": plan})
    result = yield from run_code("scaffold", scaffold_code(reading, guess_light(reading, Swelling(reading))))
    state = "stands" if result.committed else f"failed ({result.facts.get('result')})"
    made = f"The scaffold of {len(reading.parts)} regions {state}."
    yield from finish(f"{made} Made by the offline model, from colours alone.")
