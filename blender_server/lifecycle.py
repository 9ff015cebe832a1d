"""Owns the first and the last word: what this Blender is, and goodbye."""

import os
import platform

import bpy

from blender_server import compat, means
from protocol import wire


def hello():
    return {
        "protocol": wire.VERSION,
        "blender": ".".join(str(number) for number in bpy.app.version),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "numpy": compat.has_numpy(),
        "engines": means.engines(),
    }


def shutdown():
    """The loop ends after this reply was sent."""
    return {}
