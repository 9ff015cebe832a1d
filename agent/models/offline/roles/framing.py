"""What the composition stage and the camera step share: the numbers that frame the picture."""

from __future__ import annotations

from agent.models.offline.dialogue import Call
from agent.models.offline.roles.common import Step, Value


def lens_and_shift(shift: float, zoom: float) -> Step[list[Value]]:
    """Shift (parts of the frame) and focal length within narrow bounds; none without a camera."""
    result = yield Call("inspect", {"subject": "scene"})
    what = result.facts.get("what")
    camera = what.get("camera") if isinstance(what, dict) else None
    if not isinstance(camera, dict) or camera.get("name") != "Camera" or not camera.get("lens_mm"):
        return []
    lens, (x, y) = float(camera["lens_mm"]), camera.get("shift") or (0.0, 0.0)
    return [
        Value('objects["Camera"].data.shift_x', x - shift, x + shift, x),
        Value('objects["Camera"].data.shift_y', y - shift, y + shift, y),
        Value('objects["Camera"].data.lens', lens * (1 - zoom), lens * (1 + zoom), lens),
    ]
