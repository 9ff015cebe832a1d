"""Owns the surfaces that a render shows: as triangles of the world after modifiers, and others in their place.

What the triangles are for, and which of them count: the asker's.
"""

import array
import base64
import binascii

import bpy
from mathutils import Matrix

from blender_server import buffers, compat, projection
from blender_server.refusals import Refusal
from blender_server.temporary import Temporary
from protocol import errors

TYPES = {"MESH", "CURVE", "SURFACE", "META", "FONT"}
"""Of objects that have faces."""
MOST = 4000000
"""Vertices, and triangles, of a scene."""
MOST_OBJECTS = 20000
_VIEWPORT_AND_RENDER = (
    ("show_viewport", "show_render"),
    ("levels", "render_levels"),
    ("steps", "render_steps"),
    ("resolution", "render_resolution"),
    ("resolution_u", "render_resolution_u"),
    ("resolution_v", "render_resolution_v"),
)
"""Properties of modifiers and of data; for a resolution 0 means: the same."""


def surfaces(aspect=1.0):
    """All vertices (float32 × 3) as one payload, all triangles (int32 × 3) as another, one object after another."""
    told, vertices, triangles = {}, array.array("f"), array.array("i")
    for name, (positions, corners) in _each_surface(_Reader()):
        one = told.setdefault(name, {"name": name, "above": _above(name), "vertices": 0, "triangles": 0})
        before = one["vertices"]
        vertices.extend(positions)
        triangles.extend(array.array("i", (corner + before for corner in corners)) if before else corners)
        one["vertices"] += len(positions) // 3
        one["triangles"] += len(corners) // 3
    return {"objects": list(told.values()), "camera": projection.pinhole(aspect)}, [
        vertices.tobytes(),
        triangles.tobytes(),
    ]


def warp(objects):
    """What objects show is replaced by the same faces between other vertices: name → base64 of theirs, in the order of
    `surfaces`. For good: it is undone by opening the scene again."""
    given, used = {name: _numbers(text) for name, text in objects.items()}, dict.fromkeys(objects, 0)
    made = _each_surface(_converted, given)
    for name, (_, mesh, _) in made:
        used[name] += 3 * len(mesh.vertices)
    wrong = sorted(name for name in given if used[name] != len(given[name]) or not used[name])
    if wrong:
        for _, (_, mesh, _) in made:
            bpy.data.meshes.remove(mesh)
        sizes = wrong[0][:100], used[wrong[0]] // 3, len(given[wrong[0]]) // 3
        raise Refusal(errors.BAD_REQUEST, "{!r} has {} vertices, {} were given".format(*sizes))
    for name in given:
        bpy.data.objects[name].hide_render = True
    for name, (thing, mesh, matrix) in made:
        count = 3 * len(mesh.vertices)
        positions, given[name] = given[name][:count], given[name][count:]
        _put(thing, mesh, matrix, positions)
    return {"objects": len(given)}


def _numbers(text):
    found = array.array("f")
    try:
        found.frombytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise Refusal(errors.BAD_REQUEST, "not the base64 of float32 numbers: {}".format(error)) from error
    return found


class _Reader:
    """(positions in the world, corners of triangles) of one surface after another, up to a limit of all together."""

    def __init__(self):
        self._vertices, self._triangles = 0, 0

    def __call__(self, thing, matrix):
        try:
            mesh = thing.to_mesh()
        except RuntimeError:  # of its type, but without a surface: a metaball that another one includes
            return None
        if mesh is None:
            return None
        try:
            mesh.calc_loop_triangles()
            self._vertices += len(mesh.vertices)
            self._triangles += len(mesh.loop_triangles)
            _refuse_more("vertices", self._vertices, MOST)
            _refuse_more("triangles", self._triangles, MOST)
            mesh.transform(matrix)
            return compat.positions(mesh), buffers.values(mesh.loop_triangles, "vertices", "i", 3)
        finally:
            thing.to_mesh_clear()


def _converted(thing, matrix):
    """(original object, mesh of its own, matrix)."""
    try:
        mesh = bpy.data.meshes.new_from_object(thing)
    except RuntimeError:
        return None
    return thing.original, mesh, matrix


def _put(thing, mesh, matrix, positions):
    """Into the scene: an object of this mesh, with these vertices in the world, otherwise like `thing`."""
    if abs(matrix.determinant()) < 1e-12:
        matrix = Matrix.Identity(4)
    mesh.vertices.foreach_set("co", _transformed(positions, matrix.inverted()))
    mesh.update()
    for index, slot in enumerate(thing.material_slots):
        if slot.link == "OBJECT" and index < len(mesh.materials):
            mesh.materials[index] = slot.material
    made = bpy.data.objects.new("warped", mesh)
    bpy.context.scene.collection.objects.link(made)
    made.matrix_world = matrix
    made.color, made.pass_index = thing.color, thing.pass_index
    compat.copy_visibility(thing, made)


def _transformed(positions, matrix):
    """By Blender, which is faster than a loop."""
    with Temporary() as temporary:
        mesh = temporary.made(bpy.data.meshes, bpy.data.meshes.new("transformed"))
        mesh.vertices.add(len(positions) // 3)
        mesh.vertices.foreach_set("co", positions)
        mesh.transform(matrix)
        return compat.positions(mesh)


# ── what a render shows ───────────────────────────────────────────────────────────────────────────────────────────────
def _each_surface(make, names=None):
    """(name, what `make` makes of the evaluated object and its matrix) of all that a camera sees in a render, or of
    those with these names, in the same order each time. An instance goes by the name of what it is an instance for."""
    found = []
    with Temporary() as temporary:
        _show_what_renders(temporary)
        for instance in bpy.context.evaluated_depsgraph_get().object_instances:
            thing = instance.object
            if thing.type not in TYPES or not instance.show_self or not compat.seen_by_camera(thing.original):
                continue
            name = (instance.parent if instance.is_instance else thing).original.name
            if names is None or name in names:
                key = name, thing.name, tuple(instance.persistent_id)
                found.append((key, make(thing, instance.matrix_world.copy())))
                _refuse_more("objects", len(found), MOST_OBJECTS)
    found.sort(key=lambda each: each[0])
    return [(key[0], made) for key, made in found if made is not None]


def _show_what_renders(temporary):
    """Python gets to see what the viewport shows: let that be the same until `temporary` ends."""
    for thing in bpy.data.objects:
        temporary.set(thing, hide_viewport=thing.hide_render)
        for owner in (*thing.modifiers, thing.data):
            for shown, rendered in _VIEWPORT_AND_RENDER if owner is not None else ():
                value = getattr(owner, rendered, 0)
                if value or shown == "show_viewport":
                    temporary.set_where_known(owner, **{shown: value})
    for collection in bpy.data.collections:
        temporary.set(collection, hide_viewport=collection.hide_render)
    for layer in _layers(bpy.context.view_layer.layer_collection):
        temporary.set(layer, hide_viewport=False)
    for thing in bpy.context.view_layer.objects:
        if thing.hide_get():
            thing.hide_set(False)
            temporary.callback(thing.hide_set, True)
    bpy.context.view_layer.update()


def _layers(layer):
    yield layer
    for below in layer.children:
        yield from _layers(below)


def _above(name):
    """Names of the objects that an object is below, the nearest first."""
    thing, found = bpy.data.objects[name].parent, []
    while thing is not None and len(found) < 64:
        found.append(thing.name)
        thing = thing.parent
    return found


def _refuse_more(what, count, most):
    if count > most:
        raise Refusal(errors.REFUSED, "the scene shows more than {:,} {}".format(most, what))
