"""The generator of the initialisation: a plan, then the scaffold in one edit."""

from __future__ import annotations

from agent.models.offline.dialogue import Call, Script, Task
from agent.models.offline.light import STUDIO
from agent.models.offline.roles.common import finish, reading_of, run_code
from agent.models.offline.scaffold import scaffold_code


def build(task: Task) -> Script:
    reading = reading_of(task)
    plan = (
        "Background first, then one primitive for each region, placed on an upright plane where its silhouette meets the "
        "ground; a sun, an even sky, and a camera that shows each region where the picture has it."
    )
    yield Call("submit_plan", {"plan": plan})
    result = yield from run_code("scaffold", scaffold_code(reading, STUDIO))
    state = "stands" if result.committed else f"failed ({result.facts.get('result')})"
    yield from finish(f"The scaffold of {len(reading.parts)} regions {state}. Made by the offline model from colours alone.")
