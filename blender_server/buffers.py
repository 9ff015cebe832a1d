"""Owns foreach_get: one property of many elements as one buffer, never by Python loops."""

import array

_FIELDS = {
    # data type of an attribute → name of its value, type code, numbers in each
    "FLOAT": ("value", "f", 1),
    "INT": ("value", "i", 1),
    "FLOAT_VECTOR": ("vector", "f", 3),
    "FLOAT_COLOR": ("color", "f", 4),
    "BYTE_COLOR": ("color", "f", 4),
    "BOOLEAN": ("value", "?", 1),
    "FLOAT2": ("vector", "f", 2),
    "INT8": ("value", "b", 1),
    "INT16_2D": ("value", "h", 2),
    "INT32_2D": ("value", "i", 2),
    "QUATERNION": ("value", "f", 4),
    "FLOAT4X4": ("value", "f", 16),
}
_SIZES = {"f": 4, "i": 4, "b": 1, "h": 2}


_views_work = []  # whether foreach_get fills a memoryview of booleans, once known


def values(items, name, code, width):
    """One property of all items as a buffer."""
    size = len(items) * width
    buffer = _booleans(items, name, size) if code == "?" else array.array(code, bytes(_SIZES[code] * size))
    if size and code != "?":
        items.foreach_get(name, buffer)
    return buffer


def _booleans(items, name, size):
    """As bytes 0 and 1. array.array has no booleans, and up to 3.6 Blender fills no memoryview of them."""
    if not size:
        return array.array("b")
    if _views_work != [False]:
        buffer = bytearray(size)
        try:
            items.foreach_get(name, memoryview(buffer).cast("?"))
            _views_work[:] = [True]
            return array.array("b", bytes(buffer))
        except TypeError:
            _views_work[:] = [False]
    buffer = array.array("b", bytes(size))
    items.foreach_get(name, buffer)
    return buffer


def attributes(owner):
    """(name, attribute) of all attributes that are scene, in the order of their names."""
    named = sorted((attribute.name, attribute) for attribute in owner.attributes)
    return [(name, attribute) for name, attribute in named if not name.startswith(".")]


def attribute_values(attribute):
    field = _FIELDS.get(attribute.data_type)
    if field is None:
        return [str(item.value) for item in attribute.data]
    return values(attribute.data, *field)
