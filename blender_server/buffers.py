"""Owns foreach_get: one property of many elements as one buffer, never by Python loops."""

import array

_FIELDS = {
    # data type of an attribute → name of its value, type code, numbers in each
    "FLOAT": ("value", "f", 1),
    "INT": ("value", "i", 1),
    "FLOAT_VECTOR": ("vector", "f", 3),
    "FLOAT_COLOR": ("color", "f", 4),
    "BYTE_COLOR": ("color", "f", 4),
    "BOOLEAN": ("value", "b", 1),
    "FLOAT2": ("vector", "f", 2),
    "INT8": ("value", "b", 1),
    "INT16_2D": ("value", "h", 2),
    "INT32_2D": ("value", "i", 2),
    "QUATERNION": ("value", "f", 4),
    "FLOAT4X4": ("value", "f", 16),
}
_SIZES = {"f": 4, "i": 4, "b": 1, "h": 2}


def values(items, name, code, width):
    """One property of all items as a buffer; booleans as bytes 0 and 1."""
    size = len(items) * width
    buffer = array.array(code, bytes(_SIZES[code] * size))
    if size:
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
