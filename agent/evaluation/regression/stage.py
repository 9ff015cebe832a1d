"""Owns putting shapes, paints, lights and a camera into Blender's scene."""

from __future__ import annotations

from collections.abc import Sequence
from math import radians
from typing import Any

import bpy
from mathutils import Vector

from agent.evaluation.regression.shapes import Point, Shape

Color = tuple[float, float, float]
"""As a paint chart would show it: sRGB, 0 to 1."""
SUPPORT = "support"
"""Marks what objects stand on or before: neither in the mask nor in the mesh."""
SHARP_DEG = 35


# ── paints ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def linear(color: Color) -> Color:
    red, green, blue = ((c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in color)
    return red, green, blue


def paint(name: str, color: Color, roughness: float = 0.5, **more: float) -> Any:
    """A principled material; `more` by Blender's names ("coat_weight"), and `bump` with `bump_scale` per metre."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    bump, bump_scale = more.pop("bump", 0.0), more.pop("bump_scale", 12.0)
    inputs = material.node_tree.nodes["Principled BSDF"].inputs
    for key, value in {"roughness": roughness, **more}.items():
        inputs[_socket(key)].default_value = value
    inputs["Base Color"].default_value = material.diffuse_color = (*linear(color), 1)
    if bump:
        _bumpy(material, bump, bump_scale)
    return material


def _socket(key: str) -> str:
    return key.upper() if key == "ior" else key.replace("_", " ").title()


def _bumpy(material: Any, strength: float, scale: float) -> None:
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place, noise, node = (nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "TexNoise", "Bump"))
    noise.inputs["Scale"].default_value, node.inputs["Strength"].default_value = scale, strength
    node.inputs["Distance"].default_value = 0.05
    links.new(place.outputs["Object"], noise.inputs["Vector"])
    links.new(noise.outputs["Fac"], node.inputs["Height"])
    links.new(node.outputs["Normal"], nodes["Principled BSDF"].inputs["Normal"])


def glass(name: str, color: Color = (1, 1, 1), roughness: float = 0.0) -> Any:
    return paint(name, color, roughness, transmission_weight=1.0, ior=1.45)


def glow(name: str, color: Color, strength: float) -> Any:
    material = paint(name, color, 0.8, emission_strength=strength)
    material.node_tree.nodes["Principled BSDF"].inputs["Emission Color"].default_value = (*linear(color), 1)
    return material


def grain(name: str, first: Color, second: Color, scale: float, roughness: float = 0.5) -> Any:
    """Wood: uneven bands of two colours along X."""
    material = paint(name, _between(first, second), roughness)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    kinds = ("TexCoord", "Mapping", "TexWave", "ValToRGB")
    place, stretch, wave, ramp = (nodes.new(f"ShaderNode{kind}") for kind in kinds)
    stretch.inputs["Scale"].default_value = (0.06, 1, 1)
    wave.bands_direction = "Y"
    for key, value in (("Scale", scale), ("Distortion", 9), ("Detail", 4), ("Detail Scale", 1.2)):
        wave.inputs[key].default_value = value
    for element, color in zip(ramp.color_ramp.elements, (first, second), strict=True):
        element.color = (*linear(color), 1)
    links.new(place.outputs["Object"], stretch.inputs["Vector"])
    links.new(stretch.outputs["Vector"], wave.inputs["Vector"])
    links.new(wave.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def _between(first: Color, second: Color) -> Color:
    red, green, blue = ((a + b) / 2 for a, b in zip(first, second, strict=True))
    return red, green, blue


# ── things ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def put(
    name: str,
    shape: Shape,
    material: Any,
    place: Point = (0, 0, 0),
    turn: Point = (0, 0, 0),
    scale: Point = (1, 1, 1),
    support: bool = False,
) -> Any:
    """An object; `turn` in degrees about X, Y, Z."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(shape.points, [], shape.faces)
    mesh.materials.append(material)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=radians(SHARP_DEG))
    thing = bpy.data.objects.new(name, mesh)
    thing.location, thing.scale = place, scale
    thing.rotation_euler = [radians(angle) for angle in turn]
    thing[SUPPORT] = support
    bpy.context.scene.collection.objects.link(thing)
    return thing


# ── light and camera ──────────────────────────────────────────────────────────────────────────────────────────────────
def lamp(name: str, place: Point, target: Point, size: float, power: float, color: Color = (1, 1, 1)) -> None:
    """A square lamp of `size` metres and `power` watts."""
    light = bpy.data.lights.new(name, "AREA")
    light.size, light.energy, light.color = size, power, color
    _aim(_linked(name, light), place, target)


def bulb(name: str, place: Point, power: float, color: Color, radius: float) -> None:
    light = bpy.data.lights.new(name, "POINT")
    light.energy, light.color, light.shadow_soft_size = power, color, radius
    _linked(name, light).location = place


def sky(color: Color, strength: float) -> None:
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    inputs = world.node_tree.nodes["Background"].inputs
    inputs["Color"].default_value, inputs["Strength"].default_value = (*color, 1), strength
    bpy.context.scene.world = world


def camera(name: str, place: Sequence[float], target: Sequence[float], lens_mm: float) -> Any:
    data = bpy.data.cameras.new(name)
    data.lens = lens_mm
    thing = _linked(name, data)
    _aim(thing, place, target)
    return thing


def _linked(name: str, data: Any) -> Any:
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _aim(thing: Any, place: Sequence[float], target: Sequence[float]) -> None:
    thing.location = place
    thing.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
