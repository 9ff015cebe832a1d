"""The generator of the lighting stage: strengths first, then the sun's direction, each fitted by small renders."""

from __future__ import annotations

from math import radians
from typing import Any

from agent.models.offline.dialogue import Call, Script, Task
from agent.models.offline.roles.common import Value, finish, fit, start_score

SKY = 'worlds["World"].node_tree.nodes["Sky"].inputs[1].default_value'


def refine(task: Task) -> Script:
    scene = yield Call("inspect", {"subject": "scene"})
    sun = _sun(scene.facts.get("what"))
    if task.round > 1 or sun is None:
        yield from finish("The light stays as it is.")
        return
    name, energy, turn = sun
    stands = start = yield from start_score()
    stands = yield from fit(task, "strength of sun and sky", _strengths(name, energy, scene.facts), 20, stands)
    if task.preset != "quick":
        stands = yield from fit(task, "direction of the sun", _direction(name, turn), 20, stands)
    yield from finish(f"Sun and sky were fitted; score {start:.2f} → {stands:.2f}.")


def _sun(what: Any) -> tuple[str, float, tuple[float, float]] | None:
    """Name, strength and angles (about x and z, radians) of the first sun."""
    lights = what.get("lights", []) if isinstance(what, dict) else []
    for light in lights:
        if light.get("type") == "SUN":
            about_x, _, about_z = (radians(float(angle)) for angle in light["rotation_deg"])
            return str(light["name"]), float(light["energy"]), (about_x, about_z)
    return None


def _strengths(name: str, energy: float, facts: dict[str, Any]) -> list[Value]:
    values = [Value(f'lights["{name}"].energy', 0.3 * energy, 2.0 * energy + 0.1, energy)]
    world = facts["what"].get("world") or {}
    strength = world.get("strength")
    if world.get("name") == "World" and strength:
        values.append(Value(SKY, 0.5 * strength, 1.6 * strength, strength))
    return values


def _direction(name: str, turn: tuple[float, float]) -> list[Value]:
    """Within 40 degrees, never from below."""
    about_x, about_z = turn
    reach = radians(40)
    return [
        Value(f'objects["{name}"].rotation_euler[0]', max(0.0, about_x - reach), min(1.5, about_x + reach), about_x),
        Value(f'objects["{name}"].rotation_euler[2]', about_z - reach, about_z + reach, about_z),
    ]
