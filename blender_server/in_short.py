"""Owns what is inspected as it is told to a reader: without what is as it mostly is, settings as short text.

scene: "tree": [names, two spaces further in for each parent above] comes first; an object without a parent, turned by
   nothing, of scale 1, not hidden, in no collection of its own or without extent lacks the keys that would say so.
object: "modifiers" and "constraints" are ["Bevel (BEVEL): width=0.02; segments=3"].
material: "nodes" are ["Principled BSDF (ShaderNodeBsdfPrincipled): Roughness=0.3"],
   "links" ["A.Color -> B.Base Color"].

Of modifiers, nodes and materials only what is not Blender's default is told: see `chosen`.
"""

import bpy

from blender_server import chosen

MOST_VALUES = 40
"""Settings of one node or modifier that are told."""
OF_EXTENT = {"dimensions", "world_box", "vertices", "faces", "projected_box", "in_frame"}


def scene(found):
    roots = sorted((one for one in bpy.context.scene.objects if one.parent is None), key=lambda one: one.name)
    return {
        "tree": [line for one in roots for line in _branch(one, "")],
        **found,
        "objects": [_entry(entry) for entry in found["objects"]],
    }


def thing(found, of):
    with chosen.Fresh() as fresh:
        modifiers = [_told(one, one.type, values) for one, values in fresh.of_modifiers(of)]
        constraints = [_told(one, one.type, values) for one, values in fresh.of_constraints(of)]
    return {**found, "modifiers": modifiers, "constraints": constraints}


def material(found, of):
    with chosen.Fresh() as fresh:
        nodes = (
            [_told(node, node.bl_idname, fresh.of_node(node)) for node in of.node_tree.nodes] if of.node_tree else []
        )
        settings = fresh.of_material(of)
    links = [link.replace("→", "->") for link in found["links"]]
    return {**found, "nodes": nodes, "links": links, "settings": {path: _text(settings[path]) for path in settings}}


def _branch(one, indent):
    below = sorted(one.children, key=lambda child: child.name)
    return [indent + one.name] + [line for child in below for line in _branch(child, indent + "  ")]


def _entry(entry):
    usual = {"rotation_deg": [0.0] * 3, "scale": [1.0] * 3, "collections": [bpy.context.scene.collection.name]}
    extent = entry["world_box"] is not None
    return {
        key: value
        for key, value in entry.items()
        if not (value is None or value is False or value == [] or value == usual.get(key))
        and (extent or key not in OF_EXTENT)
    }


def _told(struct, kind, values):
    """ "Bevel (BEVEL): width=0.02; segments=3"."""
    texts = ["{}={}".format(path, _text(value)) for path, value in sorted(values.items())]
    if len(texts) > MOST_VALUES:
        texts[MOST_VALUES:] = ["and {} more settings".format(len(texts) - MOST_VALUES)]
    return "{} ({}){}{}".format(struct.name, kind, ": " if texts else "", "; ".join(texts))


def _text(value):
    """Four digits tell a setting."""
    if isinstance(value, float):
        return "{:.4g}".format(value)
    if hasattr(value, "tobytes") or isinstance(value, bytes):
        return "{} values".format(len(value))
    if isinstance(value, bpy.types.ID):
        return value.name
    if hasattr(value, "__len__") and not isinstance(value, str):
        return "[{}]".format(", ".join(map(_text, value)))
    return str(value)
