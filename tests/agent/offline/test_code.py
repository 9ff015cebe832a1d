"""The code that the offline model writes: explicit meshes, closed, the same each time, and runnable anywhere."""

import ast
import itertools
import re
from collections import Counter

import pytest
from driving import Tools, begin, graph_of, play, png_of
from pictures import awkward, blocks, ring, table

from agent.models.offline import OfflineModel
from agent.models.offline.box import relief, solids
from agent.models.offline.reading import read_picture
from agent.models.offline.relief_code import relief_code
from agent.models.offline.reliefs import reliefs
from agent.models.offline.scaffold import scaffold_code
from agent.models.offline.shading import STUDIO

PICTURES = {"blocks": (blocks(), True), "ring": (ring(), True), "table": (table(), False),
            "dust": (awkward()["dust"][0], True)}  # fmt: skip


def reading_of(name):
    pixels, cutout = PICTURES[name]
    return read_picture(png_of(pixels), cutout, 12)


def solids_in(code):
    """What the solids in an edit come to, run without Blender: every call of a maker, with its result."""
    made, tree = [], ast.parse(code)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    makers = {name: vars(module)[name] for module in (solids, relief) for name in vars(module)}
    scope = {**makers, "lens": next((ast.literal_eval(n.value) for n in tree.body if _assigns(n, "lens")), None)}
    for call in calls:
        if call.func.id in ("ball", "prism", "lathe", "slab", "relief") and call.lineno > 1 and _is_outside(call, tree):
            made.append(eval(compile(ast.Expression(call), "call", "eval"), scope))
    return made


def _assigns(node, name):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name


def _is_outside(call, tree):
    inside = [f for f in tree.body if isinstance(f, ast.FunctionDef) and f.lineno <= call.lineno <= f.end_lineno]
    return not inside


def assert_closed(vertices, faces):
    """Every edge belongs to two faces that pass it in opposite directions, and no face stays on one spot."""
    edges = Counter()
    for face in faces:
        assert len(set(face)) == len(face) >= 3
        edges.update(itertools.pairwise((*face, face[0])))
    assert all(count == 1 for count in edges.values())
    assert all((b, a) in edges for a, b in edges)
    assert max(max(face) for face in faces) < len(vertices)


def volume(vertices, faces):
    """Positive when faces turn counter-clockwise seen from outside."""
    total = 0.0
    for face in faces:
        a = vertices[face[0]]
        for p, q in itertools.pairwise(face[1:]):
            b, c = vertices[p], vertices[q]
            total += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2])
            total += a[2] * (b[0] * c[1] - b[1] * c[0])
    return total / 6


@pytest.mark.parametrize("name", PICTURES)
def test_the_solids_of_scaffold_and_geometry_are_closed_and_face_outwards(name):
    reading = reading_of(name)
    for code in (scaffold_code(reading, STUDIO), relief_code(reading, reliefs(reading))):
        made = solids_in(code)
        assert made
        for vertices, faces, *_ in made:
            assert_closed(vertices, faces)
            assert volume(vertices, faces) > 0


@pytest.mark.parametrize("maker, arguments", [
    ("ball", (1, 0.5, 2)), ("prism", ([(0, 0), (1, 0), (1, 1), (0, 1)], 2)), ("lathe", ([(1, 0), (0.5, 1), (0.1, 2)],)),
])  # fmt: skip
def test_primitives_are_closed_and_face_outwards(maker, arguments):
    vertices, faces = vars(solids)[maker](*arguments)
    assert_closed(vertices, faces)
    assert volume(vertices, faces) > 0


def test_a_relief_is_seen_within_its_outline_and_as_deep_as_told():
    lens, rows = (0.0, -10.0, 1.0, 700.0, 32.0, 32.0, 0.0, 1.0), 9
    inside = [[9 if 1 <= i < 8 and 1 <= j < 8 else -9 for j in range(rows)] for i in range(rows)]
    sheet = [[50] * rows for _ in range(rows)]
    vertices, faces, smooth = relief.relief(lens, 0.0, (0, 0), 8, inside, sheet)
    assert_closed(vertices, faces)
    assert smooth < len(faces)
    depth = max(y for _, y, _ in vertices) - min(y for _, y, _ in vertices)
    assert depth == pytest.approx(10 * 2 * 5 / 700)
    columns = [32 + 700 * x / (y + 10) for x, y, _ in vertices]
    assert min(columns) == pytest.approx(4) and max(columns) == pytest.approx(60)


def test_what_stands_on_a_ground_does_not_reach_below_it():
    reading = reading_of("table")
    for vertices, _, _ in solids_in(relief_code(reading, reliefs(reading))):
        assert min(z for _, _, z in vertices) > 0


def test_solids_are_deep_not_flat():
    reading = reading_of("blocks")
    for vertices, _, _ in solids_in(relief_code(reading, reliefs(reading))):
        wide, deep, high = (max(v[i] for v in vertices) - min(v[i] for v in vertices) for i in range(3))
        assert deep > 0.4 * min(wide, high)


def edits(name):
    pixels, cutout = PICTURES[name]
    png, kind = png_of(pixels), "cutout" if cutout else "full"
    graph = graph_of(OfflineModel(), png, kind)
    known = {"environment": graph["environment"], "nodes": graph["nodes"]}
    for stage in ("initialisation", "geometry", "material"):
        calls, _ = play(OfflineModel(), begin(stage, "generator", png, kind, known), Tools(png))
        yield from (call.input["code"] for call in calls if call.name == "run_code")


@pytest.mark.parametrize("name", PICTURES)
def test_edits_use_no_operators_no_pictures_and_nothing_but_blender_and_math(name):
    for code in edits(name):
        assert not re.search(r"bpy\.ops|bmesh|images|open\(|numpy|random", code)
        nodes = ast.walk(ast.parse(code, feature_version=(3, 7)))
        imported = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert {getattr(n, "module", None) or n.names[0].name for n in imported} <= {"bpy", "math"}


def test_code_stays_small():
    assert all(len(code) < 1_000_000 for name in PICTURES for code in edits(name))
