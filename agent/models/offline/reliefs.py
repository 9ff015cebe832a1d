"""Owns the solids of the geometry stage: for each part an outline, a front and a back sheet over a grid of the picture.

All parts of a connected silhouette share one swelling, so that they fit together in depth; each swells a little of its
own, and what lies upon another part is a shallow solid sunk into it. The box turns grids into meshes (box/relief.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from agent.models.offline.colors import Floats, Mask
from agent.models.offline.inflation import inflated, padded
from agent.models.offline.reading import LONG_SIDE_PX, Part, Reading
from agent.models.offline.shapes import read_shape

OWN_SWELLING = 0.35
"""Of a part's own inflation, added to the silhouette's."""
UNDERLAP_PX = 2
"""How far a part reaches under smaller neighbours, so that no gap is seen between them."""
LEAST_HALF_PX = 1.0
COARSEST_PX, FINEST_PX = 4.0, 1.5
"""Steps of grids, in a picture whose longer side has 512 pixels."""
PADDING_PX = 8
LEAST_CORNERS = 4
"""Inside an outline, for a grid to show it."""
MOST_CORNERS = 24_000
"""Of all grids of a scene together."""


@dataclass(frozen=True, eq=False)
class Relief:
    """Grid corners in rows; see `relief` in box/relief.py."""

    name: str
    corner: tuple[float, float]
    step: float
    inside: Floats
    front: Floats
    """Pixels before the plane."""
    back: Floats | None


class Swelling:
    """Depths of all parts of a reading, in pixels before their planes."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.whole = np.zeros(reading.silhouettes.shape)
        for number in reading.planes:
            own = reading.silhouettes == number
            swell = padded if read_shape(own).kind in ("box", "rod") else inflated
            self.whole[own] = swell(own)[own]
        self._fronts: dict[int, Floats] = {}
        self._rank = {id(part): rank for rank, part in enumerate(reading.parts)}

    def front(self, index: int) -> Floats:
        """Of a part's front sheet, over the whole picture."""
        if index not in self._fronts:
            part = self.reading.parts[index]
            below = self.whole if part.upon is None else self.front(part.upon)
            body = self.body(index)
            own = (0.0 if part.shape.kind in ("box", "rod") else OWN_SWELLING) * inflated(body)
            bias = 0.25 * min(self._rank[id(part)], 8)
            self._fronts[index] = np.asarray(np.maximum(below + own + bias, LEAST_HALF_PX))
        return self._fronts[index]

    def back(self, index: int) -> Floats | None:
        """None: as far behind the plane as the silhouette swells before it."""
        part = self.reading.parts[index]
        if part.upon is None:
            return np.asarray(np.maximum(self.whole, LEAST_HALF_PX))
        depth = np.maximum(0.6 * inflated(part.body), 3.0)
        return np.asarray(-(self.front(part.upon) - depth))

    def body(self, index: int) -> Mask:
        """With what it reaches under smaller neighbours."""
        part, labels = self.reading.parts[index], self.reading.labels
        smaller = (labels > index + 1) & (self.reading.silhouettes == part.silhouette)
        window = _around(part.body, UNDERLAP_PX)
        body = part.body.copy()
        body[window] |= ndimage.binary_dilation(part.body[window], iterations=UNDERLAP_PX) & smaller[window]
        return body


def _around(mask: Mask, pixels: int) -> tuple[slice, slice]:
    rows, columns = ndimage.find_objects(mask.astype(np.int8))[0]
    return _wider(rows, pixels), _wider(columns, pixels)


def _wider(span: slice, pixels: int) -> slice:
    return slice(max(0, span.start - pixels), span.stop + pixels)


def reliefs(reading: Reading) -> list[Relief]:
    """Of every part."""
    swelling, steps = Swelling(reading), grid_steps(reading)
    return [_relief(swelling, index, steps[part.name]) for index, part in enumerate(reading.parts)]


def grid_steps(reading: Reading) -> dict[str, float]:
    """By part: pixels between the corners of its grid, within the bound on all grids together."""
    scale = min(1.0, max(reading.frame.width, reading.frame.height) / LONG_SIDE_PX)
    steps = {part.name: _step(part, scale) for part in reading.parts}
    corners = sum(np.count_nonzero(part.body) / steps[part.name] ** 2 for part in reading.parts)
    wider = max(1.0, float(np.sqrt(corners / MOST_CORNERS)))
    return {name: step * wider for name, step in steps.items()}


def _step(part: Part, scale: float) -> float:
    """Fine enough for the part's narrow places."""
    body = np.pad(part.body[_around(part.body, 0)], 1)
    reach = float(np.median(ndimage.distance_transform_edt(body)[body]))
    return float(np.clip(0.8 * reach, max(1.0, FINEST_PX * scale), max(1.5, COARSEST_PX * scale)))


def _relief(swelling: Swelling, index: int, step: float) -> Relief:
    body = swelling.body(index)
    corner, x, y = _grid(body, step)
    inside = _signed(body, x, y)
    while np.count_nonzero(inside > 0) < LEAST_CORNERS:  # too thin for the grid: drawn broader
        body, step = ndimage.binary_dilation(body), max(0.5, 0.8 * step)
        corner, x, y = _grid(body, step)
        inside = _signed(body, x, y)
    front, back = _sampled(swelling.front(index), x, y), swelling.back(index)
    name = swelling.reading.parts[index].name
    return Relief(name, corner, step, inside / step, front, None if back is None else _sampled(back, x, y))


def _grid(body: Mask, step: float) -> tuple[tuple[float, float], Floats, Floats]:
    """Its first corner, and the places of all corners; the outermost lie outside the body."""
    left, top, right, bottom = _box(body)
    pad = step * 0.75
    columns = int(np.ceil((right - left + 2 * pad) / step)) + 1
    rows = int(np.ceil((bottom - top + 2 * pad) / step)) + 1
    corner = ((left + right - (columns - 1) * step) / 2, (top + bottom - (rows - 1) * step) / 2)
    y, x = np.mgrid[0:rows, 0:columns] * step
    return corner, x + corner[0], y + corner[1]


def _signed(body: Mask, x: Floats, y: Floats) -> Floats:
    """Distance to the outline, positive inside."""
    left, top, right, bottom = _box(body)
    return _sampled(_signed_distance(body[top:bottom, left:right]), x - left + PADDING_PX, y - top + PADDING_PX)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def _signed_distance(mask: Mask) -> Floats:
    """To the outline, positive inside; with `PADDING_PX` of nothing around it."""
    padded = np.pad(mask, PADDING_PX)
    distance = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    distance = np.where(distance > 0, distance - 0.5, distance + 0.5)
    return np.asarray(distance)


def _sampled(values: Floats, x: Floats, y: Floats) -> Floats:
    """Between pixel centres, linearly."""
    return np.asarray(ndimage.map_coordinates(values, [y - 0.5, x - 0.5], order=1, mode="nearest"))
