"""Closed solids as (vertices, faces): x to the right, y away from the viewer, z up. Faces turn counter-clockwise seen
from outside."""
# mypy: ignore-errors
# ruff: noqa: B905, UP

from math import cos, pi, sin


def ball(a, b, c, rings=10, sides=20):
    """An ellipsoid with these half extents along x, y and z."""
    vertices = [(0.0, 0.0, c)]
    for ring in range(1, rings):
        polar = pi * ring / rings
        for side in range(sides):
            turn = 2 * pi * side / sides
            vertices.append((a * sin(polar) * cos(turn), b * sin(polar) * sin(turn), c * cos(polar)))
    vertices.append((0.0, 0.0, -c))
    last, faces = len(vertices) - 1, []
    for side in range(sides):
        after = (side + 1) % sides
        faces.append((0, 1 + side, 1 + after))
        for ring in range(rings - 2):
            above, below = 1 + ring * sides, 1 + (ring + 1) * sides
            faces.append((above + side, below + side, below + after, above + after))
        foot = 1 + (rings - 2) * sides
        faces.append((foot + side, last, foot + after))
    return vertices, faces


def prism(outline, depth):
    """A polygon of (x, z), counter-clockwise seen from the front, made `depth` deep."""
    count = len(outline)
    vertices = [(x, -depth / 2, z) for x, z in outline] + [(x, depth / 2, z) for x, z in outline]
    faces = [tuple(range(count)), tuple(range(2 * count - 1, count - 1, -1))]
    for here in range(count):
        after = (here + 1) % count
        faces.append((here, here + count, after + count, after))
    return vertices, faces


def lathe(profile, sides=24):
    """Radii at heights, [(radius, z), …] from bottom to top, turned about the z axis; closed by flat ends."""
    vertices, faces = [], []
    for radius, z in profile:
        for side in range(sides):
            turn = 2 * pi * side / sides
            vertices.append((radius * cos(turn), radius * sin(turn), z))
    for level in range(len(profile) - 1):
        for side in range(sides):
            after = (side + 1) % sides
            low, high = level * sides, (level + 1) * sides
            faces.append((low + side, low + after, high + after, high + side))
    faces.append(tuple(range(sides - 1, -1, -1)))
    faces.append(tuple(range((len(profile) - 1) * sides, len(profile) * sides)))
    return vertices, faces


def slab(grid, columns, drop):
    """A sheet of points in rows of `columns`, made solid by a copy of it moved by the vector `drop`."""
    count = len(grid)
    vertices = list(grid) + [(x + drop[0], y + drop[1], z + drop[2]) for x, y, z in grid]
    rows, faces = count // columns, []
    for row in range(rows - 1):
        for column in range(columns - 1):
            a = row * columns + column
            face = (a, a + columns, a + columns + 1, a + 1)
            faces += [face, tuple(count + corner for corner in reversed(face))]
    rim = list(range(columns - 1)) + [row * columns + columns - 1 for row in range(rows - 1)]
    rim += list(range(count - 1, count - columns, -1)) + [row * columns for row in range(rows - 1, 0, -1)]
    for here, after in zip(rim, rim[1:] + rim[:1]):
        faces.append((here, after, after + count, here + count))
    return vertices, faces
