"""Owns the object-id picture: every object in a flat colour of its own that comes out of the render bit by bit."""

import bpy

from blender_server import boxes


def use(temporary, scene):
    """Until `temporary` ends, object i of the returned names renders as R + 256 G + 65536 B = i + 1, nothing as 0."""
    things = sorted((thing for thing in scene.objects if thing.type in boxes.SOLID), key=lambda thing: thing.name)
    for number, thing in enumerate(things, start=1):
        temporary.set(thing, color=(*(((number >> shift) & 255) / 255 for shift in (0, 8, 16)), 1.0))
    for thing in scene.objects:
        if thing.type in ("LIGHT", "LIGHT_PROBE"):
            temporary.set(thing, hide_render=True)  # an area light can be seen itself
    temporary.set(bpy.context.view_layer, material_override=_material(temporary))
    temporary.set(scene, world=None)
    _set_exact_colours(temporary, scene)
    return [thing.name for thing in things]


def _material(temporary):
    material = temporary.made(bpy.data.materials, bpy.data.materials.new("object id"))
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    info, emission = nodes.new("ShaderNodeObjectInfo"), nodes.new("ShaderNodeEmission")
    links.new(info.outputs["Color"], emission.inputs["Color"])
    links.new(emission.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    return material


def _set_exact_colours(temporary, scene):
    """One ray through each pixel's middle, and nothing between its value and the file."""
    temporary.set(scene.render, film_transparent=True)
    temporary.set(scene.view_settings, view_transform="Raw", look="None", exposure=0.0, gamma=1.0)
    temporary.set(scene.view_settings, use_curve_mapping=False)
    temporary.set_where_known(scene.view_settings, use_white_balance=False)
    cycles = scene.cycles
    temporary.set(cycles, samples=1, use_denoising=False, film_exposure=1.0)
    temporary.set(cycles, pixel_filter_type="BOX", filter_width=0.01, sample_clamp_direct=0.0)
    temporary.set(scene.camera.data.dof, use_dof=False)
