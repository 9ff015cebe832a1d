"""Owns the scene-linear picture: light as the renderer found it, before any view transform, as numbers.

A Render Result's pixels cannot be read from Python, so Blender writes a file and reads it again.
"""

import array

import bpy

from blender_server.temporary import Temporary

EXTENSION = ".exr"


def use(temporary, scene):
    """Until `temporary` ends, a render writes scene-linear light; no exposure, look or view transform."""
    settings = scene.render.image_settings
    temporary.callback(setattr, settings, "color_depth", settings.color_depth)  # once the format knows it again
    temporary.set(settings, file_format="OPEN_EXR", exr_codec="NONE")
    settings.color_depth = "32"


def values(path):
    """Of a file: float32 RGBA (light, alpha already multiplied in), rows from the bottom upwards, as bytes."""
    with Temporary() as temporary:
        image = temporary.made(bpy.data.images, bpy.data.images.load(path))
        buffer = array.array("f", bytes(4 * len(image.pixels)))
        image.pixels.foreach_get(buffer)
    return buffer.tobytes()
