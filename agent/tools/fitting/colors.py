"""Owns the closed form for base colours: what a surface sends back grows with its colour, the sheen on it does not.

Each colour is scaled, per channel of linear light, by the ratio of what the reference shows beyond the sheen to what
the render shows beyond it, and that a few times over, since surfaces light each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.tools.fitting.facts import SceneFacts, TreeFacts
from agent.tools.fitting.trial import Linear, Trial, Unfit, inspected
from agent.tools.fitting.writing import assignments
from agent.tools.objectives import Region

Floats = NDArray[np.float64]

SOCKETS = {"ShaderNodeBsdfPrincipled": "Base Color", "ShaderNodeBsdfDiffuse": "Color"}
"""Type of a node → its input for the colour of the surface."""
ITERATIONS = 3
FEWEST = 12
"""Pixels that tell a colour."""
OWN = 0.3
"""Of the strongest answer to a colour: pixels below it show another surface, on which it only shines."""
DARK = 0.02
"""A colour too dark to be scaled is looked at as if it were `GREY`."""
GREY = 0.5


@dataclass(frozen=True)
class Paint:
    """One unlinked colour of a material."""

    material: str
    path: str
    color: tuple[float, ...]
    """Linear RGBA."""


def paints(trial: Trial, scene: SceneFacts, names: set[str]) -> tuple[list[Paint], list[str]]:
    """The colours of the objects' materials, and notes on those that cannot be tuned. Raises Unfit without any."""
    shown = [material for thing in scene.objects if thing.name in names for material in thing.materials if material]
    found, notes = list[Paint](), list[str]()
    for material in dict.fromkeys(shown):
        others = sorted(t.name for t in scene.objects if material in t.materials and t.name not in names)
        tree = inspected(trial.bench, TreeFacts, "material", material)
        own = list(_unlinked(material, tree))
        found += own
        notes += [_why_none(material, tree)] if not own else []
        notes += [f"{material!r} also colours {', '.join(others)}"] if own and others else []
    if not found:
        why = "; ".join(notes) or "there is no material on it"
        raise Unfit(f"of {', '.join(sorted(names))} no base colour can be tuned: {why}")
    return found, notes


def _unlinked(material: str, tree: TreeFacts) -> Iterator[Paint]:
    for node in tree.nodes:
        socket = SOCKETS.get(node.type, "")
        if (color := node.color(socket)) is not None:
            inputs = f"materials[{material!r}].node_tree.nodes[{node.name!r}].inputs"
            yield Paint(material, f"{inputs}[{socket!r}].default_value", color)


def _why_none(material: str, tree: TreeFacts) -> str:
    drives = [link for link in tree.links if link.endswith((".Base Color", ".Color"))]
    if any(node.type in SOCKETS for node in tree.nodes) and drives:
        return f"{material!r} has its colour from other nodes ({drives[0]}), which are left as they are"
    return f"{material!r} has no node with a base colour"


def painted(found: Sequence[Paint], colors: Sequence[Sequence[float]]) -> str:
    """The edit that sets colours (RGB)."""
    return assignments({one.path: (*color, one.color[3]) for one, color in zip(found, colors, strict=True)})


def told(found: Sequence[Paint], colors: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        one.material: [[_short(c) for c in one.color[:3]], [_short(c) for c in color]]
        for one, color in zip(found, colors, strict=True)
    }


def colors_after(
    trial: Trial, found: Sequence[Paint], now: Sequence[Sequence[float]], wanted: Floats, chosen: Region
) -> list[tuple[float, ...]]:
    """The colours after one iteration; a colour that is not seen stays. `chosen`: height × width × 3."""
    after, seen = list[tuple[float, ...]](), trial.light(painted(found, now))
    for number, color in enumerate(now):
        black = [(0.0, 0.0, 0.0) if other == number else one for other, one in enumerate(now)]
        sheen = trial.light(painted(found, black))
        bright = seen
        probe = tuple(channel if channel >= DARK else GREY for channel in color)
        if probe != tuple(color):
            bright = trial.light(painted(found, [probe if o == number else one for o, one in enumerate(now)]))
        after.append(_scaled(color, probe, bright, sheen, wanted, chosen))
    return after


def _scaled(
    color: Sequence[float], probe: Sequence[float], bright: Linear, sheen: Linear, wanted: Floats, chosen: Region
) -> tuple[float, ...]:
    answer = (bright[..., :3] - sheen[..., :3]).astype(np.float64)
    total = answer.sum(axis=-1)
    if not chosen.any():
        return tuple(color)
    own = total > OWN * np.quantile(total[chosen.any(axis=-1)], 0.95)
    found = []
    for channel in range(3):
        pixels = own & chosen[..., channel]
        sent = float(answer[..., channel][pixels].mean()) if pixels.sum() >= FEWEST else 0.0
        if sent <= 1e-6:
            found.append(float(color[channel]))
            continue
        missing = float((wanted[..., channel] - sheen[..., channel])[pixels].mean())
        found.append(float(np.clip(probe[channel] * missing / sent, 0.0, 1.0)))
    return tuple(found)


def looks_needed(found: Sequence[Paint]) -> int:
    """At most, of one iteration."""
    return 1 + 2 * len(found)


def _short(value: float) -> float:
    return float(f"{value:.4g}")
