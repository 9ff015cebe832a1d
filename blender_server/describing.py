"""Owns describe and dump: what the fingerprint digests, as short texts for a message or as numbers to compare."""

import array
import hashlib
import struct

import bpy

from blender_server import compat, factors, rna

TEXT_KEPT = 160
INTEGERS = {"edges", "loop_starts", "corner_vertices", "material_index"}


def describe(keys):
    """Texts of the (factor, key) pairs asked for; keys that are not in the scene are left out."""
    bpy.context.view_layer.update()
    parts, texts = factors.parts(), {}
    for factor, key in keys:
        for path, value in _pairs(parts.get((factor, key), ())):
            texts.setdefault(key, {})[path] = _text(path, value)
    return {"texts": texts}


def dump(portable=False):
    """All buffers as payloads: those of topology and face assignment int32, every other float32. `portable`: meshes'
    under names and with values that mean the same in every Blender version."""
    bpy.context.view_layer.update()
    numbers, texts, meshes, payloads = {}, {}, {}, []
    for (_factor, key), readers in factors.parts().items():
        for path, value in _pairs(readers):
            if hasattr(value, "tobytes"):
                if portable and path in compat.VERSIONED_ARRAYS:
                    continue
                meshes.setdefault(key, {})[path] = len(payloads)
                payloads.append(_packed(path, value))
            elif _is_numbers(value):
                numbers.setdefault(key, {})[path] = [float(number) for number in _flat(value)]
            else:
                texts.setdefault(key, {})[path] = _text(path, value)
    for mesh in [mesh for mesh in bpy.data.meshes if mesh.users] if portable else ():
        for path, value in compat.portable_flags(mesh):
            meshes.setdefault(rna.key(mesh), {})[path] = len(payloads)
            payloads.append(_packed(path, value))
    return {"numbers": numbers, "texts": texts, "meshes": meshes}, payloads


def _pairs(readers):
    return (pair for reader in readers for pair in reader())


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _text(path, value):
    if hasattr(value, "tobytes"):
        return _buffer_text(path, value)
    if isinstance(value, bytes):
        return "{} bytes, {}".format(len(value), _digest(value))
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, (list, tuple)):
        text = "({})".format(", ".join(_text(path, below) for below in value))
    else:
        text = str(value)
    return text if len(text) <= TEXT_KEPT else "{}… {}".format(text[:TEXT_KEPT], _digest(text.encode()))


def _buffer_text(path, values):
    width = 3 if path == "vertices" else 1
    text = "{} × {}, {}".format(len(values) // width, width, _digest(values)) if width > 1 else _count_text(values)
    if path == "vertices" and len(values):
        box = [(min(values[axis::3]), max(values[axis::3])) for axis in range(3)]
        text += " in " + " × ".join("{}…{}".format(_short(low), _short(high)) for low, high in box)
    return text


def _count_text(values):
    return "{} values, {}".format(len(values), _digest(values))


def _short(number):
    """The shortest text that gives the same 32 bit number."""
    for digits in (6, 7, 8):
        text = "{:.{}g}".format(number, digits)
        if _single(float(text)) == _single(number):
            return text
    return "{:.9g}".format(number)


def _single(number):
    try:
        return struct.pack("f", number)
    except OverflowError:
        return number


def _digest(data):
    return hashlib.blake2b(data, digest_size=4).hexdigest()


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _is_numbers(value):
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_numbers(below) for below in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flat(value):
    return [number for below in value for number in _flat(below)] if isinstance(value, (list, tuple)) else [value]


def _packed(path, values):
    code = "i" if path in INTEGERS else "f"
    return (values if getattr(values, "typecode", "") == code else array.array(code, values)).tobytes()
