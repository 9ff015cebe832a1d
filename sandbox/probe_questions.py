"""Asks a Blender what it is; run inside it, so plain Python 3.7 and the standard library only.

Answers line by line, the surest first: whatever a later question breaks, the answers before it stand. The pictures come
last, since some Blenders crash over them and others take a minute.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time

import bpy

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURE_PX = 32
FLAGS = ("--offline-mode", "-noaudio")
DRAWN_BY_PROCESSOR = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software")


def say(**answers):
    sys.stdout.write("\nSEIG-PROBE " + json.dumps(answers) + "\n")
    sys.stdout.flush()


def libraries():
    """Of what our server needs, the versions that this Python can import by itself."""
    found = {}
    try:
        import zmq

        found["zmq"] = zmq.__version__
    except ImportError:
        pass
    try:
        import msgpack

        found["msgpack"] = ".".join(map(str, msgpack.version))
    except ImportError:
        pass
    return found


def parts():
    """Folders that it consists of, wherever a link or a script that started it lies: as it names them, and in truth."""
    resources = [path for path in map(bpy.utils.resource_path, ("LOCAL", "SYSTEM")) if os.path.isdir(path)]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)  # a script may have set it
    around = [os.path.dirname(os.path.realpath(path)) for path in (bpy.app.binary_path, *resources[:1]) if path]
    found = (*around, *resources, sys.prefix, *sys.path, *libraries)
    present = [path for path in found if os.path.isabs(path) and os.path.isdir(path)]
    return sorted({*present, *map(os.path.realpath, present)})


def build_options():
    options = bpy.app.build_options
    return [name for name in dir(options) if getattr(options, name) is True]


def flags():
    """What its command line knows; a wheel has none, and dies when it is asked for bpy.app.help_text()."""
    if not bpy.app.binary_path:
        return []
    command = [bpy.app.binary_path, "--help"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=10)
    return [flag for flag in FLAGS if flag in done.stdout.decode(errors="replace").split()]


def picture_s(compat, engine):
    """Seconds that it takes to render a small picture, and its first; None where nothing is drawn."""
    scene = bpy.context.scene
    scene.render.engine = compat.engine_id(engine)
    scene.render.resolution_x = scene.render.resolution_y = PICTURE_PX
    scene.render.filepath = os.path.join(tempfile.gettempdir(), engine + ".png")
    if engine == "cycles":
        scene.cycles.samples = 1
        scene.cycles.use_denoising = False
    began = time.monotonic()
    bpy.ops.render.render(write_still=True)
    took_s = time.monotonic() - began
    pixels = bpy.data.images.load(scene.render.filepath).pixels[:]
    drawn = max(pixels[0::4]) - min(pixels[0::4]) > 0.05  # some write a picture without having drawn in it
    return round(took_s, 2) if drawn else None


def is_slow(engine):
    """EEVEE drawn by the processor takes half a minute and more for its first picture, so it is not asked for one."""
    if engine != "eevee":
        return False
    import gpu

    try:
        renderer = gpu.platform.renderer_get().lower()
    except (AttributeError, SystemError):
        return False
    return any(name in renderer for name in DRAWN_BY_PROCESSOR)


def answer(name, ask):
    try:
        say(**{name: ask()})
    except Exception as reason:
        sys.stderr.write("%s: %s\n" % (name, reason))


def main():
    say(
        version=".".join(map(str, bpy.app.version)),
        python="%d.%d" % sys.version_info[:2],
        platform=sysconfig.get_platform(),
    )
    answer("program", lambda: bpy.app.binary_path or os.path.realpath(bpy.__file__))
    answer("parts", parts)
    sys.dont_write_bytecode = True
    sys.path.insert(0, ROOT)
    from blender_server import compat

    answer("engines", compat.engines)
    answer("numpy", compat.has_numpy)
    answer("denoisers", compat.denoisers)
    answer("exporters", compat.exporters)
    answer("build_options", build_options)
    answer("libraries", libraries)
    answer("flags", flags)
    answer("devices", lambda: [{"kind": kind, "name": name} for kind, name in compat.devices()])
    answer("dialect", compat.dialect)
    found = {}
    say(picture_s=found)  # from here on the shorter deadline counts
    for engine in ("cycles", "workbench", "eevee"):
        try:
            took_s = None if compat.engine_id(engine) is None or is_slow(engine) else picture_s(compat, engine)
        except Exception as reason:
            sys.stderr.write("%s: %s\n" % (engine, reason))
            continue
        if took_s is not None:
            found[engine] = took_s
            say(picture_s=found)


main()
