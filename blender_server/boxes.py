"""Owns the boxes of objects in the world, as two corners (low, high), evaluated with their modifiers."""

from itertools import product

import bpy
from mathutils import Vector

from blender_server import compat

SOLID = {
    "MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "HAIR", "POINTCLOUD", "VOLUME", "GPENCIL", "GREASEPENCIL",
}  # fmt: skip
"""Types of objects that can be seen."""
BACKDROP = 5.0


def of(thing):
    """(low, high) of one object in the world, or None when it has no extent."""
    if thing.type not in SOLID:
        return None
    evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    corners = [evaluated.matrix_world @ Vector(corner) for corner in evaluated.bound_box]
    if thing.type == "MESH" and not len(evaluated.data.vertices):
        return None
    if thing.type in ("CURVE", "SURFACE"):
        corners = vertices(thing) or corners  # their box is that of the control points, as thick as their radius
    return around(corners)


def vertices(thing, most=1 << 60):
    """Of the evaluated surface, in the world; of a dense one every n-th."""
    evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    count, matrix = len(mesh.vertices), evaluated.matrix_world
    found = [matrix @ mesh.vertices[index].co for index in range(0, count, 1 + count // most)]
    evaluated.to_mesh_clear()
    return found


def union(things):
    """The box around several objects; a metre around their places where none has an extent."""
    boxes = [box for box in map(of, things) if box]
    if boxes:
        return around([corner for box in boxes for corner in box])
    places = [thing.matrix_world.to_translation() for thing in things] or [Vector((0, 0, 0))]
    low, high = around(places)
    return low - Vector((0.5, 0.5, 0.5)), high + Vector((0.5, 0.5, 0.5))


def centre(box):
    return (box[0] + box[1]) / 2


def corners(box):
    return [Vector(corner) for corner in product(*zip(box[0], box[1]))]


def with_children(things):
    """These objects and all below them."""
    return list(dict.fromkeys(one for thing in things for one in [thing, *compat.below(thing)]))


def main_objects():
    """What is seen in the scene, without grounds and backdrops: what is many times as large as the median object."""
    seen = [thing for thing in bpy.context.scene.objects if thing.type in SOLID and not thing.hide_render]
    sizes = {thing: (box[1] - box[0]).length for thing in seen for box in [of(thing)] if box}
    if not sizes:
        return seen
    median = sorted(sizes.values())[(len(sizes) - 1) // 2]
    return [thing for thing, size in sizes.items() if size <= BACKDROP * median]


def around(points):
    low = Vector(min(point[axis] for point in points) for axis in range(3))
    high = Vector(max(point[axis] for point in points) for axis in range(3))
    return low, high
