"""The one file that knows that Blender versions differ. Tries names instead of comparing version numbers."""

import gzip
import re

import bpy

ENGINES = ("cycles", "eevee", "workbench")
_ENGINE_IDS = {
    "cycles": ("CYCLES",),
    "eevee": ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"),  # 4.2 renamed it, 5.0 renamed it back
    "workbench": ("BLENDER_WORKBENCH",),
}
_HEADER = re.compile(rb"BLENDER(?:[_-][vV](\d)(\d\d)|(?:17)-\d\d[vV](\d\d)(\d\d))")


def has_numpy():
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
    return True


def engine_id(name):
    """What this Blender calls an engine, or None when it lacks it."""
    render = bpy.context.scene.render
    before = render.engine
    for candidate in _ENGINE_IDS[name]:
        try:
            render.engine = candidate
        except TypeError:  # how Blender refuses an unknown enum item
            continue
        finally:
            render.engine = before
        return candidate
    return None


def has_denoiser():
    try:
        import _cycles
    except ImportError:
        return False
    return bool(getattr(_cycles, "with_openimagedenoise", False))


def file_version(path):
    """(major, minor) of the Blender that wrote a .blend, or None when it is none. Reads the header only."""
    with open(path, "rb") as file:
        start = file.read(32)
    if start[:2] == b"\x1f\x8b":  # up to 2.93 compressed with gzip
        with gzip.open(path) as file:
            start = file.read(32)
    found = _HEADER.match(start)
    if not found:
        return None
    digits = [int(group) for group in found.groups() if group is not None]
    return digits[0], digits[1]
