"""Owns the Blender code that both scenes and all their variants begin with; does nothing here.

Meshes are made of explicit vertices and faces, so that every Blender makes the same ones.
"""

KIT = '''\
import bpy
from math import cos, pi, radians, sin, tau
from mathutils import Vector


def solid(name, points, faces, material, place, turn=(0, 0, 0), smooth=True, parent=None):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points, [], faces)
    mesh.polygons.foreach_set("use_smooth", [smooth] * len(mesh.polygons))
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    thing.location, thing.rotation_euler, thing.parent = place, [radians(angle) for angle in turn], parent
    bpy.context.scene.collection.objects.link(thing)
    return thing


def block(name, size, material, place, turn=(0, 0, 0)):
    """A box; `place` is the middle of its bottom."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    points = [(i, j, k) for i in (-x, x) for j in (-y, y) for k in (0, z)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return solid(name, points, faces, material, place, turn, smooth=False)


def lathe(name, outline, material, place, turn=(0, 0, 0), smooth=True, parent=None, steps=64):
    """A solid of revolution about Z from (radius, height) pairs, closed at both ends."""
    points = [(r * cos(tau * s / steps), r * sin(tau * s / steps), z) for r, z in outline for s in range(steps)]
    faces = [(a + s, a + (s + 1) % steps, a + steps + (s + 1) % steps, a + steps + s)
             for a in range(0, steps * (len(outline) - 1), steps) for s in range(steps)]
    top = steps * (len(outline) - 1)
    faces += [tuple(reversed(range(steps))), tuple(range(top, top + steps))]
    return solid(name, points, faces, material, place, turn, smooth, parent)


def drum(name, radius, height, material, place, turn=(0, 0, 0), parent=None):
    return lathe(name, [(radius, 0), (radius, height)], material, place, turn, False, parent)


def ball(name, radius, material, place, rows=32):
    """`place` is its lowest point."""
    arc = [pi * (row + 0.5) / rows for row in range(rows)]
    return lathe(name, [(radius * sin(a), radius * (1 - cos(a))) for a in arc], material, place)


def ring(name, radius, thickness, material, place, turn=(0, 0, 0), steps=48, sides=16):
    points = [((radius + thickness * cos(tau * b / sides)) * cos(tau * a / steps),
               (radius + thickness * cos(tau * b / sides)) * sin(tau * a / steps), thickness * sin(tau * b / sides))
              for a in range(steps) for b in range(sides)]
    faces = [(a * sides + b, (a + 1) % steps * sides + b, (a + 1) % steps * sides + (b + 1) % sides,
              a * sides + (b + 1) % sides) for a in range(steps) for b in range(sides)]
    return solid(name, points, faces, material, place, turn)


def shader(name):
    return bpy.data.materials[name].node_tree.nodes["Principled BSDF"].inputs


def paint(name, color, roughness=0.5, metallic=0.0):
    """A principled material; `color` is linear."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    inputs = shader(name)
    inputs["Base Color"].default_value = (*color, 1)
    inputs["Roughness"].default_value, inputs["Metallic"].default_value = roughness, metallic
    return material


def checks(name, first, second, scale, roughness=0.5):
    """A material with squares of two colours, `scale` of them in a metre."""
    material = paint(name, first, roughness)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place, squares = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeTexChecker")
    squares.inputs["Color1"].default_value, squares.inputs["Color2"].default_value = (*first, 1), (*second, 1)
    squares.inputs["Scale"].default_value = scale
    links.new(place.outputs["Object"], squares.inputs["Vector"])
    links.new(squares.outputs["Color"], shader(name)["Base Color"])
    return material


def aim(thing, place, at):
    thing.location = place
    thing.rotation_euler = (Vector(at) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def light(name, kind, energy, place, at, **settings):
    data = bpy.data.lights.new(name, kind)
    data.energy = energy
    for setting, value in settings.items():
        setattr(data, setting, value)
    thing = bpy.data.objects.new(name, data)
    aim(thing, place, at)
    bpy.context.scene.collection.objects.link(thing)


def camera(place, at, lens):
    thing = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    thing.data.lens = lens
    aim(thing, place, at)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.scene.camera = thing


def sky(color, strength):
    world = bpy.context.scene.world or bpy.data.worlds.new("World")
    world.use_nodes = True
    bpy.context.scene.world = world
    inputs = world.node_tree.nodes["Background"].inputs
    inputs["Color"].default_value, inputs["Strength"].default_value = (*color, 1), strength


def stretch(name, x, y, z):
    """An object's own mesh, with its place left as it is."""
    for vertex in bpy.data.objects[name].data.vertices:
        vertex.co = (vertex.co.x * x, vertex.co.y * y, vertex.co.z * z)


def remove(*names):
    for name in names:
        bpy.data.objects.remove(bpy.data.objects[name])


'''
