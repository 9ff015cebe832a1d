"""Owns render: a picture of the scene from temporary state.

What it is made with: `means`; what the camera sees: `views`; object ids: `object_ids`; scene-linear light: `linear`;
Workbench's light and colours: `plain_light`.
"""

import os
import sys
import time

import bpy

from blender_server import boxes, linear, object_ids, plain_light, views
from blender_server.means import Means
from blender_server.refusals import Refusal
from blender_server.temporary import Temporary
from protocol import errors

FILE = "render"


class RenderFailed(Refusal):
    """Blender began and came to no picture."""


def render(
    view=None,
    width_px=256,
    height_px=256,
    samples=16,
    engine="cycles",
    picture="color",
    transparent=False,
    isolate=(),
    region=None,
):
    started = time.monotonic()
    scene = bpy.context.scene
    with Temporary() as temporary:
        _set_frame(temporary, scene, width_px, height_px, transparent)
        if region:
            _set_region(temporary, scene.render, *region)
        views.use(view or {}, temporary, width_px / height_px)
        _isolate(temporary, isolate)
        means = Means(temporary, scene, engine, 1 if picture == "object_id" else samples)
        names = _prepared(temporary, scene, picture, means.engine)
        payload = _made(scene, picture, means)
        made = means.told()
    return {
        "width_px": width_px,
        "height_px": height_px,
        "duration_s": time.monotonic() - started,
        "made": made,
        "objects": names,
    }, [payload]


def _prepared(temporary, scene, picture, engine):
    """Set what a kind of picture needs; of object ids, their names."""
    if picture != "color" and engine != "cycles":
        raise Refusal(errors.UNSUPPORTED, "a picture of kind {!r} can be made by Cycles alone".format(picture))
    if picture == "object_id":
        return object_ids.use(temporary, scene)
    if picture == "linear":
        linear.use(temporary, scene)
    elif engine == "workbench":
        plain_light.use(temporary, scene)
    return []


def _made(scene, picture, means):
    """The picture; made once more by the processor where a graphics card fails over it."""
    extension, read = (linear.EXTENSION, linear.values) if picture == "linear" else (".png", _content)
    try:
        return _written(scene, extension, read)
    except RenderFailed as error:
        if not means.without_gpu(error.message):
            raise
        return _written(scene, extension, read)


def _written(scene, extension, read):
    """What `read` makes of the file that a render writes."""
    path = os.path.join(os.getcwd(), FILE + extension)
    with Temporary() as temporary:
        temporary.set(scene.render, filepath=path, use_file_extension=True, use_overwrite=True)
        _render()
    for image in [image for image in bpy.data.images if image.type == "RENDER_RESULT"]:
        image.user_clear()
        bpy.data.images.remove(image)
    try:
        return read(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: how Blender refuses to load a picture
        raise Refusal(errors.UNSUPPORTED, "the render wrote no picture") from error
    finally:
        if os.path.exists(path):
            os.remove(path)


def _content(path):
    with open(path, "rb") as file:
        return file.read()


def _render():
    """Blender prints a line per sample and phase, straight to the descriptor: not into our log."""
    sys.stdout.flush()
    kept, sink = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    try:
        bpy.ops.render.render(write_still=True)
    except RuntimeError as error:
        raise RenderFailed(errors.UNSUPPORTED, "the render failed: {}".format(str(error).strip())) from error
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(sink)


def _set_frame(temporary, scene, width_px, height_px, transparent):
    render = scene.render
    temporary.set(render, resolution_x=width_px, resolution_y=height_px, resolution_percentage=100)
    temporary.set(render, pixel_aspect_x=1.0, pixel_aspect_y=1.0, use_border=False, film_transparent=transparent)
    temporary.set(render, use_compositing=False, use_sequencer=False, use_multiview=False, use_stamp=False)
    temporary.set(render, use_motion_blur=False, dither_intensity=0.0, use_persistent_data=True)
    temporary.set_where_known(render.image_settings, media_type="IMAGE")  # 5.0: before the format
    temporary.set(render.image_settings, file_format="PNG")
    temporary.set(render.image_settings, color_mode="RGBA", color_depth="8", compression=15)
    temporary.set_where_known(render.image_settings, color_management="FOLLOW_SCENE")


def _set_region(temporary, render, left, top, right, bottom):
    """The picture keeps its size; what lies outside stays empty. Blender's borders go up from the bottom."""
    temporary.set(render, use_border=True, use_crop_to_border=False)
    temporary.set(render, border_min_x=left, border_max_x=right, border_min_y=1.0 - bottom, border_max_y=1.0 - top)


def _isolate(temporary, names):
    """Only these and what is below them are seen; lights, cameras and the world stay."""
    missing = [name for name in names if name not in bpy.data.objects]
    if missing:
        raise Refusal(errors.NOT_FOUND, "no object {}".format(", ".join(repr(name[:100]) for name in missing)))
    if names:
        shown = set(boxes.with_children([bpy.data.objects[name] for name in names]))
        for thing in bpy.context.scene.objects:
            if thing.type in boxes.SOLID or thing.instance_type == "COLLECTION":
                temporary.set(thing, hide_render=thing not in shown)
