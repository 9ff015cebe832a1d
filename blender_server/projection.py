"""Owns where points of the world lie in the target picture: fractions of its width and height, origin top left."""

import math
from itertools import combinations

import bpy

from blender_server import boxes


def aspect():
    """Width / height of the target picture."""
    render = bpy.context.scene.render
    width, height = render.resolution_x * render.pixel_aspect_x, render.resolution_y * render.pixel_aspect_y
    return width / height


def fov_deg(data, ratio):
    """Horizontal and vertical field of view; of an orthographic camera: zero."""
    if data.type == "ORTHO":
        return 0.0, 0.0
    right, _left, top, _bottom = _extent(data, ratio)
    return math.degrees(2 * math.atan(right)), math.degrees(2 * math.atan(top))


def pinhole(ratio):
    """Of the active camera, for a picture of this width / height: its matrix in the world, without scale, and the
    picture's edges (right, left, top, bottom) at distance 1. None where there is none, or one without perspective."""
    camera = bpy.context.scene.camera
    if camera is None or camera.type != "CAMERA" or camera.data.type != "PERSP":
        return None
    return {"to_world": [list(row) for row in camera.matrix_world.normalized()], "edges": _extent(camera.data, ratio)}


def around(points):
    """[left, top, right, bottom] around points of the world; None without a camera or when one is not before it."""
    camera = bpy.context.scene.camera
    if camera is None or camera.type != "CAMERA" or not points:
        return None
    seen = [_before(camera) @ point for point in points]
    if camera.data.type != "ORTHO":
        if any(-point.z < camera.data.clip_start for point in seen):
            return None
        seen = [point / -point.z for point in seen]
    return _box([_place(point.x, point.y, camera.data, aspect()) for point in seen])


def around_box(box):
    """The same for a box of which a part may lie behind the camera: that part is cut off."""
    camera = bpy.context.scene.camera
    if camera is None or camera.type != "CAMERA":
        return None
    into, near = _before(camera).inverted(), max(camera.data.clip_start, 0.001) * 1.001
    corners = [_before(camera) @ corner for corner in boxes.corners(box)]
    kept = [corner for corner in corners if -corner.z >= near]
    for first, second in combinations(corners, 2):  # more than the edges, but nothing outside the box
        if (-first.z < near) != (-second.z < near):
            kept.append(first.lerp(second, (-near - first.z) / (second.z - first.z)))
    return around([into @ point for point in kept])


def _before(camera):
    """From the world to the camera's own frame, in which it looks along -Z."""
    return camera.matrix_world.normalized().inverted()


def _box(placed):
    across, down = [x for x, _ in placed], [y for _, y in placed]
    return [min(across), min(down), max(across), max(down)]


def in_frame(box):
    """The fraction of a screen box's area that lies in the picture; 0 only where nothing of it does."""
    if box is None:
        return 0.0
    width, height = box[2] - box[0], box[3] - box[1]
    if width <= 0 or height <= 0:
        return 0.0
    inside = max(min(box[2], 1.0) - max(box[0], 0.0), 0.0) * max(min(box[3], 1.0) - max(box[1], 0.0), 0.0)
    return max(round(inside / (width * height), 4), 0.0001 if inside > 0 else 0.0)


def _place(x, y, data, ratio):
    right, left, top, bottom = _extent(data, ratio)
    return (x - left) / (right - left), (top - y) / (top - bottom)


def _extent(data, ratio):
    """The picture's edges (right, left, top, bottom) at distance 1, or in metres when orthographic."""
    fits_width = data.sensor_fit == "HORIZONTAL" or (data.sensor_fit == "AUTO" and ratio >= 1)
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    longer = data.ortho_scale if data.type == "ORTHO" else sensor / data.lens
    width, height = (longer, longer / ratio) if fits_width else (longer * ratio, longer)
    shift_x, shift_y = data.shift_x * longer, data.shift_y * longer
    return shift_x + width / 2, shift_x - width / 2, shift_y + height / 2, shift_y - height / 2
