"""Owns the shapes: points and faces of boxes, solids of revolution, tubes and plates, made without Blender's operators.

Those order elements by memory address, so that no two processes would make the same mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi, sin, tau

from mathutils import Vector

Point = tuple[float, float, float]
Outline = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    points: list[Point]
    faces: list[tuple[int, ...]]
    """Counter-clockwise from outside."""


def smooth(outline: Outline, steps: int = 5) -> list[tuple[float, float]]:
    """Catmull–Rom through (radius, height) pairs."""
    return [(max(0.0, x), z) for x, _, z in curve([(radius, 0, height) for radius, height in outline], steps)]


def curve(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Catmull–Rom through the points."""
    vectors = [Vector(point) for point in (points[0], *points, points[-1])]
    result = list[Point]()
    for a, b, c, d in zip(vectors, vectors[1:], vectors[2:], vectors[3:], strict=False):
        for step in range(steps):
            t = step / steps
            spot = (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3) / 2
            result.append(tuple(spot))
    return [*result, tuple(vectors[-1])]


def lathe(outline: Outline, steps: int = 48) -> Shape:
    """About Z, from (radius, height) pairs that go up the outside; ends on the axis are closed."""
    points, rings = list[Point](), list[range]()
    for radius, height in outline:
        count = 1 if radius < 1e-6 else steps
        rings.append(range(len(points), len(points) + count))
        points += [(radius * cos(tau * s / steps), radius * sin(tau * s / steps), height) for s in range(count)]
    faces = [face for low, high in pairwise(rings) for face in _between(low, high, steps)]
    return Shape(points, faces)


def _between(low: range, high: range, steps: int) -> Iterable[tuple[int, ...]]:
    for step in range(steps):
        corners = (
            low[step % len(low)],
            low[(step + 1) % len(low)],
            high[(step + 1) % len(high)],
            high[step % len(high)],
        )
        face = tuple(dict.fromkeys(corners))
        if len(face) > 2:
            yield face


def ball(radius: float, rows: int = 24, steps: int = 40) -> Shape:
    """Its middle is at the origin."""
    arc = [pi * row / rows for row in range(rows + 1)]
    ends = (0, rows)
    return lathe([(0 if row in ends else radius * sin(a), -radius * cos(a)) for row, a in enumerate(arc)], steps)


def drum(radius: float, height: float, edge: float = 0.02, steps: int = 48) -> Shape:
    """A cylinder with rounded rims that stands on the origin."""
    turns = [pi / 2 * step / 4 for step in range(5)]
    low = [(radius - edge + edge * sin(a), edge - edge * cos(a)) for a in turns]
    return lathe([(0, 0), *low, *[(r, height - z) for r, z in reversed(low)], (0, height)], steps)


def block(x: float, y: float, z: float, edge: float = 0.02) -> Shape:
    """A box with rounded edges that stands on the origin."""
    inner = Vector((x / 2 - edge, y / 2 - edge, z / 2 - edge))
    middle, quarter = Vector((0, 0, z / 2)), [pi / 2 * step / 3 for step in range(4)]
    rows = [(-1, -a) for a in reversed(quarter)] + [(1, a) for a in quarter]
    rings = list[list[Point]]()
    for side, tilt in rows:
        ring = list[Point]()
        for number, (i, j) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
            corner = Vector((i * inner.x, j * inner.y, side * inner.z)) + middle
            turns = [number * pi / 2 + a for a in quarter]
            ring += [tuple(corner + edge * Vector((cos(tilt) * cos(a), cos(tilt) * sin(a), sin(tilt)))) for a in turns]
        rings.append(ring)
    return _welded(_stacked(rings))


def tube(points: Sequence[Point], radii: Sequence[float], sides: int = 16) -> Shape:
    """A round bar along the points, closed at both ends; `radii` are spread over its length."""
    path, rings = [Vector(point) for point in points], list[list[Point]]()
    along = [(path[min(i + 1, len(path) - 1)] - path[max(i - 1, 0)]).normalized() for i in range(len(path))]
    across = along[0].orthogonal().normalized()
    for index, (spot, ahead) in enumerate(zip(path, along, strict=True)):
        across = (across - ahead * across.dot(ahead)).normalized()
        other, radius = ahead.cross(across), _spread(radii, index / (len(path) - 1))
        turns = [tau * side / sides for side in range(sides)]
        rings.append([tuple(spot + radius * (cos(a) * across + sin(a) * other)) for a in turns])
    return _stacked(rings)


def _spread(values: Sequence[float], share: float) -> float:
    place = share * (len(values) - 1)
    low = min(int(place), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def plate(outline: Outline, depth: float) -> Shape:
    """An outline in X and Z (counter-clockwise, seen from -Y) given a depth along Y, with the origin in its middle."""
    front = [(x, -depth / 2, z) for x, z in outline]
    return _stacked([[(x, y + depth, z) for x, y, z in front], front])


def copies(shape: Shape, places: Sequence[Point]) -> Shape:
    """One mesh of several."""
    count = len(shape.points)
    points = [(x + i, y + j, z + k) for i, j, k in places for x, y, z in shape.points]
    faces = [tuple(index + count * copy for index in face) for copy in range(len(places)) for face in shape.faces]
    return Shape(points, faces)


def _stacked(rings: Sequence[Sequence[Point]]) -> Shape:
    """Rings of equally many points, one above another, closed by a face at each end."""
    count = len(rings[0])
    points = [point for ring in rings for point in ring]
    faces: list[tuple[int, ...]] = [tuple(reversed(range(count)))]
    for low in range(0, count * (len(rings) - 1), count):
        for step in range(count):
            after = (step + 1) % count
            faces.append((low + step, low + after, low + count + after, low + count + step))
    return Shape(points, [*faces, tuple(range(len(points) - count, len(points)))])


def _welded(shape: Shape) -> Shape:
    """Without points that coincide, and the faces that have no area for it."""
    places = dict[Point, int]()
    for x, y, z in shape.points:
        places.setdefault((round(x, 6), round(y, 6), round(z, 6)), len(places))
    where = [places[round(x, 6), round(y, 6), round(z, 6)] for x, y, z in shape.points]
    faces = [tuple(dict.fromkeys(where[index] for index in face)) for face in shape.faces]
    return Shape(list(places), [face for face in faces if len(face) > 2])
