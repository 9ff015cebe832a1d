"""The one file that knows that Blender versions differ. Tries names instead of comparing version numbers."""

import array
import gzip
import re
from collections import namedtuple

import bmesh
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
        "gltf": ((bpy.ops.export_scene, "gltf"),),
        "usd": ((bpy.ops.wm, "usd_export"),),
        "obj": ((bpy.ops.wm, "obj_export"), (bpy.ops.export_scene, "obj")),
    }
    found = [name for name, places in operators.items() if any(_has_operator(*place) for place in places)]
    return [name for name in found if name != "gltf" or has_numpy()]  # its exporter is there, and fails without


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


def color_layers(data):
    """None where such data has no colours."""
    return getattr(data, "color_attributes", getattr(data, "vertex_colors", ()))


def colors(mesh):
    for layer in color_layers(mesh):
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


_FLAGS = {
    # of faces or edges: name in a portable dump → items, type code, names of the attributes that later hold it
    "use_smooth": ("polygons", "b", ("sharp_face",)),
    "use_edge_sharp": ("edges", "b", ("sharp_edge",)),
    "crease": ("edges", "f", ("crease_edge",)),
    "bevel_weight": ("edges", "f", ("bevel_weight_edge",)),
}
VERSIONED_ARRAYS = {"attribute:" + name for flag, (_, _, later) in _FLAGS.items() for name in (flag, *later)}
"""Names in a dump of what `portable_flags` gives under one name in all versions."""


def portable_flags(mesh):
    """What `element_flags` and attributes give, the same in every version; nothing where no element has it."""
    for name, (items, code, later) in _FLAGS.items():
        if name in mesh.bl_rna.properties[items].fixed_type.properties:
            found = buffers.values(getattr(mesh, items), name, code, 1)
        else:
            found = _by_attribute(mesh, later[0])
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


# ── what lies elsewhere in another version ────────────────────────────────────────────────────────────────────────────
def compositor(scene):
    """The compositor's node tree, which 5.0 made a node group of its own; None where it is not in use."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def packed_files(image):
    """One, or one for each tile."""
    found = [tile.packed_file for tile in image.packed_files] or [image.packed_file]
    return [packed for packed in found if packed is not None]


def below(thing):
    """All objects that have it above them."""
    if hasattr(thing, "children_recursive"):
        return list(thing.children_recursive)
    return [one for child in thing.children for one in [child, *below(child)]]


_SEEN_BY = ("camera", "diffuse", "glossy", "transmission", "shadow")
_CATCHING = ("is_shadow_catcher", "is_holdout")


def _visibility(thing):
    """(owner, name) of the properties that say what sees an object."""
    if hasattr(thing, "visible_camera"):
        names = ["visible_" + name for name in _SEEN_BY] + ["visible_volume_scatter", *_CATCHING]
        return [(thing, name) for name in names]
    rays, cycles = thing.cycles_visibility, thing.cycles
    return [(rays, name) for name in (*_SEEN_BY, "scatter")] + [(cycles, name) for name in _CATCHING]


def seen_by_camera(thing):
    """Whether it shows itself in a render, not only what it does to others."""
    values = [getattr(owner, name) for owner, name in _visibility(thing)]
    return values[0] and not any(values[-len(_CATCHING) :])


def copy_visibility(thing, other):
    for (owner, name), (target, _) in zip(_visibility(thing), _visibility(other)):
        setattr(target, name, getattr(owner, name))


def texture_space(data):
    """(path, value) pairs where it is set by hand; else Blender derives it."""
    if getattr(data, "use_auto_texspace", getattr(data, "auto_texspace", True)):
        return []
    return [(name, list(getattr(data, name))) for name in ("texspace_location", "texspace_size")]


def strips(scene):
    """Of the video sequencer."""
    editor = scene.sequence_editor
    return getattr(editor, "strips_all", None) or getattr(editor, "sequences_all", None) or []


# ── names that moved, in code that others write ───────────────────────────────────────────────────────────────────────
Moved = namedtuple("Moved", "kind names")
"""One thing by its names, the oldest first, each with how it is used. Some Blenders know several of them."""

_MOVED = {
    # kind → its rows; how each kind is looked for: _is_here
    "socket": (
        ("Specular", "Specular IOR Level"),
        ("Transmission", "Transmission Weight"),
        ("Transmission Roughness", "Roughness"),
        ("Clearcoat", "Coat Weight"),
        ("Clearcoat Roughness", "Coat Roughness"),
        ("Clearcoat Normal", "Coat Normal"),
        ("Sheen", "Sheen Weight"),
        ("Subsurface", "Subsurface Weight"),
        ("Subsurface Color", "Base Color"),
        ("Emission", "Emission Color"),
        ("Fac", "Factor"),
        ("Bright", "Brightness"),
    ),
    "item": (
        ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"),
        ("NISHITA", "MULTIPLE_SCATTERING"),
        ("FAST", "FLOAT"),
        ("HASHED", "DITHERED"),
        ("BLEND", "BLENDED"),
        ("Filmic", "Khronos PBR Neutral", "AgX"),
        ("Linear", "Linear Rec.709"),
        ("Very High Contrast", "AgX - Very High Contrast"),
        ("High Contrast", "AgX - High Contrast"),
        ("Medium High Contrast", "AgX - Medium High Contrast"),
        ("Medium Contrast", "AgX - Base Contrast"),
        ("Medium Low Contrast", "AgX - Medium Low Contrast"),
        ("Low Contrast", "AgX - Low Contrast"),
        ("Very Low Contrast", "AgX - Very Low Contrast"),
    ),
    "node": (
        ("ShaderNodeMixRGB", "ShaderNodeMix with data_type='RGBA': inputs[0], inputs[6], inputs[7], outputs[2]"),
        ("ShaderNodeTexMusgrave", "ShaderNodeTexNoise with noise_type='FBM', …"),
        ("ShaderNodeSeparateRGB", "ShaderNodeSeparateColor"),
        ("ShaderNodeCombineRGB", "ShaderNodeCombineColor"),
        ("ShaderNodeSeparateHSV", "ShaderNodeSeparateColor with mode='HSV'"),
        ("ShaderNodeCombineHSV", "ShaderNodeCombineColor with mode='HSV'"),
        ("ShaderNodeBsdfVelvet", "ShaderNodeBsdfSheen"),
    ),
    "member": (
        ("MeshPolygon.use_smooth = True for each", "Mesh.shade_smooth()"),
        (
            "Mesh.auto_smooth_angle",
            "Mesh.use_auto_smooth = True and .auto_smooth_angle = radians",
            "Mesh.set_sharp_from_angle(angle=radians)",
        ),
        ("Mesh.calc_normals()", "Mesh.update()"),
        ("Mesh.create_normals_split()", "Mesh.calc_normals_split()", "Mesh.corner_normals"),
        ("Mesh.vertex_colors", "Mesh.color_attributes"),
        ("MeshEdge.crease", "Mesh.attributes.new('crease_edge', 'FLOAT', 'EDGE').data[i].value"),
        ("MeshEdge.bevel_weight", "Mesh.attributes.new('bevel_weight_edge', 'FLOAT', 'EDGE').data[i].value"),
        ("MeshVertex.bevel_weight", "Mesh.attributes.new('bevel_weight_vert', 'FLOAT', 'POINT').data[i].value"),
        ("BMLayerAccessEdge.crease", "BMLayerAccessEdge.float.new('crease_edge')"),
        ("BMLayerAccessEdge.bevel_weight", "BMLayerAccessEdge.float.new('bevel_weight_edge')"),
        (
            "NodeTree.inputs.new('NodeSocketFloat', name)",
            "NodeTree.interface.new_socket(name, in_out='INPUT', socket_type='NodeSocketFloat')",
        ),
        (
            "NodeTree.outputs.new('NodeSocketFloat', name)",
            "NodeTree.interface.new_socket(name, in_out='OUTPUT', socket_type='NodeSocketFloat')",
        ),
        ("Scene.node_tree", "Scene.compositing_node_group"),
        ("ShaderNodeTexSky.dust_density", "ShaderNodeTexSky.aerosol_density"),
        ("Object.cycles_visibility.camera, …", "Object.visible_camera, …"),
        ("CyclesMaterialSettings.displacement_method", "Material.displacement_method"),
        ("CyclesLightSettings.cast_shadow", "Light.use_shadow"),
        ("Material.shadow_method", "Material.use_transparent_shadow"),
        ("Material.blend_method", "Material.surface_render_method"),
        ("RenderSettings.tile_x", "RenderSettings.tile_y", "CyclesRenderSettings.tile_size"),
        ("SceneEEVEE.use_ssr", "SceneEEVEE.use_raytracing"),
        ("Action.fcurves", "Action.layers[0].strips[0].channelbags[0].fcurves"),
    ),
    "operator": (
        (
            "object.shade_smooth() with Mesh.use_auto_smooth",
            "object.shade_smooth_by_angle(angle=radians)",
            "object.shade_auto_smooth(angle=radians)",
        ),
        ("object.gpencil_add", "object.grease_pencil_add"),
        ("import_scene.obj", "wm.obj_import"),
        ("export_scene.obj", "wm.obj_export"),
        ("import_mesh.stl", "wm.stl_import"),
        ("export_mesh.stl", "wm.stl_export"),
        ("import_mesh.ply", "wm.ply_import"),
        ("export_mesh.ply", "wm.ply_export"),
    ),
    "keyword": (
        ("object.shade_smooth(use_auto_smooth=True)", "object.shade_smooth_by_angle(angle=radians)"),
        ("export_scene.obj(use_selection=True)", "wm.obj_export(export_selected_objects=True)"),
        ("export_scene.obj(axis_forward='-Z')", "wm.obj_export(forward_axis='NEGATIVE_Z')"),
        ("import_scene.obj(axis_forward='-Z')", "wm.obj_import(forward_axis='NEGATIVE_Z')"),
        ("export_mesh.stl(use_selection=True)", "wm.stl_export(export_selected_objects=True)"),
        ("export_mesh.ply(use_selection=True)", "wm.ply_export(export_selected_objects=True)"),
        ("bmesh.ops.create_cone(diameter1=…)", "bmesh.ops.create_cone(radius1=…)"),
        ("bmesh.ops.create_cone(diameter2=…)", "bmesh.ops.create_cone(radius2=…)"),
        ("bmesh.ops.create_uvsphere(diameter=…)", "bmesh.ops.create_uvsphere(radius=…)"),
        ("bmesh.ops.create_icosphere(diameter=…)", "bmesh.ops.create_icosphere(radius=…)"),
    ),
    "override": (
        ("bpy.ops.object.join({'active_object': thing, …})", "with bpy.context.temp_override(active_object=thing, …):"),
    ),
    "group input": (("modifier['Input_2']", "modifier['Socket_2']", "modifier.properties.inputs.Socket_2.value"),),
}
MOVED = tuple(Moved(kind, names) for kind, rows in _MOVED.items() for names in rows)

_ERRORS = {
    # kind → how Blender says that it knows no such thing; its groups tell what was asked for
    "socket": re.compile(r'bpy_prop_collection\[key\]: key "(.+)" not found'),
    "item": re.compile(r'enum "(.*?)" not found in (\(.*\))'),
    "node": re.compile(r"Node type (\w+) undefined"),
    "member": re.compile(r"'(\w+)' object has no attribute '(\w+)'"),
    "operator": re.compile(r'operator "bpy\.ops\.([\w.]+)" error, could not be found'),
    "keyword": re.compile(r'keyword "(\w+)" (?:unrecognized|is invalid)'),
    "override": re.compile(
        r"1-2 args execution context is supported|'Context' object has no attribute 'temp_override'"
    ),
    "group input": re.compile(
        r'bpy_struct\[key\]: key "(?:Input|Socket)_\d+" not found|no __getitem__ support|support IDProperties'
        r"|'NodesModifier' object has no attribute 'properties'"
    ),
}


def hint(error, source):
    """What something is called in this Blender, where that it moved is why the code `source` raised; else ""."""
    if type(error) not in (AttributeError, KeyError, RuntimeError, TypeError, ValueError) or not error.args:
        return ""
    names = []
    for kind, pattern in _ERRORS.items():
        asked = pattern.search(str(error.args[0]))
        if asked:
            names += [name for row in MOVED if row.kind == kind for name in _instead(row, asked, source)]
    if not names:
        return ""
    called = " or ".join('"{}"'.format(name) for name in dict.fromkeys(names))
    return "In this Blender ({}) it is called {}.".format(bpy.app.version_string, called)


def _instead(row, asked, source):
    """The newest of the other names that this Blender knows, if one of them is what was asked for."""
    wrong = [name for name in row.names if _is_asked(row, name, asked, source)]
    known = [name for name in row.names if name not in wrong and _is_here(row, name, asked)]
    return known[-1:] if wrong else []


def _is_asked(row, name, asked, source):
    if row.kind in ("socket", "item"):
        return name == asked[1]
    if row.kind in ("node", "operator"):
        return _first_word(name) == asked[1]
    if row.kind == "member":
        owner, member = name.split(".")[0], re.split(r"\W+", name)[1]
        return member == asked[2] and owner in [each.__name__ for each in getattr(_type(asked[1]), "__mro__", ())]
    if row.kind == "keyword":
        return _keyword(name) == asked[1] and any(_first_word(other) in source for other in row.names)
    return not _is_here(row, name)


def _is_here(row, name, asked=None):
    """Whether this Blender knows a name of a row; sockets and items are looked for where one was `asked` for."""
    if row.kind == "socket":
        return any(asked[1] not in sockets and name in sockets for sockets in _sockets())
    if row.kind == "item":
        return name in re.findall(r"'([^']*)'", asked[2])
    if row.kind == "node":
        return hasattr(bpy.types, _first_word(name))
    if row.kind == "member":
        return _has_member(*re.split(r"\W+", name)[:2])
    if row.kind == "operator":
        return _knows_operator(_first_word(name))
    if row.kind == "keyword":
        return _keyword(name) in _keywords(_first_word(name))
    if row.kind == "override":
        return ("temp_override" in name) == hasattr(bpy.types.Context, "temp_override")
    ways = [True, _has_member("NodeTree", "interface"), _has_member("NodesModifier", "properties")]
    return row.names.index(name) == max(way for way in range(len(ways)) if ways[way])


def _first_word(name):
    return re.match(r"[\w.]+", name).group()


def _keyword(name):
    return name.split("(")[1].split("=")[0]


def _sockets():
    """Of each node in the file the names of its inputs, and those of its outputs."""
    owners = [*bpy.data.materials, *bpy.data.worlds, *bpy.data.lights]
    for tree in [*(owner.node_tree for owner in owners), *bpy.data.node_groups]:
        for node in tree.nodes if tree else ():
            yield set(node.inputs.keys())
            yield set(node.outputs.keys())


def _type(name):
    found = getattr(bpy.types, name, None) or getattr(bmesh.types, name, None)
    return found or bpy.types.PropertyGroup.bl_rna_get_subclass_py(name)


def _has_member(owner, name):
    kind = _type(owner)
    rna = getattr(kind, "bl_rna", None)
    return hasattr(kind, name) or (rna is not None and (name in rna.properties or name in rna.functions))


def _knows_operator(name):
    module, _, function = name.partition(".")
    return _has_operator(getattr(bpy.ops, module), function)


def _keywords(operator):
    """That an operator, or a function of bmesh, takes; none where there is no such operator."""
    if operator.startswith("bmesh.ops."):
        return re.findall(r"(\w+)=", getattr(bmesh.ops, operator.split(".")[2]).__doc__)
    if not _knows_operator(operator):
        return ()
    module, function = operator.split(".")
    return getattr(getattr(bpy.ops, module), function).get_rna_type().properties.keys()


# ── what a generator is told of names before it errs ──────────────────────────────────────────────────────────────────
_RARELY_SET = {
    "Weight", "Tangent", "Anisotropic Rotation", "Subsurface IOR", "Subsurface Anisotropy", "Thin Wall",
    "Thin Film Thickness", "Thin Film IOR", "Diffuse Roughness",
}  # fmt: skip


def dialect():
    """heading → what things are called in this Blender; what the host sets itself is left out."""
    view, material = bpy.context.scene.view_settings, bpy.data.materials.new("dialect")
    if material.node_tree is None:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    principled, noise, sky = (nodes.new("ShaderNode" + name) for name in ("BsdfPrincipled", "TexNoise", "TexSky"))
    transform, view.view_transform = view.view_transform, "Standard"
    solvers = bpy.types.BooleanModifier.bl_rna.properties["solver"].enum_items
    told = {
        "Principled BSDF inputs": [socket.name for socket in principled.inputs if socket.name not in _RARELY_SET],
        "Noise Texture outputs": [socket.name for socket in noise.outputs],
        "mixing colours": [_called("ShaderNodeMixRGB")],
        "sky types": _items(sky, "sky_type"),
        "view transforms": _items(view, "view_transform"),
        "looks of Standard": _items(view, "look"),
        "smooth faces": [_called("MeshPolygon.use_smooth = True for each")],
        "sharp edges by angle": [_called("Mesh.auto_smooth_angle")],
        "Boolean solvers": [solver.identifier for solver in solvers],
        "sockets of a node group": [_called("NodeTree.inputs.new('NodeSocketFloat', name)")],
        "operators on other objects": [_called("bpy.ops.object.join({'active_object': thing, …})")],
    }
    view.view_transform = transform
    bpy.data.materials.remove(material)
    return told


def _called(oldest):
    """The newest name that this Blender knows of the thing that was first called `oldest`."""
    row = next(row for row in MOVED if row.names[0] == oldest)
    return [name for name in row.names if _is_here(row, name)][-1]


def _items(owner, name):
    """What an enum takes where that depends on more than its type; Blender says so when it refuses another."""
    try:
        setattr(owner, name, "?")
    except TypeError as error:
        return re.findall(r"'([^']*)'", str(error).partition(" in ")[2])
    return []
