"""Owns the look at ourselves after an edit: whether what later edits rely on is still what it was before.

It finds what code leaves behind; code that means to hide will. What is accepted does not depend on it.
"""

import builtins
import json
import linecache
import operator
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


_last = [[], {}]  # of the last look: its signature, what was found; changed in place, being among what is looked at


def look():
    """What is there now, to be compared with what is there after an edit. Quick where nothing has changed since.

    Called by the loop after whatever was no edit; an edit ends with a look of its own, in `changed`.
    """
    signature = _signature()
    if not _is_same(signature, _last[0]):
        _last[:] = signature, _found()


def _signature():
    """All of it in a row: the very same objects as long as nothing was replaced, added or removed."""
    found = list(threading.enumerate())
    for space in (*map(vars, (builtins, *_OTHERS, *_drawn())), _answered_by(), vars(zmq.Socket)):
        found.extend(list(space.values()))
    for space in map(vars, _own()):
        values = list(space.values())
        found.extend(values)
        found.extend([each.__code__ for each in values if type(each) is types.FunctionType])
    for functions in _handlers().values():
        found.extend(functions)
    return found


def _is_same(one, other):
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _handlers():
    found = ((name, getattr(bpy.app.handlers, name)) for name in dir(bpy.app.handlers))
    return {name: functions for name, functions in found if isinstance(functions, list)}


def _found():
    """name → what it stands for, and the code of a function."""
    found = {}
    for module in (builtins, *_OTHERS, *_drawn(), *_own()):
        for name, value in list(vars(module).items()):
            if module is builtins or callable(value) or isinstance(value, _KINDS):
                found["{}.{}".format(module.__name__, name)] = value, getattr(value, "__code__", None)
    for name, value in _answered_by().items():
        found["the handler of {}".format(name)] = value, None
    for name, value in list(vars(zmq.Socket).items()):
        found["zmq.Socket.{}".format(name)] = value, None
    for name, functions in _handlers().items():
        found.update(("bpy.app.handlers.{}[{}]".format(name, id(each)), (each, None)) for each in functions)
    found.update(("thread {}".format(thread.name), (thread, None)) for thread in threading.enumerate())
    return found


def changed():
    """The names of what is not what it was at the last look; new ones only where nothing new is to be expected.

    Looks itself: what it names once, it does not name again.
    """
    signature = _signature()
    if _is_same(signature, _last[0]):
        return []
    before, after = _last[1], _found()
    _last[:] = signature, after
    names = [name for name in before if name in after and not _same(before[name], after[name])]
    names += [name for name in before if name not in after and not name.startswith("thread ")]
    names += [name for name in after if name not in before and not _may_come(name)]
    return [name[:100] for name in sorted(names)[:NAMED_AT_MOST]]


def _answered_by():
    return sys.modules["blender_server.server"].HANDLERS


def _drawn():
    """What random numbers are drawn from, beside `random`."""
    drawn = sys.modules.get("numpy.random")
    return [drawn] if drawn else []


def _own():
    packages = [sys.modules["blender_server"], sys.modules["protocol"]]
    return [*packages, *(each for one in packages for each in vars(one).values() if type(each) is types.ModuleType)]


def _same(one, other):
    return one[0] is other[0] and one[1] is other[1]


def _may_come(name):
    """What an import adds to a module."""
    return name.split(".")[0] in {module.__name__ for module in _OTHERS} | {"numpy"} and "Socket." not in name
