"""Owns bending one surface onto another by the Neural Deformation Pyramid, and saying why where that is not possible.

NDP's own programs begin from clouds that are only moved to their means. Here it is given a source that ICP has aligned
already: alone it does not find a turn of 60 degrees.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.evaluation.geometry.mesh import Points, Surface
from agent.evaluation.geometry.needs import needs

SAMPLES = 2000
"""Of each surface, others than those that the result is measured on."""


def bend(source: Surface, target: Surface, seed: int) -> Callable[[Points], Points]:
    """A warp for any points of the source's space; raises Unavailable. In units of the target's diagonal."""
    try:
        from agent.evaluation.geometry.pyramid import fit
    except ImportError as error:
        raise needs("torch") from error
    return fit(source.sample(SAMPLES, seed + 20), target.sample(SAMPLES, seed + 21), target.diagonal_m, seed).warp
