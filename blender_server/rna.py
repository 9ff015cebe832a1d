"""Owns the reading of anything Blender describes by itself: a struct becomes (path, value) pairs, in a stable order.

Values are None, bool, int, float, str, bytes, lists of those, or arrays. Left out is what is no scene: selection, what
the interface shows, flags and figures that Blender derives. What belongs to which factor: `factors`.
"""

from collections import namedtuple

import bpy

from blender_server import buffers

SKIPPED = {
    "rna_type", "name_full", "session_uid", "users", "tag", "use_fake_user", "use_extra_user", "preview", "asset_data",
    "library", "library_weak_reference", "override_library", "original", "animation_data", "id_type",
    "pixels", "execution_time", "point_cache", "depsgraph", "internal_links", "render_slots", "particles",
    "child_particles", "view_center", "paint_active_slot", "bindcode", "frame_current", "panels", "bakes",
    "linear_colorspace_settings", "is_runtime_data", "threads", "node_warnings", "denoiser", "texture_paint_images",
    "paint_clone_slot", "preview_render_type", "use_preview_world", "lineart", "normals_domain",
}  # fmt: skip
SKIPPED_STARTS = ("select", "active", "show_", "bl_", "ui_", "edit_", "debug_", "use_pin_to_last", "open_")
KEPT = {
    "bl_idname", "show_render", "show_viewport", "show_only_shape_key", "show_instancer_for_render", "show_alive",
    "show_dead", "show_unborn", "show_transparent_back",
}  # fmt: skip
REFERENCED = {"Node", "NodeSocket", "Bone", "PoseBone", "EditBone", "ShapeKey", "NodeTreeInterfaceItem", "ViewLayer"}
"""Structs that other structs point at without owning them."""
OWNED = {"GreasePencilDrawing"}
"""Structs that belong to the one that points at them, although it may be made to point elsewhere."""
LOCKS = {"lock_location", "lock_rotation", "lock_rotation_w", "lock_rotations_4d", "lock_scale"}
SKIPPED_OF = {
    "Object": {"mode"} | LOCKS,
    "PoseBone": LOCKS,
    "VertexGroup": {"lock_weight"},
    "ShapeKey": {"lock_shape"},
    "Node": {
        "location", "location_absolute", "width", "width_hidden", "height", "dimensions", "hide", "label", "color",
        "use_custom_color", "parent", "warning_propagation",
    },
    "GeometryNodeClosureInput": {"paired_output"},  # 4.5 crashes when it has none
    "NodeClosureInput": {"paired_output"},
    "Image": {"filepath", "filepath_raw", "packed_file", "packed_files", "resolution", "has_data", "size"},
    "Mesh": {
        "texspace_location", "texspace_size", "uv_layer_clone_index", "uv_layer_stencil_index", "remesh_mode",
        "remesh_voxel_size", "remesh_voxel_adaptivity", "use_remesh_fix_poles", "use_remesh_preserve_volume",
        "use_remesh_preserve_attributes", "use_mirror_x", "use_mirror_y", "use_mirror_z", "use_mirror_topology",
        "use_mirror_vertex_groups", "use_paint_bone_selection", "use_paint_mask", "use_paint_mask_vertex",
    },
    "Bone": {"children"},
    "Curve": {"texspace_location", "texspace_size"},
    "MetaBall": {"texspace_location", "texspace_size"},
    "Key": {"eval_time"},
    "ID": {"name"},
    "NodeTree": {"links", "color_tag", "default_group_node_width", "description"},
}  # fmt: skip
READ_ONLY_OF = {
    "Bone": {"head_local", "tail_local", "matrix_local", "use_connect"},
    "LatticePoint": {"co"},
    "Spline": {"point_count_u", "point_count_v"},
    "ShapeKey": {"frame"},
    "Modifier": {"vertex_indices", "is_bind", "is_bound", "total_levels"},
    "GreasePencilFrame": {"frame_number"},
}
"""What only an operator can change, and so looks derived."""
ONLY_OF = {"NodeSocket": {"default_value"}}
DEEPEST = 12

Step = namedtuple("Step", "name read")
_plans = {}


def walk(struct, path="", skip=frozenset(), only=None):
    """All (path, value) pairs below a struct. `skip` and `only` name properties of the struct itself."""
    found = []
    for step in _plan(struct):
        if step.name not in skip and (only is None or step.name in only):
            step.read(struct, step.name, path + step.name, found, 0)
    return found


def names(struct):
    """The properties that `walk` reads."""
    return [step.name for step in _plan(struct)]


def key(datablock):
    """How a datablock is named everywhere: "object:Cup", "mesh:Cup"."""
    return "{}:{}".format(kind(datablock), datablock.name)


def kind(datablock):
    """The datablock's type below ID, in lower case: a SunLight is a "light"."""
    return _lineage(datablock.bl_rna)[-2].lower()


def custom(struct, path=""):
    """Custom properties, without those that add-ons have described."""
    known = struct.bl_rna.properties.keys()
    return [
        ('{}["{}"]'.format(path, name), _plain(struct[name]))
        for name in sorted(struct.keys())
        if name not in known and name not in ("_RNA_UI", "cycles", "cycles_visibility")
    ]


def _plan(struct):
    kind = type(struct)
    plan = _plans.get(kind)
    if plan is None:
        plan = _make_plan(struct.bl_rna)
        if getattr(bpy.types, kind.__name__, None) is kind:  # else it is one group's interface, which may yet change
            _plans[kind] = plan
    return plan


def _make_plan(rna):
    lineage = _lineage(rna)
    skipped = SKIPPED.union(*(SKIPPED_OF.get(name, ()) for name in lineage))
    only = [ONLY_OF[name] for name in lineage if name in ONLY_OF]
    own = set().union(*(READ_ONLY_OF.get(name, ()) for name in lineage))
    steps = []
    for prop in rna.properties:
        name = prop.identifier
        if name in skipped or (only and name not in only[0]):
            continue
        if name.startswith(SKIPPED_STARTS) and name not in KEPT:
            continue
        read = _reader(prop, name in own)
        if read:
            steps.append(Step(name, read))
    if "NodeTree" in lineage:
        steps.append(Step("links", _read_links))
    if "NodesModifier" in lineage and "properties" not in rna.properties:
        steps.append(Step("inputs", _read_custom))  # before 5.2 a node group's inputs are custom properties
    return steps


def _lineage(rna):
    """Identifiers from the struct's own to its root's. For datablocks the last is ID."""
    found = []
    while rna is not None:
        found.append(rna.identifier)
        rna = rna.base
    return found


def _reader(prop, kept):
    if prop.type == "POINTER":
        return _pointer_reader(prop, _lineage(prop.fixed_type))
    if prop.type == "COLLECTION":
        return _collection_reader(_lineage(prop.fixed_type))
    if prop.is_readonly and not kept and prop.type != "ENUM" and prop.identifier != "bl_idname":
        return None
    if prop.type == "ENUM":
        return _read_flags if prop.is_enum_flag else _read_value
    if getattr(prop, "is_array", False):
        return _read_array
    return _read_value


def _pointer_reader(prop, lineage):
    if "ID" in lineage and not (prop.is_readonly and prop.identifier == "node_tree"):
        return _read_datablock
    owned = prop.is_readonly and prop.identifier != "parent" and not REFERENCED.intersection(lineage)
    if owned or OWNED.intersection(lineage):
        return _read_struct
    return _read_name


def _collection_reader(lineage):
    if "ID" in lineage:
        return _read_datablocks
    if "Attribute" in lineage:
        return _read_attributes
    if "ShapeKeyPoint" in lineage or "UnknownType" in lineage:
        return _read_points
    return _read_collection


# ── one reader a kind of property; all append to `found` ──────────────────────────────────────────────────────────────
def _read_value(struct, name, path, found, _depth):
    found.append((path, getattr(struct, name, None)))


def _read_flags(struct, name, path, found, _depth):
    found.append((path, sorted(getattr(struct, name, ()))))


def _read_array(struct, name, path, found, _depth):
    values = list(getattr(struct, name, ()))
    if values and hasattr(values[0], "__len__"):
        values = [value for row in values for value in row]
    found.append((path, values))


def _read_datablock(struct, name, path, found, _depth):
    value = getattr(struct, name, None)
    found.append((path, None if value is None else key(value)))


def _read_datablocks(struct, name, path, found, _depth):
    found.append((path, [None if value is None else key(value) for value in getattr(struct, name)]))


def _read_name(struct, name, path, found, _depth):
    value = getattr(struct, name, None)
    found.append((path, None if value is None else getattr(value, "name", "")))


def _read_struct(struct, name, path, found, depth):
    value = getattr(struct, name, None)
    if value is not None and depth < DEEPEST:
        for step in _plan(value):
            step.read(value, step.name, path + "." + step.name, found, depth + 1)


def _read_collection(struct, name, path, found, depth):
    items = getattr(struct, name, None)
    if not items or depth >= DEEPEST:
        return
    labels = set()
    for index, item in enumerate(items):
        if item is None:
            continue
        label = getattr(item, "name", None)
        label = index if not label or label in labels else label
        labels.add(label)
        below = "{}[{!r}].".format(path, label)
        found.append((below + "class", type(item).__name__))
        for step in _plan(item):
            step.read(item, step.name, below + step.name, found, depth + 1)


def _read_attributes(struct, _name, path, found, _depth):
    for name, attribute in buffers.attributes(struct):
        found.append(("{}[{!r}]".format(path, name), buffers.attribute_values(attribute)))


def _read_points(struct, name, path, found, _depth):
    points = getattr(struct, name)
    for field, width in (("co", 3), ("handle_left", 3), ("handle_right", 3), ("tilt", 1), ("radius", 1)):
        if len(points) and hasattr(points[0], field):
            found.append((path + "." + field, buffers.values(points, field, "f", width)))


def _read_links(tree, _name, path, found, _depth):
    links = [
        [
            link.from_node.name,
            link.from_socket.identifier,
            link.to_node.name,
            link.to_socket.identifier,
            getattr(link, "multi_input_sort_id", 0),
            link.is_muted,
        ]
        for link in tree.links
    ]
    found.append((path, sorted(links)))


def _read_custom(modifier, _name, path, found, _depth):
    found.extend(custom(modifier, path))


def _plain(value):
    if isinstance(value, bpy.types.ID):
        return key(value)
    if hasattr(value, "to_dict"):
        return [[name, _plain(below)] for name, below in sorted(value.to_dict().items())]
    if isinstance(value, dict):
        return [[name, _plain(below)] for name, below in sorted(value.items())]
    if isinstance(value, (list, tuple)) or hasattr(value, "to_list"):
        return [_plain(below) for below in value]
    return value if isinstance(value, (bool, int, float, str, bytes)) else repr(value)
