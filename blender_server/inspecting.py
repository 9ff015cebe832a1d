"""Owns inspect: what a model may know of the scene, in JSON-able values. Metres, degrees, fractions of the picture.

scene: {
  "tree": [names, two spaces further in for each parent above],
  "objects": [{"name", "type", "location", "rotation_deg", "scale" (all three in the world), "dimensions" (of the world
     box), "world_box": [[low], [high]], "vertices", "faces" (with modifiers), "parent", "materials": [name | null],
     "hidden", "collections",
     "projected_box": [left, top, right, bottom] (where the whole object would lie in the target picture if nothing
     covered it, as fractions, origin top left; may reach outside, at most 10 widths; not there: behind the camera or
     without extent), "in_frame": fraction of the projected box's area that lies in the picture}],
     an object without a parent, turned by nothing, of scale 1, not hidden, in no collection of its own or without
     extent lacks the keys that would say so,
  "camera": {"name", "type", "location", "rotation_deg", "lens_mm", "sensor_mm": [width, height], "sensor_fit",
     "fov_deg": [horizontal, vertical] of the target picture, "ortho_scale", "shift": [x, y], "clip": [start, end],
     "matrix_world": 4 rows, "look_direction", "aspect": width / height} | null,
  "lights": [{"name", "type", "energy", "color", "location", "rotation_deg", "direction", "size", "hidden"}],
  "world": {"name", "color", "strength", "nodes": [bl_idname]} | null,
  "view": {"view_transform", "look", "exposure", "gamma"}, "materials": [name], "images": [name]
}
object: its entry as above, whole, and {"data", "children", "modifiers": ["Bevel (BEVEL): width=0.02"],
  "constraints": likewise, "shape_keys": {name: value}, "vertex_groups", "uv_maps", "color_attributes",
  "slots": [{"material", "faces"}], "custom": {…}, "local_location", "local_rotation_deg", "light" | "camera" where it
  is one}
material: {"name", "users": [object names], "nodes": ["Principled BSDF (ShaderNodeBsdfPrincipled): Roughness=0.3"],
  "links": ["A.Color -> B.Base Color"], "settings": {…}}
contacts: as `contacts` says.

Of modifiers, nodes and materials only what is not Blender's default is told: see `chosen`.
"""

import math
from collections import Counter

import bpy

from blender_server import boxes, chosen, compat, contacts, projection, rna
from blender_server.refusals import Refusal
from protocol import errors

MOST_VALUES = 40
"""Settings of one node or modifier that are told."""
POINTS = 1000
"""Of an object, at most, are projected to find its box in the picture."""
OF_EXTENT = {"dimensions", "world_box", "vertices", "faces", "projected_box", "in_frame"}


def inspect(subject, name=""):
    bpy.context.view_layer.update()
    if subject == "scene":
        return {"what": _scene()}
    if subject == "object":
        return {"what": _object(_named(bpy.data.objects, "object", name))}
    if subject == "material":
        return {"what": _material(_named(bpy.data.materials, "material", name))}
    if subject == "contacts":
        return {"what": contacts.contacts()}
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
        "tree": [line for thing in things if thing.parent is None for line in _branch(thing, "")],
        "objects": [_in_short(_entry(thing)) for thing in things],
        "camera": _camera(scene.camera) if scene.camera and scene.camera.type == "CAMERA" else None,
        "lights": [_light(thing) for thing in things if thing.type == "LIGHT"],
        "world": _world(scene.world),
        "view": {name: _plain(getattr(view, name)) for name in ("view_transform", "look", "exposure", "gamma")},
        "materials": sorted(bpy.data.materials.keys()),
        "images": sorted(image.name for image in bpy.data.images if image.type not in ("RENDER_RESULT", "COMPOSITING")),
    }


def _branch(thing, indent):
    below = sorted(thing.children, key=lambda child: child.name)
    return [indent + thing.name] + [line for child in below for line in _branch(child, indent + "  ")]


def _in_short(entry):
    """Without what is as it mostly is."""
    usual = {"rotation_deg": [0.0] * 3, "scale": [1.0] * 3, "collections": [bpy.context.scene.collection.name]}
    extent = entry["world_box"] is not None
    return {
        key: value
        for key, value in entry.items()
        if not (value is None or value is False or value == [] or value == usual.get(key))
        and (extent or key not in OF_EXTENT)
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
    with chosen.Fresh() as fresh:
        modifiers = [_told(one, one.type, values) for one, values in fresh.of_modifiers(thing)]
        constraints = [_told(one, one.type, values) for one, values in fresh.of_constraints(thing)]
    found.update(
        data=data and data.name,
        children=sorted(child.name for child in thing.children),
        local_location=_plain(thing.location),
        local_rotation_deg=_degrees(thing.matrix_local),
        modifiers=modifiers,
        constraints=constraints,
        shape_keys={block.name: _plain(block.value) for block in keys.key_blocks} if keys else {},
        vertex_groups=[group.name for group in thing.vertex_groups],
        uv_maps=[layer.name for layer in getattr(data, "uv_layers", ())],
        color_attributes=[layer.name for layer in getattr(data, "color_attributes", ())],
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


def _told(struct, kind, values):
    """ "Bevel (BEVEL): width=0.02; segments=3"."""
    texts = ["{}={}".format(path, _text(value)) for path, value in sorted(values.items())]
    if len(texts) > MOST_VALUES:
        texts[MOST_VALUES:] = ["and {} more settings".format(len(texts) - MOST_VALUES)]
    return "{} ({}){}{}".format(struct.name, kind, ": " if texts else "", "; ".join(texts))


# ── a material ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _material(material):
    tree = material.node_tree
    with chosen.Fresh() as fresh:
        nodes = [_told(node, node.bl_idname, fresh.of_node(node)) for node in tree.nodes] if tree else []
        settings = fresh.of_material(material)
    return {
        "name": material.name,
        "users": sorted(thing.name for thing in bpy.data.objects if material.name in thing.material_slots),
        "nodes": nodes,
        "links": [_link(link) for link in tree.links] if tree else [],
        "settings": {path: _plain(value) for path, value in settings.items()},
    }


def _link(link):
    names = link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name
    return "{}.{} -> {}.{}".format(*names)


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


def _text(value):
    """Short: three digits tell a setting."""
    plain = _plain(value)
    if isinstance(plain, float):
        return "{:.4g}".format(plain)
    if isinstance(plain, list):
        return "[{}]".format(", ".join(map(_text, plain)))
    return str(plain)


def _degrees(matrix):
    return [_plain(math.degrees(angle)) for angle in matrix.to_euler()]


def _down(thing):
    """Where its -Z axis points: a camera's and a light's direction."""
    return -(thing.matrix_world.to_3x3().col[2].normalized())
