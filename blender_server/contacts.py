"""Owns what touches what: bodies that reach into each other, and bodies that stand on nothing. Metres.

{
  "interpenetrating": [{"objects": [a, b], "share": of the smaller one's volume that is in both (of a body that a larger
     surface cuts: the smaller part of it; of a smaller surface: how much of it is in the body), "depth_m": how far one
     reaches into the other along the shortest way, at most as far as the smaller one extends that way,
     "along": "x" | "y" | "z" (bodies only)}],
  "floating": [{"objects": [names that hang together], "gap_below_m", "above": name}] (both where something is below;
     without what holds most of the scene and hangs high over the rest: it stands on what the picture does not show),
  "checked": how many objects, "not_checked": [names: too many faces, or one object too many],
  "within_groups": overlapping pairs that are not listed: parts of one group are expected to overlap
}

Looks at what a render shows, with modifiers. A mesh with open edges has no volume and counts as a surface.
"""

from itertools import combinations, product
from operator import itemgetter

import bmesh
import bpy
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from blender_server import boxes

TYPES = {"MESH", "CURVE", "SURFACE", "FONT"}
MOST_OBJECTS = 300
MOST_FACES = 200000
"""Of one object."""
MOST_FACES_IN_ALL = 1000000
MOST_PAIRS = 400
"""Pairs of which the shared volume is measured."""
POINTS = 200
GRID = 8
"""Points along each side of a box of which a volume is sampled."""
LEAST_SHARE = 0.02
TOUCHING = 0.01
"""A gap that counts as contact, as a part of the smaller one's diagonal."""
ODD = Vector((0.5613, 0.2174, 0.7985))
"""A direction that no model's faces follow."""
DOWN = Vector((0, 0, -1))
FACING = 0.9
"""Cosine of the angle to a face's normal below which a point lies beside a surface, not above or below it."""
HANGS_HIGH = 0.5
"""A gap over which most of a scene can't be meant to stand, as a part of its own height."""


def contacts():
    bodies, left_out = _bodies()
    touching, crossing = _pairs(bodies)
    found = [entry for first, second in crossing[:MOST_PAIRS] for entry in [_shared(first, second)] if entry]
    listed = [entry for entry, in_group in found if not in_group]
    return {
        "interpenetrating": sorted(listed, key=lambda entry: (-entry["share"], entry["objects"])),
        "floating": _floating(bodies, touching),
        "checked": len(bodies),
        "not_checked": left_out,
        "within_groups": len(found) - len(listed),
    }


class Body:
    def __init__(self, thing, mesh):
        self.thing, self.name = thing, thing.name
        self.tree = BVHTree.FromBMesh(mesh)
        points = [vertex.co.copy() for vertex in mesh.verts]
        self.box = boxes.around(points)
        self.points = [pick(points, key=itemgetter(axis)) for axis in range(3) for pick in (min, max)]
        self.points += points[:: 1 + len(points) // POINTS]
        self.closed = bool(mesh.edges) and all(len(edge.link_faces) == 2 for edge in mesh.edges)
        self.volume = abs(mesh.calc_volume()) if self.closed else 0.0
        self.diagonal = (self.box[1] - self.box[0]).length

    def holds(self, point):
        """Whether a point lies inside: a ray leaves it through an odd number of faces."""
        if not self.closed or any(not low <= value <= high for value, low, high in zip(point, *self.box)):
            return False
        hits, start = 0, point
        while hits < 64:
            place = self.tree.ray_cast(start, ODD)[0]
            if place is None:
                break
            hits, start = hits + 1, place + ODD * (1e-5 * max(self.diagonal, 1e-3))
        return hits % 2 == 1


# ── the bodies ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _bodies():
    """What is rendered and has faces, the largest first; names of what is left out."""
    things = [thing for thing in bpy.context.scene.objects if thing.type in TYPES and not thing.hide_render]
    sizes = {thing: (box[1] - box[0]).length for thing in things for box in [boxes.of(thing)] if box}
    bodies, left_out, faces = [], [], 0
    for thing in sorted(sizes, key=lambda thing: (-sizes[thing], thing.name)):
        mesh = _mesh(thing)
        count = len(mesh.faces)
        fits = count <= MOST_FACES and faces + count <= MOST_FACES_IN_ALL and len(bodies) < MOST_OBJECTS
        if count and fits:
            bodies.append(Body(thing, mesh))
            faces += count
        elif count:
            left_out.append(thing.name)
        mesh.free()
    return bodies, left_out


def _mesh(thing):
    """Evaluated, in the world. To be freed."""
    evaluated, found = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()), bmesh.new()
    try:
        found.from_mesh(evaluated.to_mesh())
    except RuntimeError:  # it has no geometry
        return found
    found.transform(evaluated.matrix_world)
    evaluated.to_mesh_clear()
    if thing.type == "CURVE":
        bmesh.ops.holes_fill(found, edges=found.edges, sides=0)  # a wire's ends are open, yet it is a body
    return found


def _pairs(bodies):
    """(pairs that touch, those of them whose surfaces or insides meet)."""
    touching, crossing = [], []
    for first, second in combinations(bodies, 2):
        reach = max(1e-5, TOUCHING * min(first.diagonal, second.diagonal))
        if _apart(first.box, second.box) > reach:
            continue
        if first.tree.overlap(second.tree) or first.holds(second.points[0]) or second.holds(first.points[0]):
            crossing.append((first, second))
            touching.append((first, second))
        elif _near(first, second, reach) or _near(second, first, reach):
            touching.append((first, second))
    return touching, crossing


def _apart(first, second):
    """The longest gap between two boxes along an axis; 0 or less where they meet."""
    return max(max(first[0][axis], second[0][axis]) - min(first[1][axis], second[1][axis]) for axis in range(3))


def _near(first, second, reach):
    return any(second.tree.find_nearest(point, reach)[0] is not None for point in first.points)


# ── reaching into each other ──────────────────────────────────────────────────────────────────────────────────────────
def _shared(first, second):
    """(entry, whether both are of one group), or None where they only touch."""
    if first.closed and second.closed:
        found = _shared_volume(first, second)
    elif first.closed or second.closed:
        body, surface = (first, second) if first.closed else (second, first)
        found = (_cut_off if surface.diagonal > body.diagonal else _stuck_in)(body, surface)
    else:
        found = None
    if found is None:
        return None
    return {"objects": [first.name, second.name], **found}, _of_one_group(first.thing, second.thing)


def _shared_volume(first, second):
    low = Vector(map(max, first.box[0], second.box[0]))
    high = Vector(map(min, first.box[1], second.box[1]))
    inside = [point for point in _grid(low, high) if first.holds(point) and second.holds(point)]
    smaller, side = min(first.volume, second.volume), high - low
    if not inside or smaller <= 0:
        return None
    share = side.x * side.y * side.z * len(inside) / GRID**3 / smaller
    around, cell = boxes.around(inside), side / GRID
    depths = around[1] - around[0] + cell
    axis = min(range(3), key=lambda axis: depths[axis])
    if share < LEAST_SHARE or depths[axis] < TOUCHING * min(first.diagonal, second.diagonal):
        return None
    return {"share": round(min(share, 1.0), 3), "depth_m": _short(depths[axis]), "along": "xyz"[axis]}


def _cut_off(body, surface):
    """The smaller part of a body that a larger surface goes through."""
    inside = [point for point in _grid(*body.box) if body.holds(point)]
    heights = [height for point in inside for height in [_height(point, surface)] if height is not None]
    part = min(([abs(one) for one in heights if (one < 0) == below] for below in (True, False)), key=len)
    return _reaching(body, surface, part, len(inside))


def _height(point, surface):
    """Above a surface, or below it as a negative number; None where it lies beside it."""
    place, normal, _, distance = surface.tree.find_nearest(point)
    along = (point - place).dot(normal)
    return along if abs(along) >= FACING * distance else None


def _stuck_in(body, surface):
    """The part of a smaller surface that is in a body."""
    inside = [point for point in surface.points if body.holds(point)]
    return _reaching(surface, body, [body.tree.find_nearest(point)[3] for point in inside], len(surface.points))


def _reaching(smaller, larger, depths, count):
    """The entry of `count` points of which those at `depths` are in the other; None where they only touch."""
    if len(depths) <= LEAST_SHARE * count:
        return None
    depth = min(max(depths), _way_out(smaller, larger))
    if depth < TOUCHING * smaller.diagonal:
        return None
    return {"share": round(len(depths) / count, 3), "depth_m": _short(depth)}


def _way_out(smaller, larger):
    """How far the smaller one has to go until the boxes part, at most as far as it extends."""
    ways = []
    for axis in range(3):
        (low, high), extent = (box[axis] for box in smaller.box), smaller.box[1][axis] - smaller.box[0][axis]
        ways += [high - larger.box[0][axis], larger.box[1][axis] - low]
        ways += [extent] if extent > TOUCHING * smaller.diagonal else []  # a sheet is as thick as nothing
    return max(0.0, min(ways))


def _grid(low, high):
    """Middles of the cells of a box."""
    side = high - low
    for steps in product(range(GRID), repeat=3):
        yield low + Vector(side[axis] * (steps[axis] + 0.5) / GRID for axis in range(3))


def _of_one_group(first, second):
    if first.parent is not None and first.parent is second.parent:
        return True
    return first in _above(second) or second in _above(first)


def _above(thing):
    found = []
    while thing.parent is not None:
        thing = thing.parent
        found.append(thing)
    return found


# ── standing on nothing ───────────────────────────────────────────────────────────────────────────────────────────────
def _floating(bodies, touching):
    """Clusters of touching bodies other than the one that reaches down farthest, and than most of the scene high up."""
    clusters = _clusters(bodies, touching)
    bottoms = [min(body.box[0].z for body in cluster) for cluster in clusters]
    found = []
    for cluster, bottom in zip(clusters, bottoms):
        if bottom > min(bottoms):
            gap = _gap_below(cluster, [one for one in bodies if one not in cluster])
            height = max(body.box[1].z for body in cluster) - bottom
            hangs_high = not gap or gap["gap_below_m"] > HANGS_HIGH * height
            if not (hangs_high and len(cluster) > len(bodies) / 2):
                found.append({"objects": sorted(body.name for body in cluster), **gap})
    return sorted(found, key=lambda entry: entry["objects"])


def _clusters(bodies, touching):
    cluster_of = {body: [body] for body in bodies}
    for first, second in touching:
        one, other = cluster_of[first], cluster_of[second]
        if one is not other:
            one += other
            cluster_of.update((body, one) for body in other)
    return list({id(cluster): cluster for cluster in cluster_of.values()}.values())


def _gap_below(cluster, others):
    hits = []
    for body in cluster:
        for other in others:
            beside = any(
                body.box[1][axis] < other.box[0][axis] or body.box[0][axis] > other.box[1][axis] for axis in (0, 1)
            )
            if not beside and other.box[0].z <= body.box[1].z:
                distances = (other.tree.ray_cast(point, DOWN)[3] for point in body.points)
                hits += [(distance, other.name) for distance in distances if distance is not None]
    return {"gap_below_m": _short(min(hits)[0]), "above": min(hits)[1]} if hits else {}


def _short(value):
    return float("{:.3g}".format(value))
