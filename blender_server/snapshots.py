"""Owns snapshot and restore: the scene as a file in the worker's folder.

Where accepted ones live, and what is copied there: the sandbox's store.
"""

import os

import bpy

from blender_server import compat, editing
from blender_server.refusals import Refusal
from protocol import errors


def snapshot(file):
    _refuse_what_needs_other_files()
    path = _path(file)
    try:
        editing.save(path)
    except RuntimeError as error:
        raise Refusal(errors.REFUSED, "the scene could not be saved: {}".format(error)) from error
    return {"file": file, "bytes": os.path.getsize(path)}


def restore(file=""):
    if file:
        _open(_path(file))
    else:
        editing.start_empty()
    return {"objects": len(bpy.data.objects)}


def _open(path):
    if not os.path.isfile(path):
        raise Refusal(errors.NOT_FOUND, "no file {}".format(os.path.basename(path)))
    written_by = compat.file_version(path)
    if written_by is None or written_by > bpy.app.version[:2]:
        name = "no .blend file" if written_by is None else "made by Blender {}.{}".format(*written_by)
        raise Refusal(errors.UNSUPPORTED, "{} is {}".format(os.path.basename(path), name))
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise Refusal(errors.REFUSED, "{} cannot be opened: {}".format(os.path.basename(path), error)) from error


def _path(file):
    if not file or os.path.basename(file) != file or file.startswith("."):
        raise Refusal(errors.BAD_REQUEST, "not a plain file name: {!r}".format(file[:100]))
    return os.path.join(os.getcwd(), file)


def _refuse_what_needs_other_files():
    needed = ["library {}".format(library.filepath) for library in bpy.data.libraries]
    for image in bpy.data.images:
        if image.source in ("FILE", "TILED", "SEQUENCE", "MOVIE") and not image.packed_file and image.users:
            needed.append('image "{}" ({})'.format(image.name, image.filepath or "no file"))
    if needed:
        text = "the scene needs files that are not in it: " + ", ".join(needed[:10])
        raise Refusal(errors.REFUSED, text, needed=needed[:50])
