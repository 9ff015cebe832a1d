"""The one file that knows that Blender versions differ. Tries names instead of comparing version numbers."""

import array
import gzip
import re

import bpy

from blender_server import buffers

ENGINES = ("cycles", "eevee", "workbench")
_ENGINE_IDS = {
    "cycles": ("CYCLES",),
    "eevee": ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"),  # 4.2 renamed it, 5.0 renamed it back
    "workbench": ("BLENDER_WORKBENCH",),
}
_HEADER = re.compile(rb"BLENDER(?:[_-][vV](\d)(\d\d)|(?:17)-\d\d[vV](\d\d)(\d\d))")


def has_numpy():
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
    return True


def engine_id(name):
    """What this Blender calls an engine, or None when it lacks it."""
    render = bpy.context.scene.render
    before = render.engine
    for candidate in _ENGINE_IDS[name]:
        try:
            render.engine = candidate
        except TypeError:  # how Blender refuses an unknown enum item
            continue
        finally:
            render.engine = before
        return candidate
    return None


def engines():
    """Of ENGINES, those that this Blender knows: not necessarily what renders without a screen."""
    return [name for name in ENGINES if engine_id(name)]


def has_denoiser():
    return "OPENIMAGEDENOISE" in denoisers()


def denoisers():
    """Of Cycles: "OPENIMAGEDENOISE", "OPTIX"."""
    module = _cycles_module()
    compiled = {"OPENIMAGEDENOISE": "with_openimagedenoise", "OPTIX": "with_optix"}
    return [name for name, flag in compiled.items() if getattr(module, flag, False)]


GPU_KINDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")
"""Of Cycles, the fastest first where one card is of several."""


def devices():
    """(kind, name) of what Cycles can render with here: the processor first, then GPU_KINDS."""
    module, found = _cycles_module(), []
    for kind in ("CPU", *GPU_KINDS) if module else ():
        try:
            found += [(each[1], each[0]) for each in module.available_devices(kind) if each[1] == kind]
        except ValueError:  # not of this Blender
            continue
    return sorted(set(found), key=found.index)


def turn_on_gpus(kind=""):
    """Let Cycles use all cards of a kind ("": of the first of GPU_KINDS that there is) and nothing else; the kind and
    the cards' names, or None where there is none. The scene still has to ask for them."""
    addon = bpy.context.preferences.addons.get("cycles")
    for each in ([kind] if kind else GPU_KINDS) if addon else ():
        try:
            cards = [card for card in addon.preferences.get_devices_for_type(each) or () if card.type == each]
            if cards:
                addon.preferences.compute_device_type = each
        except (TypeError, ValueError):  # not of this Blender
            continue
        if cards:
            for device in addon.preferences.devices:
                device.use = device.type == each
            return each, [card.name for card in cards]
    return None


def exporters():
    """Of "gltf", "usd", "obj": the formats that this Blender writes."""
    operators = {
        "gltf": (bpy.ops.export_scene, "gltf"),
        "usd": (bpy.ops.wm, "usd_export"),
        "obj": (bpy.ops.wm, "obj_export"),
    }
    return [name for name, place in operators.items() if _has_operator(*place)]


def _has_operator(module, name):
    try:
        getattr(module, name).get_rna_type()
    except KeyError:  # bpy.ops gives an operator for any name
        return False
    return True


def _cycles_module():
    try:
        import _cycles
    except ImportError:
        return None
    return _cycles


def file_version(path):
    """(major, minor) of the Blender that wrote a .blend, or None when it is none. Reads the header only."""
    with open(path, "rb") as file:
        start = file.read(32)
    if start[:2] == b"\x1f\x8b":  # up to 2.93 compressed with gzip
        with gzip.open(path) as file:
            start = file.read(32)
    found = _HEADER.match(start)
    if not found:
        return None
    digits = [int(group) for group in found.groups() if group is not None]
    return digits[0], digits[1]


# ── meshes: since 3.5 and 4.0 nearly everything is an attribute, which reads four times as fast ───────────────────────
BUILT_IN_ATTRIBUTES = {"position"}


def positions(mesh):
    return _by_attribute(mesh, "position") or buffers.values(mesh.vertices, "co", "f", 3)


def edge_vertices(mesh):
    return _by_attribute(mesh, ".edge_verts") or buffers.values(mesh.edges, "vertices", "i", 2)


def corner_vertices(mesh):
    return _by_attribute(mesh, ".corner_vert") or buffers.values(mesh.loops, "vertex_index", "i", 1)


def material_indices(mesh):
    """Nothing where all faces use the first slot, whether that is written down or not."""
    found = _by_attribute(mesh, "material_index")
    if found is None and not _all_in_attributes():
        found = buffers.values(mesh.polygons, "material_index", "i", 1)
    return found if _any(found) else array.array("i")


def seams(mesh):
    """Nothing where no edge is a seam."""
    found = _by_attribute(mesh, "uv_seam") or _by_attribute(mesh, ".uv_seam")
    if found is None and not _all_in_attributes():
        found = buffers.values(mesh.edges, "use_seam", "b", 1)
    return found if _any(found) else array.array("b")


def uv_values(layer):
    if hasattr(layer, "uv"):
        return buffers.values(layer.uv, "vector", "f", 2)
    return buffers.values(layer.data, "uv", "f", 2)


def _color_layers(mesh):
    return getattr(mesh, "color_attributes", mesh.vertex_colors)


def color_names(mesh):
    return {layer.name for layer in _color_layers(mesh)}


def colors(mesh):
    for layer in _color_layers(mesh):
        yield layer.name, buffers.values(layer.data, "color", "f", 4)


def element_flags(mesh):
    """What later became attributes: smooth faces, sharp edges, creases, bevel weights, custom normals."""
    if mesh.has_custom_normals and "custom_normal" not in mesh.attributes:
        yield "normals", _custom_normals(mesh)
    if _all_in_attributes():
        return
    flags = (
        (mesh.polygons, "use_smooth", "b"),
        (mesh.edges, "use_edge_sharp", "b"),
        (mesh.edges, "crease", "f"),
        (mesh.edges, "bevel_weight", "f"),
    )
    for items, name, code in flags:
        found = buffers.values(items, name, code, 1)
        if _any(found):
            yield name, found


def _custom_normals(mesh):
    if hasattr(mesh, "corner_normals"):
        return buffers.values(mesh.corner_normals, "vector", "f", 3)
    mesh.calc_normals_split()
    found = buffers.values(mesh.loops, "normal", "f", 3)
    mesh.free_normals_split()
    return found


def _all_in_attributes():
    """4.0 took the last element property that was none out of the old place."""
    return "crease" not in bpy.types.MeshEdge.bl_rna.properties


def _any(found):
    return bool(found) and bool(found.tobytes().strip(b"\0"))


def _by_attribute(mesh, name):
    found = mesh.attributes.get(name)
    return None if found is None else buffers.attribute_values(found)


# ── names that moved ──────────────────────────────────────────────────────────────────────────────────────────────────
def compositor(scene):
    """The compositor's node tree, which 5.0 made a node group of its own; None where it is not in use."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def packed_files(image):
    """One, or one for each tile."""
    found = [tile.packed_file for tile in image.packed_files] or [image.packed_file]
    return [packed for packed in found if packed is not None]


def texture_space(data):
    """(path, value) pairs where it is set by hand; else Blender derives it."""
    if getattr(data, "use_auto_texspace", getattr(data, "auto_texspace", True)):
        return []
    return [(name, list(getattr(data, name))) for name in ("texspace_location", "texspace_size")]


def strips(scene):
    """Of the video sequencer."""
    editor = scene.sequence_editor
    return getattr(editor, "strips_all", None) or getattr(editor, "sequences_all", None) or []
