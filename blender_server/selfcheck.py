"""Owns the look at ourselves after an edit: whether what later edits rely on is still what it was before.

It finds what code leaves behind; code that means to hide will. What is accepted does not depend on it.
"""

import builtins
import json
import linecache
import os
import random
import sys
import threading
import time
import traceback
import types

import bpy
import msgpack
import zmq

NAMED_AT_MOST = 5
_OTHERS = (json, linecache, msgpack, os, random, sys, threading, time, traceback, zmq)
_KINDS = (types.ModuleType, type)


def look():
    """name → what it stands for, and the code of a function."""
    found = {}
    for module in _modules():
        for name, value in list(vars(module).items()):
            if module is builtins or callable(value) or isinstance(value, _KINDS):
                found["{}.{}".format(module.__name__, name)] = value, getattr(value, "__code__", None)
    for name, value in sys.modules["blender_server.server"].HANDLERS.items():
        found["the handler of {}".format(name)] = value, None
    for name, value in list(vars(zmq.Socket).items()):
        found["zmq.Socket.{}".format(name)] = value, None
    for name in dir(bpy.app.handlers):
        functions = getattr(bpy.app.handlers, name)
        if isinstance(functions, list):
            found.update(("bpy.app.handlers.{}[{}]".format(name, id(each)), (each, None)) for each in functions)
    found.update(("thread {}".format(thread.name), (thread, None)) for thread in threading.enumerate())
    return found


def changed(before):
    """The names of what is not what it was; new ones only where nothing new is to be expected."""
    after = look()
    names = [name for name in before if name in after and not _same(before[name], after[name])]
    names += [name for name in before if name not in after and not name.startswith("thread ")]
    names += [name for name in after if name not in before and not _may_come(name)]
    return [name[:100] for name in sorted(names)[:NAMED_AT_MOST]]


def _modules():
    try:
        import numpy.random  # seeded before every edit  # noqa: F401
    except ImportError:
        pass
    own = [module for name, module in list(sys.modules.items()) if name.startswith(("blender_server", "protocol"))]
    drawn = sys.modules.get("numpy.random")
    return [builtins, *_OTHERS, *own, *([drawn] if drawn else [])]


def _same(one, other):
    return one[0] is other[0] and one[1] is other[1]


def _may_come(name):
    """What an import adds to a module."""
    return name.split(".")[0] in {module.__name__ for module in _OTHERS} | {"numpy"} and "Socket." not in name
