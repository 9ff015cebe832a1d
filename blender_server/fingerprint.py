"""Owns the fingerprint: a digest of every datablock in every factor. What is read: `factors`.

It is exact, and compared only between scenes of one lineage in one Blender version, each just opened from a file.
"""

import hashlib

import bpy
import msgpack

from blender_server import coverage, elements, factors, rna


def reply():
    bpy.context.view_layer.update()
    found, topology = {factor: {} for factor in coverage.FACTORS}, _topology()
    for (factor, key), readers in factors.parts().items():
        found[factor][key] = digest(_pairs(readers, topology))
    types = {thing.name: thing.type for thing in bpy.data.objects if thing.users}
    return {"factors": found, "topology": topology, "objects": types}


def _pairs(readers, topology):
    """What the readers read; a mesh's topology, the costliest part, as the digest that is known already."""
    for reader in readers:
        if reader.func is elements.topology:
            yield "topology", topology[rna.key(*reader.args)]
        else:
            yield from reader()


def digest(pairs):
    """Buffers are hashed as they lie in memory, everything else as msgpack."""
    whole, plain = hashlib.blake2b(digest_size=16), []
    for path, value in pairs:
        if hasattr(value, "tobytes"):
            whole.update(msgpack.packb([path, len(value)]))
            whole.update(value)
        else:
            plain.append((path, value))
    whole.update(msgpack.packb(plain, use_bin_type=True))
    return whole.hexdigest()


def _topology():
    return {rna.key(mesh): digest(_counted(mesh)) for mesh in bpy.data.meshes if mesh.users}


def _counted(mesh):
    yield "vertices", len(mesh.vertices)
    yield from elements.topology(mesh)
