"""Owns the code of the scaffold: every part as a primitive, ground and wall, first materials, light and camera."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any

import numpy as np
from skimage import measure

from agent.models.offline.colors import Floats
from agent.models.offline.light import Light
from agent.models.offline.reading import Part, Reading
from agent.models.offline.stage_set import Sheet, sheets
from agent.models.offline.writing import edit, literal, text

_find_contours: Any = measure.find_contours
_approximate_polygon: Any = measure.approximate_polygon
HIGHEST_ALBEDO = 0.92


def scaffold_code(reading: Reading, light: Light, boxes_only: bool = False) -> str:
    """One edit that makes everything."""
    lines = [*_set_lines(reading), *_group_lines(reading)]
    for index, part in enumerate(reading.parts):
        lines += _part_lines(reading, index, part, boxes_only)
    return edit(*lines, *_light_lines(reading, light), *_camera_lines(reading))


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _group_lines(reading: Reading) -> list[str]:
    lines = ["groups = {}"]
    for number in reading.planes:
        name = reading.group(number)
        if name:
            lines.append(f"groups[{number}] = group({text(name)}, {literal(foot(reading, number))})")
    return lines


def foot(reading: Reading, number: int) -> tuple[float, float, float]:
    """The lowest middle point of a silhouette on its plane."""
    ys, xs = np.nonzero(reading.silhouettes == number)
    x, y, z = reading.frame.on_plane(np.array(xs.mean() + 0.5), np.array(ys.max() + 1.0), reading.planes[number])
    return float(x), float(y), float(z)


def center(reading: Reading, part: Part) -> tuple[float, float, float]:
    """The middle of a part on its plane: its object's origin."""
    x, y = part.shape.center
    point = reading.frame.on_plane(np.array(x), np.array(y), reading.plane(part))
    return float(point[0]), float(point[1]), float(point[2])


def _part_lines(reading: Reading, index: int, part: Part, boxes_only: bool) -> list[str]:
    x, y, z = center(reading, part)
    size = reading.frame.pixel_size(reading.plane(part))
    half = (part.shape.half[0] * size, part.shape.half[1] * size)
    nearer = 0.0 if part.upon is None else 0.3 * min(reading.parts[part.upon].shape.half) * size
    solid, turn, smooth = _solid(reading, part, half, size, boxes_only)
    color = np.clip(np.array(part.color), 0.0, HIGHEST_ALBEDO)
    surface = f"material({text(part.name)}, {literal(color)})"
    parent = f"groups.get({part.silhouette})"
    place = literal((x, y - nearer - 0.002 * min(index, 20), z))
    return [f"add({text(part.name)}, {solid}, {place}, {surface}, {parent}, {literal(turn)}, {smooth})"]


def _solid(
    reading: Reading, part: Part, half: tuple[float, float], size: float, boxes_only: bool
) -> tuple[str, float, bool]:
    """Call that makes the primitive, its turn about the y axis, whether it is smooth."""
    kind, (a, b) = part.shape.kind, half
    deep = min(a, b)
    if boxes_only and kind != "ball":
        kind = "box"
    if kind == "ball":
        return f"ball({literal((a, deep, b))[1:-1]})", part.shape.angle, True
    if kind in ("cone", "cylinder"):
        top = 0.02 * a if kind == "cone" else a
        return f"lathe({literal(((a, -b), (top, b)))})", 0.0, False
    if kind == "outline":
        corners = _outline(part, part.shape.center, size)
        if len(corners) > 2:
            return f"prism({literal(corners)}, {literal(1.2 * deep)})", 0.0, False
    box = ((-a, -b), (a, -b), (a, b), (-a, b))
    return f"prism({literal(box)}, {literal(2 * deep)})", part.shape.angle, False


def _outline(part: Part, middle: tuple[float, float], size: float) -> list[tuple[float, float]]:
    """A coarse polygon of the part's longest outline, counter-clockwise with z up."""
    loops = _find_contours(np.pad(part.body.astype(np.float64), 1), 0.5)
    if not loops:
        return []
    loop = max(loops, key=len)
    tolerance = max(1.0, 0.05 * (np.count_nonzero(part.body) ** 0.5))
    corners: Floats = _approximate_polygon(loop, tolerance)[:-1] - 0.5
    points = [((float(x) - middle[0]) * size, (middle[1] - float(y)) * size) for y, x in corners]
    area = sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(points, points[1:] + points[:1], strict=True))
    return points if area > 0 else points[::-1]


# ── ground, wall, light, camera ───────────────────────────────────────────────────────────────────────────────────────
def _set_lines(reading: Reading) -> list[str]:
    return [_sheet_line(reading, sheet) for sheet in sheets(reading)]


def _sheet_line(reading: Reading, sheet: Sheet) -> str:
    seen = reading.linear[sheet.mask]
    color = np.clip(np.median(seen, axis=0) if len(seen) else np.full(3, 0.5), 0.0, HIGHEST_ALBEDO)
    grid = literal(sheet.points.reshape(-1, 3), 3)
    solid = f"slab({grid}, {sheet.points.shape[1]}, {literal(sheet.drop)})"
    surface = f"material({text(sheet.name)}, {literal(color)}, 0.8)"
    return f"add({text(sheet.name)}, {solid}, (0, 0, 0), {surface}, None, 0, False)"


def _light_lines(reading: Reading, light: Light) -> list[str]:
    plain = reading.background.plain
    seen = None if plain is None or reading.cutout else reading.linear[~reading.background.objects].mean(axis=0)
    return [
        f"sun_light({literal(light.energy)}, {literal(light.turn)}, 0.3)",
        f"sky({literal(light.sky)}, {'None' if seen is None else literal(seen)})",
    ]


def _camera_lines(reading: Reading) -> list[str]:
    frame = reading.frame
    turn = (pi / 2 - frame.pitch, 0.0, 0.0)
    return [f"camera({literal(frame.location)}, {literal(turn, 6)}, {literal(frame.lens_mm)})"]


def lens(reading: Reading) -> str:
    """The camera as `relief` in the box takes it."""
    frame = reading.frame
    numbers = (*frame.location, frame.focal, frame.width / 2, frame.height / 2, sin(frame.pitch), cos(frame.pitch))
    return literal(numbers, 6)
