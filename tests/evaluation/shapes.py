"""Shapes that tests of geometry measure, built here: boxes and lathes, and what is joined of them."""

import math

import numpy as np

from agent.evaluation.geometry.mesh import TriangleMesh


def grid(columns, rows):
    """Two triangles for each cell of a grid of vertices numbered row by row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    return np.concatenate([np.add(corner, triangle) for triangle in ((0, 1, columns), (1, columns + 1, columns))])


def box(center, size, cells=6):
    """(vertices, faces) of six grids; what is long has oblong cells."""
    steps = np.linspace(-0.5, 0.5, cells + 1)
    across, up = (axis.reshape(-1) for axis in np.meshgrid(steps, steps))
    vertices, faces = [], []
    for axis in range(3):
        for side in (-0.5, 0.5):
            faces.append(grid(cells + 1, cells + 1) + sum(map(len, vertices)))
            vertices.append(np.insert(np.stack((across, up), axis=1), axis, side, axis=1))
    return np.concatenate(vertices) * size + center, np.concatenate(faces)


def lathe(profile, center=(0, 0, 0), around=24):
    """(vertices, faces) of a profile of (radius, height) turned about the up axis."""
    angles = np.linspace(0, 2 * math.pi, around + 1)
    rings = [(radius * np.cos(angles), radius * np.sin(angles), np.full_like(angles, up)) for radius, up in profile]
    vertices = np.concatenate([np.stack(ring, axis=1) for ring in rings])
    return vertices + center, grid(around + 1, len(profile))


def mesh(**objects):
    return TriangleMesh.joined((name, *parts) for name, parts in objects.items())


def chair():
    """1 m high; an arm on one side only, so that one turn alone fits."""
    legs = {f"leg_{x}{y}": box((0.2 * x, 0.2 * y, 0.22), (0.04, 0.04, 0.44)) for x in (-1, 1) for y in (-1, 1)}
    return mesh(
        **legs,
        seat=box((0, 0, 0.46), (0.46, 0.46, 0.05)),
        back=box((0, 0.21, 0.74), (0.46, 0.04, 0.52)),
        arm=box((0.21, 0, 0.66), (0.05, 0.4, 0.04)),
        cushion=lathe(((0, 0.48), (0.15, 0.49), (0.18, 0.53), (0.15, 0.57), (0, 0.58))),
    )


def plane():
    """Two wings, a body and a tail: 1 m of everything that a plate is not."""
    return mesh(
        body=box((0, 0, 0.15), (0.9, 0.1, 0.1)),
        lower=box((0.15, 0, 0.1), (0.15, 1, 0.01)),
        upper=box((0.15, 0, 0.35), (0.15, 1, 0.01)),
        tail=box((-0.42, 0, 0.25), (0.08, 0.01, 0.2)),
        rudder=box((-0.42, 0, 0.2), (0.1, 0.35, 0.01)),
    )


def plate():
    """A plate of 34 cm with two rolls on it."""
    roll = ((0, -0.11), (0.02, -0.1), (0.03, 0), (0.02, 0.1), (0, 0.11))
    lying = lathe(roll)[0][:, (0, 2, 1)] * (1, 1, 0.9)
    return mesh(
        plate=lathe(((0, 0), (0.1, 0), (0.17, 0.02), (0.165, 0.025), (0.1, 0.006), (0, 0.006))),
        left=(np.add(lying, (-0.04, 0, 0.035)), lathe(roll)[1]),
        right=(np.add(lying, (0.04, 0, 0.035)), lathe(roll)[1]),
    )


def similarity(yaw_deg=0.0, scale=1.0, shift=(0, 0, 0)):
    angle, matrix = math.radians(yaw_deg), np.eye(4)
    matrix[:2, :2] = ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))
    matrix[:3] *= scale
    matrix[:3, 3] = shift
    return matrix


def stretched_and_bent(shape):
    vertices = shape.vertices * (1.2, 1.0, 0.85)
    vertices[:, 0] += 0.25 * vertices[:, 2] ** 2
    return shape.with_vertices(vertices)
