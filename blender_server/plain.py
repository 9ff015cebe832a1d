"""Owns the plain twin of a scene: all that the scene has, under the same names, as this Blender makes it by default.

What a scene and its twin have alike, nobody has set. A twin takes the place of the open scene, which is lost. What it
cannot be made of is left out, and so counts as set.
"""

import bpy

from blender_server import editing

NAMED = ("materials", "worlds", "cameras", "meshes", "armatures", "metaballs", "lattices")
"""Collections of bpy.data whose things are made from a name alone."""
TYPED = {
    "lights": lambda light: light.type,
    "curves": lambda curve: {"TextCurve": "FONT", "SurfaceCurve": "SURFACE"}.get(type(curve).__name__, "CURVE"),
    "node_groups": lambda tree: tree.bl_idname,
}
"""And of those that are made of a type too: what tells it."""


def become_plain():
    """Leave the open scene for its plain twin."""
    data, scenes, objects = _data(), _scenes(), _objects()
    editing.start_empty()
    for collection, outlines in data.items():
        for outline in outlines:
            _make_data(getattr(bpy.data, collection), *outline)
    for name, layers in scenes:
        _make_scene(name, layers)
    for outline in objects:
        _make_object(*outline)
    return {"objects": len(bpy.data.objects)}


# ── what there is, as plain values that outlive the scene ─────────────────────────────────────────────────────────────
def _data():
    """By collection: (arguments of `new`, (type, name) of each node or None where there are no nodes)."""
    found = {}
    for collection in (*NAMED, *TYPED):
        for datablock in getattr(bpy.data, collection):
            kind = [TYPED[collection](datablock)] if collection in TYPED else []
            tree = datablock if hasattr(datablock, "nodes") else getattr(datablock, "node_tree", None)
            nodes = [(node.bl_idname, node.name) for node in tree.nodes] if tree else None
            found.setdefault(collection, []).append(([datablock.name, *kind], nodes))
    return found


def _scenes():
    return [(scene.name, [layer.name for layer in scene.view_layers]) for scene in bpy.data.scenes]


def _objects():
    return [
        (
            thing.name,
            thing.data and (type(thing.data).__name__, thing.data.name),
            [(each.name, each.type) for each in thing.modifiers],
            [(each.name, each.type) for each in thing.constraints],
        )
        for thing in bpy.data.objects
    ]


# ── made anew ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _make_data(collection, arguments, nodes):
    made = collection.new(*arguments)
    made.use_fake_user = True  # what has no user counts as not there
    if nodes is None:
        return
    if not hasattr(made, "nodes"):
        made.use_nodes = True
    tree = made if hasattr(made, "nodes") else made.node_tree
    if [(node.bl_idname, node.name) for node in tree.nodes] != nodes:
        tree.nodes.clear()
        _make_nodes(tree, nodes)


def _make_nodes(tree, nodes):
    for kind, name in nodes:
        try:
            tree.nodes.new(kind).name = name
        except RuntimeError:  # a kind that can be opened but no longer made
            pass


def _make_scene(name, layers):
    scene = bpy.data.scenes.get(name) or bpy.data.scenes.new(name)
    for layer in layers:
        if layer not in scene.view_layers:
            scene.view_layers.new(layer)


def _make_object(name, data, modifiers, constraints):
    made = bpy.data.objects.new(name, _found(*data) if data else None)
    bpy.context.scene.collection.objects.link(made)
    for label, kind in modifiers:
        made.modifiers.new(label, kind)
    for label, kind in constraints:
        made.constraints.new(kind).name = label


def _found(kind, name):
    """The twin of an object's data, of whatever collection."""
    found = [getattr(bpy.data, collection).get(name) for collection in (*NAMED, *TYPED)]
    return next((each for each in found if type(each).__name__ == kind), None)
