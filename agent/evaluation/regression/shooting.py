"""Owns what is taken of a scene: its pictures, its mask, its cameras and its mesh, in the layout of our own scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import atan
from pathlib import Path
from random import Random
from typing import Any

import bpy

from agent.evaluation.regression.glb import Part, write_glb
from agent.evaluation.regression.models import Model, Shot
from agent.evaluation.regression.stage import SUPPORT, camera

LAYOUT = "Blender: camera looks along -Z, +Y up; the world's Z is up, in metres; camera_to_world maps camera to world. "
MESH_LAYOUT = "gt_mesh.glb is glTF, Y up: (x, y, z) in Blender is (x, z, -y) in the file."
_MASK_SAMPLES = 16


@dataclass(frozen=True)
class Quality:
    """How large and how well a set is rendered."""

    long_px: int = 512
    """Of the reference; novel views have three quarters of it."""
    samples: int = 64
    """At most, of the reference; novel views have half of them."""

    def novel(self) -> Quality:
        return Quality(self.long_px * 3 // 4, max(1, self.samples // 2))


def shoot(model: Model, folder: Path, seed: int, quality: Quality) -> None:
    """Builds the scene and writes its folder; `cameras.json` comes last, so that a folder with one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.json").unlink(missing_ok=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    model.build(Random(f"{seed}/{model.name}"))
    _set_up(model.cut_out, seed)
    cameras: dict[str, Any] = {"convention": LAYOUT + MESH_LAYOUT, "seed": seed}
    cameras["reference"] = _picture(model, model.reference, quality, folder / "reference.png")
    if not model.cut_out:
        with _as_mask():
            _render(folder / "mask.png")
    views = [(f"novel_{number:02d}.png", shot) for number, shot in enumerate(model.novel)]
    cameras["novel"] = {name: _picture(model, shot, quality.novel(), folder / name) for name, shot in views}
    meshes = _meshes()
    write_glb(folder / "gt_mesh.glb", meshes)
    triangles = sum(len(part.triangles) for parts in meshes.values() for part in parts)
    cameras |= {"objects": list(meshes), "white_background": model.cut_out, "gt_triangles": triangles}
    (folder / "cameras.json").write_text(json.dumps(cameras, indent=1) + "\n", encoding="utf-8")


def _set_up(cut_out: bool, seed: int) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.use_denoising, scene.cycles.seed = True, seed
    scene.cycles.use_adaptive_sampling, scene.cycles.use_light_tree = True, False
    scene.cycles.adaptive_threshold, scene.cycles.adaptive_min_samples = 0.05, 16
    scene.cycles.max_bounces, scene.cycles.caustics_reflective, scene.cycles.caustics_refractive = 8, False, False
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = cut_out
    scene.view_settings.view_transform = "Standard"
    for name in [name for name in dir(scene.render) if name.startswith("use_stamp_")]:
        setattr(scene.render, name, False)  # the hour and the render time would be in the file
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.compression = "PNG", "RGBA" if cut_out else "RGB", 90


def _picture(model: Model, shot: Shot, quality: Quality, path: Path) -> dict[str, Any]:
    """Renders; returns the camera as `cameras.json` has it."""
    scene, (wide, high) = bpy.context.scene, model.size
    width, height = (round(quality.long_px * side / max(model.size)) for side in (wide, high))
    eye = camera(path.stem, model.eye(shot), model.target, model.lens_mm)
    scene.camera, scene.render.resolution_x, scene.render.resolution_y = eye, width, height
    scene.cycles.samples = quality.samples
    _render(path)
    focal_px = eye.data.lens / eye.data.sensor_width * max(width, height)
    return {
        "camera_angle_x": 2 * atan(width / 2 / focal_px),
        "lens_mm": eye.data.lens,
        "sensor_width_mm": eye.data.sensor_width,
        "focal_px": focal_px,
        "cx": width / 2,
        "cy": height / 2,
        "width": width,
        "height": height,
        "camera_to_world": [list(row) for row in eye.matrix_world],
    }


def _render(path: Path) -> None:
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


@contextmanager
def _as_mask() -> Iterator[None]:
    """Everything shines white in the dark, but what objects stand on, which is cut out of them."""
    scene, white = bpy.context.scene, bpy.data.materials.new("Mask")
    white.use_nodes = True
    nodes = white.node_tree.nodes
    shader = nodes.new("ShaderNodeEmission")
    white.node_tree.links.new(shader.outputs[0], nodes["Material Output"].inputs["Surface"])
    lights = [thing for thing in scene.objects if thing.type == "LIGHT"]
    supports = [thing for thing in scene.objects if thing.get(SUPPORT)]
    for things, attribute in ((lights, "hide_render"), (supports, "is_holdout")):
        for thing in things:
            setattr(thing, attribute, True)
    background = scene.world.node_tree.nodes["Background"].inputs["Strength"]
    strength, background.default_value = background.default_value, 0.0
    bpy.context.view_layer.material_override = white
    scene.render.image_settings.color_mode = "BW"
    scene.cycles.samples, scene.cycles.use_denoising = _MASK_SAMPLES, False
    yield
    scene.cycles.use_denoising = True
    scene.render.image_settings.color_mode = "RGB"
    bpy.context.view_layer.material_override = None
    background.default_value = strength
    for things, attribute in ((lights, "hide_render"), (supports, "is_holdout")):
        for thing in things:
            setattr(thing, attribute, False)


def _meshes() -> dict[str, list[Part]]:
    """World coordinates and flat colour of everything that is reconstructed, by name."""
    things = [thing for thing in bpy.context.scene.objects if thing.type == "MESH" and not thing.get(SUPPORT)]
    return {thing.name: [_part(thing)] for thing in things}


def _part(thing: Any) -> Part:
    mesh, material = thing.data, thing.data.materials[0]
    mesh.calc_loop_triangles()
    shader = material.node_tree.nodes["Principled BSDF"].inputs
    return Part(
        points=[tuple(thing.matrix_world @ vertex.co) for vertex in mesh.vertices],
        triangles=[tuple(triangle.vertices) for triangle in mesh.loop_triangles],
        color=tuple(material.diffuse_color),
        metallic=shader["Metallic"].default_value,
        roughness=shader["Roughness"].default_value,
    )
