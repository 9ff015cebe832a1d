"""Owns which part of the scene belongs to which factor: one list of readers for every (factor, key).

A key is "type:name" of a datablock, and "slots:name" for the material slots of an object. A reader, called, gives
(path, value) pairs; so a fingerprint reads all of them and a description only those that differ.

A mesh has two keys of the same name: its shape in `geometry`; its face assignment, UV maps and colours in `material`. A
camera or light object has all that is its own, with its world matrix, in `camera` or `light` and is in no other factor.
An image, a texture or a node group belongs to the factors of all that use it.
"""

from collections import defaultdict
from functools import partial

import bpy

from blender_server import compat, coverage, elements, rna


def parts():
    """(factor, key) → readers."""
    found = defaultdict(list)
    memberships = _memberships()
    for thing in bpy.data.objects:
        if thing.users:
            _add_object(found, thing, memberships.get(thing.name, []))
    for collection in bpy.data.collections:
        if collection.users:
            found["structure", rna.key(collection)].append(partial(_collection, collection))
    for scene in bpy.data.scenes:
        _add_scene(found, scene)
    _add_data(found)
    return found


# ── objects ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _add_object(found, thing, collections):
    key, own = rna.key(thing), coverage.OWN_FACTOR.get(thing.type)
    _add_animation(found, thing)
    if own:
        found[own, key] += [partial(_whole_object, thing, collections), partial(rna.custom, thing)]
        return
    sets = _split(rna.names(thing))
    found["structure", key] += [partial(_identity, thing, collections), partial(rna.custom, thing)]
    found["structure", key].append(partial(rna.walk, thing, only=sets["structure"]))
    found["transform", key].append(partial(rna.walk, thing, only=sets["transform"]))
    found["geometry", key].append(partial(rna.walk, thing, only=sets["geometry"]))
    found["material", "slots:" + thing.name] += [
        partial(_slots, thing),
        partial(rna.walk, thing, only=sets["material"]),
    ]


def _split(names):
    """Property names by factor. What this file does not know is structure."""
    found = {"structure": set(), "transform": set(), "geometry": set(), "material": set()}
    for name in names:
        if name in coverage.TRANSFORM:
            found["transform"].add(name)
        elif name in coverage.GEOMETRY:
            found["geometry"].add(name)
        elif name in coverage.MATERIAL:
            found["material"].add(name)
        elif name not in coverage.NO_SCENE:
            found["structure"].add(name)
    return found


def _identity(thing, collections):
    return [("type", thing.type), ("collections", collections), ("hidden", thing.hide_get())]


def _whole_object(thing, collections):
    matrix = [value for row in thing.matrix_world for value in row]
    return [*_identity(thing, collections), ("matrix_world", matrix), *rna.walk(thing, skip=coverage.NO_SCENE)]


def _slots(thing):
    pairs = []
    for index, slot in enumerate(thing.material_slots):
        path = "material_slots[{}].".format(index)
        pairs += [(path + "link", slot.link), (path + "material", slot.material and slot.material.name)]
    return pairs


def _memberships():
    """Object name → names of the collections it is in."""
    found = defaultdict(list)
    masters = [scene.collection for scene in bpy.data.scenes]
    for collection in masters + sorted(bpy.data.collections, key=lambda collection: collection.name):
        for name in collection.objects.keys():  # noqa: SIM118  (no dict: iterating gives objects)
            found[name].append(collection.name)
    return found


def _collection(collection):
    """Without its objects: each of them tells where it is."""
    pairs = [("children", sorted(child.name for child in collection.children)), ("unlinked", _unlinked(collection))]
    return pairs + rna.walk(collection, only=coverage.COLLECTION) + rna.custom(collection)


def _unlinked(collection):
    """Objects that a light-linking collection leaves out."""
    entries = zip(collection.objects.keys(), getattr(collection, "collection_objects", ()))
    return sorted(name for name, entry in entries if entry.light_linking.link_state != "INCLUDE")


# ── scenes ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _add_scene(found, scene):
    key = rna.key(scene)
    found["structure", key] += [partial(_collection, scene.collection), partial(_layers, scene)]
    found["camera", key].append(partial(_reference, scene, "camera"))
    found["world", key].append(partial(_reference, scene, "world"))
    for name in ("view_settings", "display_settings"):
        found["view", key].append(partial(rna.walk, scene, only={name}))
    found["host", key] += [partial(rna.walk, scene, skip=coverage.NO_HOST), partial(rna.custom, scene)]
    found["host", key] += [partial(_passes, scene), partial(_compositing, scene)]
    _add_animation(found, scene)


def _reference(scene, name):
    value = getattr(scene, name)
    return [(name, value and rna.key(value))]


def _layers(scene):
    return [(layer.name, _flagged(layer.layer_collection, "")) for layer in scene.view_layers]


def _flagged(collection, path):
    """What a view layer leaves out or hides; a collection that it merely shows is no entry."""
    path += "/" + collection.name
    found = [path + "." + name for name in coverage.LAYER_FLAGS if getattr(collection, name)]
    for child in collection.children:
        found += _flagged(child, path)
    return found


def _passes(scene):
    skip = {"objects", "layer_collection", "freestyle_settings"}
    pairs = []
    for layer in scene.view_layers:
        pairs += rna.walk(layer, "view_layers[{!r}].".format(layer.name), skip)
    return pairs


def _compositing(scene):
    tree = compat.compositor(scene)
    strips = [("strips[{!r}]".format(strip.name), strip.type) for strip in compat.strips(scene)]
    return strips + (rna.walk(tree, "node_tree.") if tree else [])


# ── everything else ───────────────────────────────────────────────────────────────────────────────────────────────────
def _add_data(found):
    users = bpy.data.user_map()
    weighted = {thing.data for thing in bpy.data.objects if len(thing.vertex_groups)}
    for prop in bpy.data.bl_rna.properties:
        name = prop.identifier
        if prop.type != "COLLECTION" or name in coverage.ELSEWHERE or name in coverage.NO_DATA:
            continue
        if prop.fixed_type.identifier == "ID":
            continue  # since 5.1 there is one of everything
        for datablock in getattr(bpy.data, name):
            if datablock.users or name == "texts":
                for factor in _factors_of(datablock, name, users):
                    _add_datablock(found, factor, datablock, datablock in weighted)
                _add_animation(found, datablock)


def _factors_of(datablock, name, users):
    """A collection that this file does not know is no scene that an edit may leave."""
    default = (
        coverage.TREE_FACTORS.get(datablock.type, "host") if name == "node_groups" else coverage.DATA.get(name, "host")
    )
    if name not in coverage.SHARED:
        return [default]
    if name == "images" and datablock.type in ("RENDER_RESULT", "COMPOSITING"):
        return []
    return sorted(_of_users(datablock, users, set())) or [default]


def _of_users(datablock, users, seen):
    found = set()
    for user in users.get(datablock, ()):
        factor = coverage.USER_FACTORS.get(rna.kind(user))
        if factor:
            found.add(factor)
        elif user not in seen:
            seen.add(user)
            found |= _of_users(user, users, seen)
    return found


def _add_datablock(found, factor, datablock, weighted):
    key, kind = rna.key(datablock), rna.kind(datablock)
    read = {"image": _image, "text": _text, "font": _font, "vectorfont": _font}.get(kind)
    if read:
        found[factor, key].append(partial(read, datablock))
        if kind == "image" and _is_external(datablock):
            found["host", key].append(partial(_external, datablock))
        return
    found[factor, key] += [
        partial(rna.walk, datablock, skip=coverage.TOO_MUCH.get(kind, set())),
        partial(rna.custom, datablock),
    ]
    if kind in ("mesh", "curve", "metaball"):
        found[factor, key].append(partial(compat.texture_space, datablock))
    if kind == "mesh":
        found[factor, key] += [partial(elements.topology, datablock), partial(elements.shape, datablock, weighted)]
        found["material", key].append(partial(elements.surface, datablock))


def _image(image):
    generated = {name for name in rna.names(image) if name.startswith("generated")}
    pairs = rna.walk(image, skip=set() if image.source == "GENERATED" else generated)
    for index, packed in enumerate(compat.packed_files(image)):
        pairs.append(("pixels[{}]".format(index), packed.data))
    return pairs


def _is_external(image):
    return image.source != "GENERATED" and not image.packed_file


def _external(image):
    return [("filepath", image.filepath)]


def _text(text):
    return [("use_module", text.use_module), ("body", text.as_string())]


def _font(font):
    return [("filepath", font.filepath), ("data", font.packed_file.data if font.packed_file else b"")]


def _add_animation(found, datablock):
    """Drivers, actions and strips of a datablock and of the node tree inside it, under the datablock's own key."""
    for owner in (datablock, getattr(datablock, "node_tree", None)):
        data = getattr(owner, "animation_data", None)
        if data and (data.action or len(data.drivers) or len(data.nla_tracks)):
            found["host", rna.key(datablock)].append(partial(rna.walk, data, "animation_data."))
