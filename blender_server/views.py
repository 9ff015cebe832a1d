"""Owns the temporary cameras behind the views of a render. The views' meaning: `protocol.models`."""

import math

import bpy
from mathutils import Matrix, Vector

from blender_server import boxes
from blender_server.refusals import Refusal
from protocol import errors

SIDES = {
    "front": (0, -1, 0),
    "back": (0, 1, 0),
    "left": (-1, 0, 0),
    "right": (1, 0, 0),
    "top": (0, 0, 1),
    "bottom": (0, 0, -1),
    "three_quarter": (0.8, -1, 0.7),
}
"""From where a preset looks at the box's centre. Blender's front view looks along +Y."""
MARGIN = 1.08
STEEPEST = math.radians(89)


def use(view, temporary, aspect):
    """Make `view` the scene's camera until `temporary` ends. `aspect` is width / height."""
    make = {"target": _target, "orbit": _orbit, "position": _position, "preset": _preset, "pinhole": _pinhole}
    kind = view.get("kind", "target")
    if kind not in make:
        raise Refusal(errors.BAD_REQUEST, "no view {!r}".format(kind))
    camera = make[kind](view, temporary, aspect)
    temporary.set(bpy.context.scene, camera=camera)
    temporary.set(camera.data.dof, use_dof=camera.data.dof.use_dof and kind == "target")


def active_camera():
    camera = bpy.context.scene.camera
    if camera is None or camera.type != "CAMERA":
        raise Refusal(errors.NOT_FOUND, "the scene has no active camera")
    return camera


def _target(_view, _temporary, _aspect):
    return active_camera()


def _orbit(view, temporary, _aspect):
    """The picture stays what it was where nothing turns; with a focus the camera looks at it."""
    target, focus = active_camera(), view.get("focus", "")
    azimuth, elevation, distance = (view[name] for name in ("azimuth_deg", "elevation_deg", "distance"))
    if (azimuth, elevation, distance, focus) == (0.0, 0.0, 1.0, ""):
        return target
    pivot = boxes.centre(_box(focus))
    start = target.matrix_world.copy()
    offset = start.to_translation() - pivot
    turn = Matrix.Rotation(math.radians(azimuth), 4, "Z")
    turn = turn @ _raise(offset, start, math.radians(elevation))
    matrix = turn @ Matrix.Translation(-pivot) @ start
    matrix.translation = pivot + (turn @ offset) * distance
    if focus:
        matrix = _looking(matrix.translation, pivot)
    data = temporary.made(bpy.data.cameras, target.data.copy())
    data.ortho_scale *= distance
    return _camera(temporary, data, matrix)


def _raise(offset, matrix, angle):
    """A rotation about the horizontal axis across `offset` by `angle`, stopping short of the poles."""
    flat = Vector((offset.x, offset.y, 0.0))
    axis = Vector((0, 0, 1)).cross(flat) if flat.length > 1e-6 * offset.length else matrix.to_3x3() @ Vector((1, 0, 0))
    now = math.atan2(offset.z, flat.length)
    wanted = min(max(now + angle, min(now, -STEEPEST)), max(now, STEEPEST))
    return Matrix.Rotation(now - wanted, 4, axis)


def _position(view, temporary, _aspect):
    data = _data(temporary, view.get("lens_mm", 50.0))
    return _camera(temporary, data, _looking(Vector(view["location"]), Vector(view["look_at"])))


def _pinhole(view, temporary, aspect):
    matrix, (across, down), focal = Matrix(view["to_world"]), view["center"], view["focal"]
    data = _data(temporary, 50.0)
    data.sensor_width = 50.0 / focal
    data.shift_x, data.shift_y = (0.5 - across) * min(1.0, aspect), (down - 0.5) * min(1.0, 1.0 / aspect)
    data.clip_end += 2 * matrix.to_translation().length
    return _camera(temporary, data, matrix)


def _preset(view, temporary, aspect):
    side = view.get("side", "")
    if side not in SIDES:
        raise Refusal(errors.BAD_REQUEST, "no side {!r}".format(side))
    box, data = _box(view.get("focus", "")), _data(temporary, 50.0)
    centre, away = boxes.centre(box), Vector(SIDES[side]).normalized()
    turned = _looking(away, Vector((0, 0, 0))).to_3x3().transposed()
    across = 0.5 * data.sensor_width / data.lens / MARGIN  # tangent of half the angle of the longer side
    slope_x, slope_y = across * min(1.0, aspect), across * min(1.0, 1.0 / aspect)
    corners = [turned @ (corner - centre) for corner in boxes.corners(box)]
    distance = max(max(abs(c.x) / slope_x, abs(c.y) / slope_y) + c.z for c in corners)
    return _camera(temporary, data, _looking(centre + away * max(distance, 0.01), centre))


def _box(focus):
    things = boxes.with_children([_named(focus)]) if focus else boxes.main_objects()
    return boxes.union(things)


def _named(name):
    thing = bpy.data.objects.get(name)
    if thing is None:
        raise Refusal(errors.NOT_FOUND, "no object {!r}".format(name[:100]))
    return thing


def _looking(location, at):
    """+Z up; straight down or up, the picture's up is +Y."""
    direction = Vector(at) - Vector(location)
    if direction.length < 1e-9:
        raise Refusal(errors.BAD_REQUEST, "location and look_at are the same point")
    return Matrix.Translation(location) @ direction.to_track_quat("-Z", "Y").to_matrix().to_4x4()


def _data(temporary, lens_mm):
    data = temporary.made(bpy.data.cameras, bpy.data.cameras.new("look"))
    data.sensor_width, data.lens, data.sensor_fit = 36.0, lens_mm, "AUTO"
    far = max((corner.length for corner in boxes.corners(boxes.union(bpy.context.scene.objects))), default=1.0)
    data.clip_start, data.clip_end = 0.001, max(1000.0, 20.0 * far)
    return data


def _camera(temporary, data, matrix):
    camera = temporary.made(bpy.data.objects, bpy.data.objects.new("look", data))
    bpy.context.scene.collection.objects.link(camera)
    camera.matrix_world = matrix
    return camera
