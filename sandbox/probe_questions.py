"""Asks a Blender what it is; run inside it, so plain Python 3.7 and the standard library only.

Answers line by line, the surest first: whatever a later question breaks, the answers before it stand.
"""

import importlib.util
import json
import os
import sys
import sysconfig
import tempfile

import bpy


def say(**answers):
    sys.stdout.write("SEIG-PROBE " + json.dumps(answers) + "\n")
    sys.stdout.flush()


def libraries():
    """What is there but cannot be loaded does not count."""
    found = {}
    for name, version in (("zmq", "pyzmq_version"), ("msgpack", "version")):
        try:
            module = importlib.import_module(name)
            told = getattr(module, version)
            found[name] = told() if callable(told) else ".".join(map(str, told))
        except Exception as reason:
            sys.stderr.write("%s: %s\n" % (name, reason))
    return found


def knows(engine):
    try:
        bpy.context.scene.render.engine = engine
    except TypeError:
        return False
    return True


def cycles_module():
    try:
        import _cycles
    except ImportError:
        return None
    return _cycles


def engines():
    names = {
        "cycles": ("CYCLES",),
        "eevee": ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"),
        "workbench": ("BLENDER_WORKBENCH",),
    }
    return [name for name, spellings in names.items() if any(map(knows, spellings))]


def gpus():
    preferences = bpy.context.preferences.addons["cycles"].preferences
    kinds = [kind[0] for kind in preferences.get_device_types(bpy.context) if kind[0] != "NONE"]
    return [kind for kind in kinds if any(d.type == kind for d in preferences.get_devices_for_type(kind) or ())]


def workbench():
    """Whether it can render without a screen; where not, some raise and some die."""
    scene = bpy.context.scene
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.render.filepath = os.path.join(tempfile.gettempdir(), "workbench.png")
    bpy.ops.render.render(write_still=True)
    pixels = bpy.data.images.load(scene.render.filepath).pixels[:]
    return max(pixels[0::4]) - min(pixels[0::4]) > 0.05  # some write a picture without having drawn in it


say(
    version=".".join(map(str, bpy.app.version)),
    python="%d.%d" % sys.version_info[:2],
    platform=sysconfig.get_platform(),
    libraries=libraries(),
    numpy=importlib.util.find_spec("numpy") is not None,
    engines=engines(),
    denoiser=bool(getattr(cycles_module(), "with_openimagedenoise", False)),
)
for name, ask in (("gpus", gpus), ("workbench", workbench)):
    try:
        say(**{name: ask()})
    except Exception as reason:
        sys.stderr.write("%s: %s\n" % (name, reason))
