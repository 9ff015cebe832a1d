"""Owns the way into Blender's Python: dies with its parent, finds its modules, leaves traces when it hangs or crashes.

Given to `blender -b --python bootstrap.py -- …`, or to a Python that has bpy: `python -I bootstrap.py -- …`. What is
said once it runs: `server.py`.
"""

import argparse
import ctypes
import faulthandler
import importlib.util
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main():
    options = _options(sys.argv)
    _die_with_parent()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if options.vendor:
        sys.path.insert(0, os.path.abspath(options.vendor))
    for name in ("protocol", "blender_server"):
        _load_package(name, os.path.join(root, name))
    os.chdir(options.folder)
    sys.stdout.reconfigure(line_buffering=True)
    log = open("faults.log", "w")  # noqa: SIM115  (stays open: faulthandler writes to its descriptor)
    faulthandler.enable(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the orchestrator's to handle

    import bpy  # noqa: F401  (the wheel's Python loads Blender here)

    from blender_server import means, server

    means.allow(options.engines.split(","), options.gpu)
    server.serve(options.epoch, log, options.shut)


def _options(argv):
    parser = argparse.ArgumentParser(prog="bootstrap.py")
    parser.add_argument("--folder", required=True, help="private work folder; holds the sockets r and e")
    parser.add_argument("--epoch", required=True, help="names this process in every message")
    parser.add_argument("--vendor", default="", help="folder with pyzmq and msgpack, where this Python has none")
    parser.add_argument("--engines", default="cycles", help="those that render here, the best first: cycles,workbench")
    parser.add_argument("--gpu", default="", metavar="KIND", help="graphics cards to render with: OPTIX, …, or any")
    parser.add_argument("--shut", action="store_true", help="make no more sockets once the two are connected")
    return parser.parse_args(argv[argv.index("--") + 1 :] if "--" in argv else argv[1:])


def _load_package(name, folder):
    """Not through sys.path: confined, we may read these folders but not list the one that holds them."""
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def _die_with_parent():
    """Linux: the kernel kills us when our parent ends. The parent may have gone before we asked."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (AttributeError, OSError, TypeError):
        return  # no Linux: the server's loop looks at the parent instead
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
