"""Owns the element arrays of meshes: named buffers that together are all a mesh's elements hold.

Names: "vertices", "edges", "loop_starts", "corner_vertices", "weights", "attribute:…" are geometry; "material_index",
"uv:…", "color:…", "seams" are material.
"""

import array

from blender_server import buffers, compat


def topology(mesh):
    """(name, values) of what says which corners make which faces."""
    yield "edges", compat.edge_vertices(mesh)
    yield "loop_starts", buffers.values(mesh.polygons, "loop_start", "i", 1)
    yield "corner_vertices", compat.corner_vertices(mesh)


def shape(mesh, weighted):
    """(name, values) of a mesh's geometry beside its topology. `weighted`: an object that uses it has vertex groups."""
    yield "vertices", compat.positions(mesh)
    surface = _surface_names(mesh)
    for name, attribute in buffers.attributes(mesh):
        if name not in surface and name not in compat.BUILT_IN_ATTRIBUTES:
            yield "attribute:" + name, buffers.attribute_values(attribute)
    for name, found in compat.element_flags(mesh):
        yield "attribute:" + name, found
    weights = _weights(mesh) if weighted else None
    if weights:
        yield "weights", weights


def surface(mesh):
    """(name, values) of what the material factor covers: face assignment, UV maps, colours, seams."""
    yield "material_index", compat.material_indices(mesh)
    for layer in mesh.uv_layers:
        yield "uv:" + layer.name, compat.uv_values(layer)
    for name, found in compat.colors(mesh):
        yield "color:" + name, found
    yield "seams", compat.seams(mesh)


def _surface_names(mesh):
    layers = [*mesh.uv_layers, *compat.color_layers(mesh)]
    return {layer.name for layer in layers} | {"material_index", "uv_seam"}


def _weights(mesh):
    found = array.array("f")
    for vertex in mesh.vertices:
        for group in vertex.groups:
            found.extend((vertex.index, group.group, group.weight))
    return found
