"""Makes the example pictures from models of the project's own: run by `make examples`, inside Blender 4.2 or later.

Every model is built here from primitives and lathed outlines; nothing is loaded. The pictures are CC0.
"""

import math
import sys
from itertools import pairwise
from pathlib import Path

import bpy

# isort: split
import bmesh  # the wheel knows it only once bpy is there
from mathutils import Matrix, Vector

HERE = Path(__file__).resolve().parent
LONG_SIDE_PX = 512
SAMPLES = 128


# ── building blocks ───────────────────────────────────────────────────────────────────────────────────────────────────
def paint(name, color, roughness=0.5, metallic=0.0, coat=0.0, bump=0.0, bump_scale=30.0):
    """A principled material; `color` is what a paint chart would show (sRGB)."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in color]
    shader.inputs["Base Color"].default_value = (*linear, 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    shader.inputs["Coat Weight"].default_value = coat
    if bump:
        noise, node = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeBump")
        noise.inputs["Scale"].default_value = bump_scale
        node.inputs["Strength"].default_value = bump
        links.new(noise.outputs["Fac"], node.inputs["Height"])
        links.new(node.outputs["Normal"], shader.inputs["Normal"])
    return material


def stripes(name, colors, scale, roughness=0.5):
    """A wood-like material: bands between two colours along X."""
    material = paint(name, colors[0], roughness)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place, wave, ramp = (nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "TexWave", "ValToRGB"))
    wave.inputs["Scale"].default_value = scale
    wave.inputs["Distortion"].default_value = 5
    wave.inputs["Detail Scale"].default_value = 0.6
    for element, color in zip(ramp.color_ramp.elements, colors, strict=True):
        element.color = (*[channel**2.2 for channel in color], 1)
    links.new(place.outputs["Object"], wave.inputs["Vector"])
    links.new(wave.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def place(name, mesh, material, location=(0, 0, 0), turn=(0, 0, 0), scale=(1, 1, 1)):
    mesh.materials.append(material)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=math.radians(35))
    thing = bpy.data.objects.new(name, mesh)
    thing.location, thing.scale = location, scale
    thing.rotation_euler = [math.radians(angle) for angle in turn]
    bpy.context.scene.collection.objects.link(thing)
    return thing


def block(name, size, material, location, turn=(0, 0, 0), edge=0.03):
    """A box with rounded edges."""
    shape = bmesh.new()
    bmesh.ops.create_cube(shape, size=1, matrix=Matrix.Diagonal((*size, 1)))
    if edge:
        bmesh.ops.bevel(shape, geom=shape.edges, offset=edge, segments=4, profile=0.5, affect="EDGES")
    return place(name, _mesh(name, shape), material, location, turn)


def lathe(name, outline, material, location=(0, 0, 0), turn=(0, 0, 0), scale=(1, 1, 1), steps=96):
    """A solid of revolution about Z from (radius, height) pairs."""
    shape = bmesh.new()
    points = [shape.verts.new((radius, 0, height)) for radius, height in outline]
    edges = [shape.edges.new(pair) for pair in pairwise(points)]
    turn_all = {"cent": (0, 0, 0), "axis": (0, 0, 1), "angle": math.tau, "steps": steps, "use_merge": True}
    bmesh.ops.spin(shape, geom=points + edges, **turn_all)
    bmesh.ops.remove_doubles(shape, verts=shape.verts, dist=1e-5)
    bmesh.ops.recalc_face_normals(shape, faces=shape.faces)
    return place(name, _mesh(name, shape), material, location, turn, scale)


def drum(name, radius, height, material, location, turn=(0, 0, 0), edge=0.03):
    """A cylinder with rounded rims, its middle at `location`."""
    half = height / 2
    low = [(radius - edge * (1 - math.sin(a)), -half + edge * (1 - math.cos(a))) for a in _quarter()]
    high = [(r, -z) for r, z in reversed(low)]
    return lathe(name, [(0, -half), *low, *high, (0, half)], material, location, turn)


def ball(name, radius, material, location, scale=(1, 1, 1), turn=(0, 0, 0)):
    shape = bmesh.new()
    bmesh.ops.create_icosphere(shape, subdivisions=5, radius=radius)
    return place(name, _mesh(name, shape), material, location, turn, scale)


def tube(name, points, radius, material):
    """A round bar along a smooth curve through the points."""
    curve = bpy.data.curves.new(name, "CURVE")
    curve.dimensions, curve.bevel_depth, curve.bevel_resolution, curve.use_fill_caps = "3D", radius, 8, True
    spline = curve.splines.new("BEZIER")
    spline.bezier_points.add(len(points) - 1)
    for bezier, point in zip(spline.bezier_points, points, strict=True):
        bezier.co, bezier.handle_left_type, bezier.handle_right_type = point, "AUTO", "AUTO"
    curve.materials.append(material)
    thing = bpy.data.objects.new(name, curve)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _quarter(steps=6):
    return [math.pi / 2 * step / steps for step in range(steps + 1)]


def _mesh(name, shape):
    mesh = bpy.data.meshes.new(name)
    shape.to_mesh(mesh)
    shape.free()
    return mesh


# ── light, camera, picture ────────────────────────────────────────────────────────────────────────────────────────────
def lamp(name, location, target, size, power, color=(1, 1, 1)):
    light = bpy.data.lights.new(name, "AREA")
    light.size, light.energy, light.color = size, power, color
    thing = bpy.data.objects.new(name, light)
    thing.location = location
    thing.rotation_euler = _toward(location, target)
    bpy.context.scene.collection.objects.link(thing)


def sky(color, strength):
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (*color, 1)
    world.node_tree.nodes["Background"].inputs[1].default_value = strength
    bpy.context.scene.world = world


def camera(location, target, lens):
    thing = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    thing.data.lens = lens
    thing.location = location
    thing.rotation_euler = _toward(location, target)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.scene.camera = thing


def _toward(location, target):
    return (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()


def picture(name, width, height, cut_out):
    """Render; a cut-out keeps its alpha."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.seed = SAMPLES, True, 0
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = cut_out
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.compression = "PNG", "RGBA" if cut_out else "RGB", 100
    scene.render.filepath = str(HERE / f"{name}.png")
    bpy.ops.render.render(write_still=True)


# ── the three models ──────────────────────────────────────────────────────────────────────────────────────────────────
def train():
    """A wooden toy locomotive, cut out."""
    red, blue = paint("Red", (0.83, 0.16, 0.13), 0.35, coat=0.4), paint("Blue", (0.13, 0.33, 0.66), 0.4, coat=0.3)
    yellow, dark = paint("Yellow", (0.96, 0.74, 0.16), 0.4, coat=0.3), paint("Dark", (0.12, 0.12, 0.14), 0.5)
    wood = stripes("Wood", ((0.72, 0.50, 0.30), (0.60, 0.39, 0.21)), 3.0)
    brass = paint("Brass", (0.90, 0.68, 0.30), 0.22, metallic=1.0)
    block("Chassis", (3.5, 1.25, 0.26), wood, (0, 0, 0.62), edge=0.06)
    drum("Boiler", 0.58, 2.0, red, (0.55, 0, 1.32), turn=(0, 90, 0), edge=0.1)
    drum("Front", 0.44, 0.12, dark, (1.58, 0, 1.32), turn=(0, 90, 0), edge=0.04)
    for number, x in enumerate((0.05, 0.9)):
        drum(f"Band {number + 1}", 0.6, 0.09, brass, (x, 0, 1.32), turn=(0, 90, 0), edge=0.02)
    block("Cab", (1.05, 1.2, 1.65), blue, (-1.12, 0, 1.55), edge=0.07)
    block("Roof", (1.4, 1.5, 0.16), yellow, (-1.12, 0, 2.45), edge=0.07)
    for side in (-1, 1):
        block(f"Window {side}", (0.5, 0.04, 0.5), dark, (-1.12, 0.6 * side, 1.85), edge=0.015)
    lathe("Chimney", _chimney(), dark, (1.1, 0, 1.8))
    lathe("Dome", [(0.27, 0), (0.27, 0.16), *_cap(0.27, 0.16), (0, 0.43)], brass, (0.4, 0, 1.82))
    drum("Buffer beam", 0.12, 1.5, wood, (1.78, 0, 0.62), turn=(90, 0, 0), edge=0.04)
    for x, radius in ((-1.12, 0.58), (0.25, 0.42), (1.2, 0.42)):
        for side in (-1, 1):
            drum(f"Wheel {x} {side}", radius, 0.2, yellow, (x, 0.78 * side, radius), turn=(90, 0, 0), edge=0.06)
            drum(f"Hub {x} {side}", radius * 0.34, 0.28, red, (x, 0.8 * side, radius), turn=(90, 0, 0), edge=0.05)
    block("Rod", (1.5, 0.07, 0.12), dark, (0.75, -0.98, 0.42), edge=0.03)
    sky((0.9, 0.95, 1.0), 0.35)
    lamp("Key", (3.5, -5, 6.5), (0, 0, 1), 2.5, 900, (1, 0.96, 0.9))
    lamp("Fill", (-6, -4, 3), (0, 0, 1), 4, 220, (0.85, 0.92, 1))
    lamp("Rim", (-2, 6, 5), (0, 0, 1), 2, 420)
    camera((5.0, -7.4, 4.1), (0.08, 0, 1.22), 62)
    picture("toy_train", LONG_SIDE_PX, 416, cut_out=True)


def _chimney():
    return [(0.2, 0), (0.17, 0.45), (0.3, 0.78), (0.32, 0.84), (0.3, 0.88), (0.2, 0.88), (0.17, 0.7), (0, 0.68)]


def _cap(radius, base):
    return [(radius * math.cos(a), base + radius * math.sin(a)) for a in _quarter(10)[1:-1]]


def still_life():
    """Things on a table before a wall, lit from a window at the left."""
    wall = paint("Wall", (0.80, 0.78, 0.72), 0.9, bump=0.05)
    table = stripes("Table", ((0.60, 0.42, 0.28), (0.48, 0.32, 0.20)), 1.1, 0.4)
    block("Table", (14, 7, 0.3), table, (0, 0, -0.15), edge=0.02)
    block("Wall", (16, 0.2, 10), wall, (0, 3.0, 4), edge=0)
    teal, cream = paint("Teal", (0.10, 0.47, 0.50), 0.22, coat=0.6), paint("Cream", (0.93, 0.88, 0.76), 0.6)
    lathe("Vase", _vase(), teal, (-1.25, 0.75, 0))
    for number, (size, color, turn) in enumerate(_books()):
        cover = paint(f"Cover {number + 1}", color, 0.55)
        block(f"Book {number + 1}", size, cover, (1.15, 0.65, 0.17 + 0.34 * number), (0, 0, turn), edge=0.02)
        pages = (size[0] - 0.05, size[1] + 0.012, size[2] - 0.1)
        block(f"Pages {number + 1}", pages, cream, (1.15, 0.65, 0.17 + 0.34 * number), (0, 0, turn), edge=0.005)
    orange = paint("Orange", (0.95, 0.52, 0.10), 0.42, bump=0.12, bump_scale=60)
    ball("Orange 1", 0.46, orange, (-0.05, -0.55, 0.44), scale=(1, 1, 0.95))
    ball("Orange 2", 0.44, orange, (0.92, -0.95, 0.42), scale=(1, 1, 0.95), turn=(30, 20, 0))
    lathe("Pear", _pear(), paint("Pear", (0.72, 0.76, 0.25), 0.4, bump=0.03), (1.1, 0.6, 1.02), turn=(0, 4, 0))
    tube("Stem", [(1.165, 0.6, 2.0), (1.18, 0.6, 2.1), (1.25, 0.58, 2.2)], 0.028, paint("Bark", (0.3, 0.2, 0.12), 0.8))
    red = paint("Enamel", (0.74, 0.13, 0.14), 0.25, coat=0.5)
    lathe("Cup", _cup(), red, (-2.05, -0.75, 0))
    tube("Handle", [(-2.5, -0.85, 0.62), (-2.8, -0.93, 0.56), (-2.78, -0.93, 0.3), (-2.47, -0.85, 0.2)], 0.055, red)
    sky((0.75, 0.85, 1.0), 0.25)
    lamp("Window", (-6, -3.5, 5.5), (0, 0, 0.8), 2.2, 1100, (1, 0.94, 0.85))
    lamp("Room", (5, -6, 4), (0, 0, 1), 5, 160, (0.9, 0.95, 1))
    camera((0.2, -9.4, 3.4), (-0.3, 0.2, 1.08), 57)
    picture("still_life", LONG_SIDE_PX, 384, cut_out=False)


def _vase():
    wall = [(0.42, 0), (0.45, 0.03), (0.72, 0.5), (0.82, 0.95), (0.74, 1.4), (0.45, 1.85), (0.3, 2.15), (0.29, 2.4)]
    rim = [(0.42, 2.62), (0.45, 2.66), (0.42, 2.68), (0.36, 2.64), (0.23, 2.4), (0.23, 2.1)]
    return [(0, 0), *_smooth(wall), *_smooth(rim), (0, 2.0)]


def _pear():
    return _smooth(
        [(0, 0), (0.25, 0.01), (0.44, 0.16), (0.48, 0.36), (0.4, 0.6), (0.25, 0.82), (0.17, 0.96), (0, 1.02)]
    )


def _cup():
    outer = [(0.34, 0), (0.37, 0.03), (0.45, 0.35), (0.5, 0.8), (0.49, 0.83), (0.46, 0.8), (0.41, 0.35), (0.3, 0.08)]
    return [(0, 0), *_smooth(outer), (0, 0.07)]


def _books():
    return (
        ((2.1, 1.45, 0.34), (0.19, 0.27, 0.45), 8),
        ((1.9, 1.35, 0.34), (0.78, 0.62, 0.25), -5),
        ((1.65, 1.2, 0.34), (0.52, 0.20, 0.24), 14),
    )


def _smooth(points, steps=6):
    """Catmull–Rom through the points."""
    vectors = [Vector(point) for point in (points[0], *points, points[-1])]
    curve = []
    for a, b, c, d in zip(vectors, vectors[1:], vectors[2:], vectors[3:], strict=False):
        for step in range(steps):
            t = step / steps
            spot = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
            curve.append((max(0.0, spot.x / 2), spot.y / 2))
    return [*curve, tuple(vectors[-1])]


def desk_lamp():
    """A shining lamp on a round base at dusk: its own light tells the shape of the room."""
    floor, wall = paint("Desk", (0.42, 0.46, 0.50), 0.55), paint("Wall", (0.36, 0.46, 0.52), 0.9, bump=0.04)
    block("Desk", (14, 7, 0.3), floor, (0, 0, -0.15), edge=0.02)
    block("Wall", (16, 0.2, 10), wall, (0, 2.2, 4), edge=0)
    brass, shade = paint("Brass", (0.88, 0.66, 0.34), 0.25, metallic=1.0), paint("Shade", (0.95, 0.83, 0.62), 0.8)
    shade.node_tree.nodes["Principled BSDF"].inputs["Emission Color"].default_value = (1.0, 0.62, 0.28, 1)
    shade.node_tree.nodes["Principled BSDF"].inputs["Emission Strength"].default_value = 0.55
    drum("Base", 0.75, 0.16, brass, (0.5, 0.4, 0.08), edge=0.06)
    drum("Pole", 0.07, 2.3, brass, (0.5, 0.4, 1.25), edge=0.01)
    ball("Knob", 0.14, brass, (0.5, 0.4, 2.0), scale=(1, 1, 0.8))
    lathe("Shade", [(1.05, 0), (0.62, 1.1), (0.6, 1.1), (1.03, 0)], shade, (0.5, 0.4, 2.15))
    bulb = bpy.data.lights.new("Bulb", "POINT")
    bulb.energy, bulb.color, bulb.shadow_soft_size = 360, (1.0, 0.72, 0.42), 0.15
    thing = bpy.data.objects.new("Bulb", bulb)
    thing.location = (0.5, 0.4, 2.5)
    bpy.context.scene.collection.objects.link(thing)
    green, clay = paint("Leaf", (0.25, 0.50, 0.24), 0.5), paint("Clay", (0.76, 0.42, 0.28), 0.85)
    lathe("Pot", _pot(), clay, (-1.45, 0.1, 0))
    for number in range(13):
        _leaf(number, green, (-1.45, 0.1, 0.66))
    block("Notebook", (1.25, 0.9, 0.14), paint("Notebook", (0.62, 0.15, 0.2), 0.6), (1.75, -0.75, 0.07), (0, 0, 24))
    drum("Pencil", 0.045, 1.1, paint("Pencil", (0.95, 0.76, 0.2), 0.4), (1.75, -0.75, 0.19), (90, 0, 60), edge=0.01)
    sky((0.35, 0.5, 0.8), 0.22)
    lamp("Dusk", (-5, -5, 5), (0, 0, 1), 3, 140, (0.65, 0.8, 1))
    camera((0.25, -8.6, 2.9), (0.2, 0.2, 1.5), 55)
    picture("desk_lamp", 448, LONG_SIDE_PX, cut_out=False)


def _pot():
    return [(0, 0), (0.36, 0), (0.5, 0.62), (0.56, 0.62), (0.56, 0.8), (0.46, 0.8), (0.44, 0.66), (0, 0.62)]


def _leaf(number, material, root):
    """One long leaf of a pot plant: a flat pointed ball that leans outward."""
    around, lean = number * 137.5, 8 + 3.4 * number
    length = 0.95 - 0.03 * number
    leaf = ball(f"Leaf {number + 1}", 1, material, root)
    tilt = Matrix.Rotation(math.radians(around), 4, "Z") @ Matrix.Rotation(math.radians(lean), 4, "X")
    shape = Matrix.Translation((0, 0, length / 2)) @ Matrix.Diagonal((0.11, 0.025, length / 2, 1))
    leaf.matrix_world = Matrix.Translation(root) @ tilt @ shape


MODELS = {"toy_train": train, "still_life": still_life, "desk_lamp": desk_lamp}

if __name__ == "__main__":
    for name in [name for name in MODELS if name in sys.argv] or MODELS:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        MODELS[name]()
