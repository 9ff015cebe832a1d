"""Owns inspect: what a model may know of the scene, in JSON-able values. Metres, degrees, fractions of the picture.

scene: {
  "objects": [{"name", "type", "parent", "location", "rotation_deg", "scale" (all three in the world), "dimensions"
     (of the world box), "world_box": [[low], [high]] | null, "vertices", "faces" (with modifiers),
     "materials": [name | null], "hidden", "collections",
     "projected_box": [left, top, right, bottom] | null (where all of it would lie in the target picture if nothing
     covered it, as fractions, origin top left; may reach outside, at most 10 widths; null: behind the camera or without
     extent), "in_frame": fraction of the projected box's area that lies in the picture}],
  "camera": {"name", "type", "location", "rotation_deg", "lens_mm", "sensor_mm": [width, height], "sensor_fit",
     "fov_deg": [horizontal, vertical] of the target picture, "ortho_scale", "shift": [x, y], "clip": [start, end],
     "matrix_world": 4 rows, "look_direction", "aspect": width / height} | null,
  "lights": [{"name", "type", "energy", "color", "location", "rotation_deg", "direction", "size", "hidden"}],
  "world": {"name", "color", "strength", "nodes": [bl_idname]} | null,
  "view": {"view_transform", "look", "exposure", "gamma"}, "materials": [name], "images": [name]
}
object: its entry as above and {"data", "children", "modifiers": [{"name", "type", "values": {…}}], "constraints": […],
  "shape_keys": {name: value}, "vertex_groups", "uv_maps", "color_attributes", "slots": [{"material", "faces"}],
  "custom": {…}, "local_location", "local_rotation_deg", "matrix_world": 4 rows, "light" | "camera" where it is one}
material: {"name", "users": [object names], "nodes": [{"name", "type", "values": {input or property: value}}],
  "links": ["A.Color → B.Base Color"], "settings": {…}}
contacts: as `contacts` says.

Asked in short, for a reader: the same as `in_short` says it.
    if subject == "world":
        return {"what": _world_nodes(bpy.context.scene.world)}
"""

import math
from collections import Counter

import bpy

from blender_server import boxes, compat, contacts, in_short, projection, rna
from blender_server.refusals import Refusal
from protocol import errors

POINTS = 1000
"""Of an object, at most, are projected to find its box in the picture."""


def inspect(subject, name="", short=False):
    bpy.context.view_layer.update()
    if subject == "scene":
        return {"what": in_short.scene(_scene()) if short else _scene()}
    if subject == "object":
        thing = _named(bpy.data.objects, "object", name)
        return {"what": in_short.thing(_object(thing), thing) if short else _object(thing)}
    if subject == "material":
        material = _named(bpy.data.materials, "material", name)
        return {"what": in_short.material(_material(material), material) if short else _material(material)}
    if subject == "contacts":
        return {"what": contacts.contacts()}
    if subject == "world":
        return {"what": _world_nodes(bpy.context.scene.world)}
    raise Refusal(errors.BAD_REQUEST, "nothing to inspect called {!r}".format(subject))


def _named(collection, what, name):
    found = collection.get(name)
    if found is None:
        known = ", ".join(sorted(collection.keys())[:60])
        raise Refusal(errors.NOT_FOUND, "no {} {!r}; there are: {}".format(what, name[:100], known))
    return found


# ── the scene ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _scene():
    scene = bpy.context.scene
    view = scene.view_settings
    things = sorted(scene.objects, key=lambda thing: thing.name)
    return {
        "objects": [_entry(thing) for thing in things],
        "camera": _camera(scene.camera) if scene.camera and scene.camera.type == "CAMERA" else None,
        "lights": [_light(thing) for thing in things if thing.type == "LIGHT"],
        "world": _world(scene.world),
        "view": {name: _plain(getattr(view, name)) for name in ("view_transform", "look", "exposure", "gamma")},
        "materials": sorted(bpy.data.materials.keys()),
        "images": sorted(image.name for image in bpy.data.images if image.type not in ("RENDER_RESULT", "COMPOSITING")),
    }


def _entry(thing):
    box = boxes.of(thing)
    vertices, faces = _counts(thing)
    return {
        "name": thing.name,
        "type": thing.type,
        "parent": thing.parent and thing.parent.name,
        "location": _plain(thing.matrix_world.to_translation()),
        "rotation_deg": _degrees(thing.matrix_world),
        "scale": _plain(thing.matrix_world.to_scale()),
        "dimensions": _plain(box[1] - box[0]) if box else [0.0, 0.0, 0.0],
        "world_box": [_plain(corner) for corner in box] if box else None,
        "vertices": vertices,
        "faces": faces,
        "materials": [slot.material and slot.material.name for slot in thing.material_slots],
        "hidden": bool(thing.hide_render or thing.hide_viewport),
        "collections": sorted(collection.name for collection in thing.users_collection),
        **_on_screen(thing, box),
    }


def _on_screen(thing, box):
    screen = (projection.around(_points(thing)) or projection.around_box(box)) if box else None
    clipped = [min(max(value, -10.0), 11.0) for value in screen] if screen else None
    return {"projected_box": _plain(clipped), "in_frame": projection.in_frame(screen)}


def _points(thing):
    """In the world; of types that have no faces the corners of their box."""
    if thing.type in ("MESH", "CURVE", "SURFACE", "FONT"):
        return boxes.vertices(thing, POINTS)
    return boxes.corners(boxes.of(thing))


def _counts(thing):
    """Of the evaluated mesh; curves and the like count as what they are made of."""
    if thing.type == "MESH":
        mesh = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        return len(mesh.vertices), len(mesh.polygons)
    splines = getattr(thing.data, "splines", ())
    return sum(max(len(spline.points), len(spline.bezier_points)) for spline in splines), 0


def _camera(thing):
    data, aspect = thing.data, projection.aspect()
    return {
        "name": thing.name,
        "type": data.type,
        "location": _plain(thing.matrix_world.to_translation()),
        "rotation_deg": _degrees(thing.matrix_world),
        "lens_mm": _plain(data.lens),
        "sensor_mm": [_plain(data.sensor_width), _plain(data.sensor_height)],
        "sensor_fit": data.sensor_fit,
        "fov_deg": _plain(projection.fov_deg(data, aspect)),
        "ortho_scale": _plain(data.ortho_scale),
        "shift": [_plain(data.shift_x), _plain(data.shift_y)],
        "clip": [_plain(data.clip_start), _plain(data.clip_end)],
        "matrix_world": [_plain(row) for row in thing.matrix_world],
        "look_direction": _plain(_down(thing)),
        "aspect": _plain(aspect),
    }


def _light(thing):
    data = thing.data
    sizes = [getattr(data, name) for name in ("size", "size_y", "shadow_soft_size", "angle") if hasattr(data, name)]
    return {
        "name": thing.name,
        "type": data.type,
        "energy": _plain(data.energy),
        "color": _plain(data.color),
        "location": _plain(thing.matrix_world.to_translation()),
        "rotation_deg": _degrees(thing.matrix_world),
        "direction": _plain(_down(thing)),
        "size": _plain(sizes[0]) if sizes else None,
        "hidden": bool(thing.hide_render),
    }


def _world(world):
    if world is None:
        return None
    nodes = list(world.node_tree.nodes) if world.node_tree else []
    background = next((node for node in nodes if node.bl_idname == "ShaderNodeBackground"), None)
    return {
        "name": world.name,
        "color": _plain(background.inputs[0].default_value if background else world.color)[:3],
        "strength": _plain(background.inputs[1].default_value) if background else 1.0,
        "nodes": [node.bl_idname for node in nodes],
    }


# ── an object ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _object(thing):
    data, found = thing.data, _entry(thing)
    keys = getattr(data, "shape_keys", None)
    found.update(
        data=data and data.name,
        children=sorted(child.name for child in thing.children),
        local_location=_plain(thing.location),
        local_rotation_deg=_degrees(thing.matrix_local),
        matrix_world=[_plain(row) for row in thing.matrix_world],
        modifiers=[_values(modifier) for modifier in thing.modifiers],
        constraints=[_values(constraint) for constraint in thing.constraints],
        shape_keys={block.name: _plain(block.value) for block in keys.key_blocks} if keys else {},
        vertex_groups=[group.name for group in thing.vertex_groups],
        uv_maps=[layer.name for layer in getattr(data, "uv_layers", ())],
        color_attributes=[layer.name for layer in compat.color_layers(data)],
        slots=_slots(thing),
        custom={path[2:-2]: _plain(value) for path, value in rna.custom(thing)},
    )
    if thing.type == "CAMERA":
        found["camera"] = _camera(thing)
    if thing.type == "LIGHT":
        found["light"] = _light(thing)
    return found


def _slots(thing):
    indices = compat.material_indices(thing.data) if thing.type == "MESH" else ()
    faces = Counter(indices) if len(indices) else {0: len(getattr(thing.data, "polygons", ()))}
    names = [slot.material and slot.material.name for slot in thing.material_slots]
    return [{"material": name, "faces": faces.get(index, 0)} for index, name in enumerate(names)]


def _values(struct):
    values = {path: _plain(value) for path, value in rna.walk(struct) if value not in (None, "", [])}
    return {"name": struct.name, "type": struct.type, "values": dict(list(values.items())[:80])}


# ── a material ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _material(material):
    settings = rna.walk(material, skip={"node_tree", "cycles", "grease_pencil"})
    return {
        "name": material.name,
        "users": sorted(thing.name for thing in bpy.data.objects if material.name in thing.material_slots),
        **_tree(material.node_tree),
        "settings": {path: _plain(value) for path, value in settings if value is not None},
    }


def _world_nodes(world):
    if world is None:
        return {}
    return {"name": world.name, "color": _plain(world.color), **_tree(world.node_tree if world.use_nodes else None)}


def _tree(tree):
    return {
        "nodes": [_node(node) for node in tree.nodes] if tree else [],
        "links": [_link(link) for link in tree.links] if tree else [],
    }


def _node(node):
    linked = {socket.name for socket in node.inputs if socket.is_linked}
    values = {
        socket.name: _plain(socket.default_value)
        for socket in list(node.inputs) + [s for s in node.outputs if not node.inputs]
        if socket.name not in linked and socket.enabled and hasattr(socket, "default_value")
    }
    own = rna.walk(node, skip={"inputs", "outputs", "name", "type", "bl_idname", "mute", "color_tag"})
    values.update((path, _plain(value)) for path, value in own if value not in (None, "", []))
    return {"name": node.name, "type": node.bl_idname, "values": values}


def _link(link):
    names = link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name
    return "{}.{} → {}.{}".format(*names)


# ── plain values ──────────────────────────────────────────────────────────────────────────────────────────────────────
def _plain(value):
    """JSON has no NaN, no vectors and no datablocks; six digits are enough to read."""
    if isinstance(value, float):
        return float("{:.6g}".format(value)) + 0.0 if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bpy.types.ID):
        return value.name
    if hasattr(value, "tobytes") or isinstance(value, bytes):
        return "{} values".format(len(value))
    if hasattr(value, "__len__"):
        return [_plain(below) for below in value]
    return str(value)


def _degrees(matrix):
    return [_plain(math.degrees(angle)) for angle in matrix.to_euler()]


def _down(thing):
    """Where its -Z axis points: a camera's and a light's direction."""
    return -(thing.matrix_world.to_3x3().col[2].normalized())
