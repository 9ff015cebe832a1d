"""Owns what an edit is: code run on a scene just opened from a file, then settled into what a loaded scene is.

Imports nothing but bpy and the standard library, because every program that rebuilds a scene contains this file.
Python 3.7 syntax. What an edit may change is decided elsewhere, from what it changed.
"""

import array
import linecache
import random

import bpy

try:
    import numpy
except ImportError:  # not every Blender has it
    numpy = None

FRAME_PX = (512, 512)
"""The picture's size; a scene's custom property "frame_px" (width, height) says another, and "cut_out" = 1 makes its
film transparent. Both are set by an edit of the host's own."""


# ── the scene as a file ───────────────────────────────────────────────────────────────────────────────────────────────
def start_empty():
    """The empty scene that every program begins with."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = "Scene"
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    scene.render.engine = "CYCLES"
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.cycles.device = "CPU"
    scene.cycles.samples = 64
    scene.cycles.use_denoising = False  # not every Blender has the denoiser
    scene.render.resolution_x, scene.render.resolution_y = FRAME_PX


def save(path):
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=False, relative_remap=False)


def reload(path):
    """Save a copy and open it: every edit begins in a scene just opened from a file."""
    save(path)
    bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)


# ── an edit ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def run_edit(source, seed, keep_slots=False, filename="edit"):
    """Execute `source` in a fresh namespace with seeded random numbers; raises what it raises.

    `keep_slots` puts back the material slots and UV maps of objects whose mesh was swapped or rebuilt.
    """
    random.seed(seed)
    if numpy:
        numpy.random.seed(seed % 2**32)
    _host_values.clear()
    _host_values.update(_read_host_values())
    surfaces = _read_surfaces() if keep_slots else {}
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec", dont_inherit=True), {"bpy": bpy, "__name__": "__main__"})
    _put_back_surfaces(surfaces)


def settle():
    """Make the live scene what a loaded one is. Returns what the host put back, as sentences."""
    _leave_edit_modes()
    resets = _put_back_host_values()
    _pack_images()
    for scene in bpy.data.scenes:
        for layer in scene.view_layers:
            layer.update()
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)
    return resets


def _leave_edit_modes():
    bpy.context.view_layer.update()  # or its list holds holes where objects were removed
    for thing in list(bpy.context.view_layer.objects):
        if thing.mode != "OBJECT":
            bpy.context.view_layer.objects.active = thing
            bpy.ops.object.mode_set(mode="OBJECT")


def _pack_images():
    """Pixels live in the file: painted ones become packed, external ones are copied in."""
    for image in list(bpy.data.images):
        if image.type in ("RENDER_RESULT", "COMPOSITING"):
            image.user_clear()
            bpy.data.images.remove(image)
        elif image.is_dirty or (image.source in ("FILE", "TILED") and not image.packed_file):
            try:
                image.pack()
            except RuntimeError:
                pass  # the file is missing; a scene that needs it is refused later
    for font in bpy.data.fonts:
        if font.filepath != "<builtin>" and not font.packed_file:
            try:
                font.pack()
            except RuntimeError:
                pass


# ── what the host owns: how the picture is rendered ───────────────────────────────────────────────────────────────────
_host_values = {}  # as they were before the edit: (path, name) → value
_names = {}


def _host_owned():
    """The settings that no edit keeps, by path: engine, size, samples, film, output, frame, passes, units."""
    scene, layer = bpy.context.scene, bpy.context.view_layer
    owned = {"scene": scene, "view_layer": layer, "scene.render": scene.render}
    owned["scene.render.image_settings"] = scene.render.image_settings
    owned["scene.unit_settings"] = scene.unit_settings
    for path, owner in (("scene", scene), ("view_layer", layer)):
        for name in ("cycles", "eevee", "display"):
            if hasattr(owner, name):
                owned[path + "." + name] = getattr(owner, name)
    return owned


def _read_host_values():
    values = {}
    for path, struct in _host_owned().items():
        for name, is_array in _owned_names(path, struct):
            value = getattr(struct, name)
            values[path, name] = tuple(value) if is_array else value
    return values


def _owned_names(path, struct):
    """(name, whether it is an array) of the properties that are owned there; asked for once."""
    if path not in _names:
        _names[path] = [
            (prop.identifier, getattr(prop, "is_array", False))
            for prop in struct.bl_rna.properties
            if not prop.is_readonly
            and prop.type not in ("POINTER", "COLLECTION")
            and prop.identifier != "denoiser"  # a Blender that has none complains whenever it is asked which
            and ("." in path or prop.identifier.startswith(("frame_", "use_frame_", "use_pass_", "samples")))
        ]
    return _names[path]


def _put_back_host_values():
    scene, found = bpy.context.scene, _read_host_values()
    wanted = dict(_host_values)
    size = scene.get("frame_px", FRAME_PX)
    wanted["scene.render", "resolution_x"], wanted["scene.render", "resolution_y"] = int(size[0]), int(size[1])
    wanted["scene.render", "film_transparent"] = bool(scene.get("cut_out", False))
    changed = {key: value for key, value in wanted.items() if key in found and found[key] != value}
    for _ in range(2 if changed else 0):  # twice: some can be set only after another
        for (path, name), value in changed.items():
            try:
                setattr(_host_owned()[path], name, value)
            except (TypeError, ValueError, AttributeError):
                pass
    return ["{}.{}: {!r} → {!r}".format(*key, found[key], value) for key, value in changed.items()]


# ── what a swapped mesh loses ─────────────────────────────────────────────────────────────────────────────────────────
def _read_surfaces():
    """Slots, face assignment and UV maps by object name."""
    return {
        thing.name: {
            "slots": [(slot.link, slot.material and slot.material.name) for slot in thing.material_slots],
            "faces": _faces(thing.data) if thing.type == "MESH" else None,
            "uvs": [(layer.name, _values(*_uv_place(layer), "f", 2)) for layer in _uv_layers(thing)],
        }
        for thing in bpy.data.objects
    }


def _values(elements, name, code, width):
    values = array.array(code, bytes(4 * width * len(elements)))
    elements.foreach_get(name, values)
    return values


def _faces(mesh):
    """Which slot each face uses, or None when all use the first."""
    found = _values(mesh.polygons, "material_index", "i", 1)
    return found if found.tobytes().strip(b"\0") else None


def _uv_layers(thing):
    return list(thing.data.uv_layers) if thing.type == "MESH" else []


def _uv_place(layer):
    """Where foreach_get finds coordinates: since 3.5 in a place that reads faster."""
    return (layer.uv, "vector") if hasattr(layer, "uv") else (layer.data, "uv")


def _put_back_surfaces(surfaces):
    for name, kept in surfaces.items():
        thing = bpy.data.objects.get(name)
        if thing is None or not hasattr(thing.data, "materials"):
            continue
        _put_back_slots(thing, kept["slots"])
        if thing.type == "MESH":
            _put_back_faces(thing.data, kept["faces"])
            _put_back_uvs(thing.data, kept["uvs"])


def _put_back_slots(thing, kept):
    """Only where slots were lost or emptied; what an edit put there itself stays."""
    now = [slot.material and slot.material.name for slot in thing.material_slots]
    before = [name for _, name in kept]
    if now == before or (any(now) and now != before[: len(now)]):
        return
    while len(thing.data.materials) < len(kept):
        thing.data.materials.append(None)
    for slot, (link, name) in zip(thing.material_slots, kept):
        slot.link = link
        slot.material = bpy.data.materials.get(name or "")


def _put_back_faces(mesh, kept):
    if kept and len(kept) == len(mesh.polygons) and not _faces(mesh):
        mesh.polygons.foreach_set("material_index", kept)


def _put_back_uvs(mesh, kept):
    """The same coordinates where the corners are as many as before, else those of a box around the mesh."""
    if len(mesh.uv_layers) or not len(mesh.polygons):
        return
    for name, values in kept:
        layer = mesh.uv_layers.new(name=name, do_init=False)
        same = len(values) == 2 * len(mesh.loops)
        items, field = _uv_place(layer)
        items.foreach_set(field, values if same else _box_coordinates(mesh))


def _box_coordinates(mesh):
    corners = [vertex.co for vertex in mesh.vertices]
    low = [min(corner[axis] for corner in corners) for axis in range(3)]
    size = max(max(corner[axis] for corner in corners) - low[axis] for axis in range(3)) or 1.0
    values = array.array("f", bytes(8 * len(mesh.loops)))
    for face in mesh.polygons:
        across = max(range(3), key=lambda axis: abs(face.normal[axis]))
        u, v = [axis for axis in range(3) if axis != across]
        for loop in face.loop_indices:
            corner = corners[mesh.loops[loop].vertex_index]
            values[2 * loop] = (corner[u] - low[u]) / size
            values[2 * loop + 1] = (corner[v] - low[v]) / size
    return values
