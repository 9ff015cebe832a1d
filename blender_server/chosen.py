"""Owns what of a node, a material or a modifier is not as Blender makes it: the settings that somebody chose, as text.

Read from a new one of the same kind: what properties state as their defaults is not always true.
"""

import contextlib

import bpy

from blender_server import rna
from blender_server.temporary import Temporary

UNSAID = {
    "name", "type", "bl_idname", "color_tag", "outputs", "parent", "is_active", "is_active_output",
    "persistent_uid", "node_tree",
}  # fmt: skip
SAME = 1e-6
"""Numbers that lie as near to each other are one; settings are single precision."""


class Fresh(contextlib.ExitStack):
    """A `with` block in which there are new ones of everything to compare with."""

    def __enter__(self):
        self._temporary = self.enter_context(Temporary())
        self._material = self._temporary.made(bpy.data.materials, bpy.data.materials.new("fresh"))
        self._material.use_nodes = True
        self._material.node_tree.nodes.clear()
        return self

    def of_material(self, material):
        """{setting: value} of the material itself, without its nodes."""
        skip = {"node_tree", "cycles", "grease_pencil"}
        return _differing(dict(rna.walk(material, skip=skip)), dict(rna.walk(self._material, skip=skip)))

    def of_node(self, node):
        """{input or setting: value}; of inputs only those that no link feeds."""
        fresh = self._node_like(node)
        values = _differing(_sockets(node), _sockets(fresh) if fresh else {})
        named = {_socket_name(node, identifier): value for identifier, value in values.items()}
        named.update(_differing(_own(node, {"inputs"}), _own(fresh, {"inputs"}) if fresh else {}))
        if fresh:
            self._material.node_tree.nodes.remove(fresh)
        return named

    def of_modifiers(self, thing):
        """(modifier, {setting: value}) for each of an object."""
        return self._of_stack(thing, "modifiers", lambda one: (one.name, one.type))

    def of_constraints(self, thing):
        return self._of_stack(thing, "constraints", lambda one: (one.type,))

    def _of_stack(self, thing, stack, arguments):
        if not len(getattr(thing, stack)):
            return []
        like = self._temporary.made(bpy.data.objects, bpy.data.objects.new("fresh", thing.data))
        return [(one, self._of_item(one, getattr(like, stack), arguments(one))) for one in getattr(thing, stack)]

    def _of_item(self, one, stack, arguments):
        if one.type == "PARTICLE_SYSTEM":
            return {}  # a new one would leave its settings behind
        fresh = stack.new(*arguments)
        if getattr(one, "node_group", None) is not None:
            fresh.node_group = one.node_group
        found = _differing(_own(one), _own(fresh))
        stack.remove(fresh)
        return found

    def _node_like(self, node):
        """None where it cannot be made outside its own tree."""
        try:
            fresh = self._material.node_tree.nodes.new(node.bl_idname)
        except RuntimeError:
            return None
        if getattr(node, "node_tree", None) is not None:
            fresh.node_tree = node.node_tree
        return fresh


def _own(struct, skip=frozenset()):
    return dict(rna.walk(struct, skip=UNSAID.union(skip)))


def _sockets(node):
    """{identifier: value} of a node's inputs, or of its outputs where it has none: a value, a colour."""
    return {
        socket.identifier: list(socket.default_value) if _is_array(socket.default_value) else socket.default_value
        for socket in list(node.inputs) or list(node.outputs)
        if socket.enabled and not (socket.is_linked and not socket.is_output) and hasattr(socket, "default_value")
    }


def _socket_name(node, identifier):
    """Its name, or where several share that, its place among all, as a path spells it."""
    kind = "inputs" if len(node.inputs) else "outputs"
    sockets = list(getattr(node, kind))
    place = next(number for number, socket in enumerate(sockets) if socket.identifier == identifier)
    name = sockets[place].name
    alone = sum(socket.name == name for socket in sockets) == 1
    return name if alone else "{}[{}]".format(kind, place)


def _is_array(value):
    return hasattr(value, "__len__") and not isinstance(value, str)


def _differing(values, defaults):
    return {
        path: value
        for path, value in values.items()
        if value not in (None, "", []) and not (path in defaults and _same(value, defaults[path]))
    }


def _same(first, second):
    if isinstance(first, float) and isinstance(second, (int, float)):
        return abs(first - second) <= SAME * max(1.0, abs(second))
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return first == second
