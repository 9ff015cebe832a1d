"""With real Blenders: a program that rebuilds is proved, one that does not is mended or named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import lacking

from agent.errors import InputUnreadable, UsageError
from agent.rebuild import mesh_data
from agent.rebuild.equivalence import Dump
from agent.rebuild.mesh_data import mesh_edit
from agent.rebuild.program import program_text
from agent.rebuild.proof import Proved, prove, verify
from protocol.errors import SetupFailed
from protocol.models import DumpReply, DumpRequest
from sandbox.discovery import Blender, find_blender
from sandbox.limits import Limits
from sandbox.pool import Pool
from sandbox.snapshots import Edit, Snapshot, SnapshotStore
from sandbox.transaction import FACTORS

pytestmark = [pytest.mark.blender, pytest.mark.timeout(180)]

EXPLICIT = """\
import bpy
mesh = bpy.data.meshes.new("Roof")
mesh.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0), (0, 0, 1.5)], [],
                 [(0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)])
thing = bpy.data.objects.new("Roof", mesh)
bpy.context.scene.collection.objects.link(thing)
material = bpy.data.materials.new("Tiles")
material.use_nodes = True
mesh.materials.append(material)
sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
sun.rotation_euler = (0.5, 0.1, 0)
bpy.context.scene.collection.objects.link(sun)
"""

OPERATORS = """\
import bpy
import bmesh
bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24)
ball = bpy.context.object
ball.name = "Ball"
bpy.ops.mesh.primitive_cube_add(location=(2, 0, 0))
block = bpy.context.object
block.name = "Block"
shape = bmesh.new()
shape.from_mesh(block.data)
bmesh.ops.bevel(shape, geom=shape.edges[:], offset=0.1, segments=3, affect="EDGES")
shape.to_mesh(block.data)
shape.free()
"""

APPLIED = """\
import bpy
ball = bpy.data.objects["Ball"]
bpy.context.view_layer.objects.active = ball
ball.modifiers.new("Smooth", "SUBSURF")
bpy.ops.object.modifier_apply(modifier="Smooth")
ball.modifiers.new("Fewer", "DECIMATE").ratio = 0.2
bpy.ops.object.modifier_apply(modifier="Fewer")
for color in ("Red", "Blue"):
    ball.data.materials.append(bpy.data.materials.new(color))
for face in ball.data.polygons:
    face.material_index, face.use_smooth = face.index % 2, face.index % 3 == 0
"""

RICH = """\
import bpy
import random
mesh = bpy.data.meshes.new("Rich")
mesh.from_pydata([(random.random(), random.random(), i / 7) for i in range(9)], [(7, 8)],
                 [(0, 1, 2), (2, 1, 3, 4), (4, 3, 5, 6, 7)])
thing = bpy.data.objects.new("Rich", mesh)
bpy.context.scene.collection.objects.link(thing)
for name in ("One", "Two"):
    mesh.materials.append(bpy.data.materials.new(name))
    layer = mesh.uv_layers.new(name=name)
    for corner in layer.data:
        corner.uv = (random.random(), random.random())
layer.active_render = True
mesh.polygons[1].material_index = 1
mesh.polygons[2].use_smooth = True
mesh.edges[2].use_edge_sharp = mesh.edges[4].use_seam = True
for name in ("Upper", "Lower"):
    thing.vertex_groups.new(name=name).add([1, 4, 5], random.random(), "REPLACE")
kinds = [("heat", "FLOAT", "POINT", "value"), ("count", "INT", "FACE", "value"),
         ("wind", "FLOAT_VECTOR", "CORNER", "vector")]
for name, kind, domain, field in kinds:
    data = mesh.attributes.new(name, kind, domain).data
    for item in data:
        setattr(item, field, (random.random(),) * 3 if field == "vector" else 5 if kind == "INT" else random.random())
if hasattr(mesh, "color_attributes"):
    for name, kind, domain in (("Paint", "BYTE_COLOR", "CORNER"), ("Tint", "FLOAT_COLOR", "POINT")):
        for item in mesh.color_attributes.new(name, kind, domain).data:
            item.color = (random.random(), random.random(), random.random(), 1)
"""

SPOILED = """\
import bpy
import bmesh
mesh = bpy.data.meshes["Rich"]
shape = bmesh.new()
shape.from_mesh(mesh)
bmesh.ops.subdivide_edges(shape, edges=shape.edges[:], cuts=1)
shape.to_mesh(mesh)
shape.free()
"""


@pytest.fixture(scope="module", params=["wheel", "binary"])
def blender(request: pytest.FixtureRequest) -> Blender:
    try:
        return find_blender("wheel" if request.param == "wheel" else "/usr/bin/blender")
    except SetupFailed as error:
        lacking(str(error))


@pytest.fixture(scope="module")
def pool(blender: Blender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("proof")
    with Pool(blender, Limits(), SnapshotStore(folder / "snapshots"), folder / "logs") as pool:
        yield pool


def edit(source: str, index: int = 1) -> Edit:
    return Edit(index=index, label=f"step {index}", stage="geometry", round=1, source=source, seed=index)


def made(pool: Pool, *sources: str) -> Snapshot:
    """The scene that these edits lead to, one transaction each."""
    with pool.session() as session:
        for index, source in enumerate(sources, start=1):
            outcome = session.edit(edit(source, index), frozenset(FACTORS))
            assert outcome.kind == "committed", outcome.message
        return session.head


def proved(pool: Pool, *sources: str) -> tuple[Snapshot, Proved]:
    head = made(pool, *sources)
    return head, prove(pool, pool.store, head, title="A test")


@pytest.fixture(scope="module")
def roof(pool: Pool) -> tuple[Snapshot, Proved]:
    """A scene of explicit meshes, proved."""
    return proved(pool, EXPLICIT, "import bpy\nbpy.data.objects['Roof'].location.z = 0.25\n")


def test_a_program_of_explicit_meshes_rebuilds_identically(pool: Pool, roof: tuple[Snapshot, Proved]) -> None:
    _, result = roof
    assert (result.proof.outcome, result.proof.names, result.proof.largest_deviation) == ("identical", (), 0.0)
    assert result.proof.blender == pool.blender.version
    assert EXPLICIT in result.program and "as data" not in result.program


def test_primitives_and_operators_rebuild_at_least_equivalently(pool: Pool) -> None:
    _, result = proved(pool, OPERATORS)
    assert result.proof.outcome in ("identical", "equivalent")
    assert result.proof.largest_deviation < 1e-5
    assert set(result.proof.names) <= {"mesh:Sphere", "mesh:Cube"}
    assert "as data" not in result.program, "the operators stay editable"


def test_what_does_not_rebuild_is_written_as_data_and_then_does(pool: Pool, tmp_path: Path) -> None:
    head, result = proved(pool, OPERATORS, APPLIED)
    assert result.proof.outcome in ("identical", "equivalent")
    assert "mesh:Sphere" not in result.proof.names, "its elements are those that were delivered"
    assert "MESHES['Sphere'] = {" in result.program
    again = verify(pool, pool.store.path(head.id), result.program)
    assert again.outcome in ("identical", "equivalent")
    saved = run_alone(pool.blender, result.program, tmp_path)
    assert verify(pool, saved, result.program).outcome in ("identical", "equivalent")


def run_alone(blender: Blender, program: str, folder: Path) -> Path:
    """As a user would, in a folder of its own, without our code or environment."""
    (folder / "scene.py").write_text(program, encoding="utf-8")
    binary = [str(blender.executable), "-b", "--factory-startup", "-P", "scene.py", "--"]
    command = [str(blender.executable), "-I", "scene.py"] if blender.kind == "wheel" else binary
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        [*command, "--save", "out.blend"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out.blend"


def test_a_scene_made_outside_the_box_and_its_program_agree(
    pool: Pool, roof: tuple[Snapshot, Proved], tmp_path: Path
) -> None:
    _, result = roof
    saved = run_alone(pool.blender, result.program, tmp_path)
    assert verify(pool, saved, result.program).outcome == "identical"


def test_a_tampered_program_is_different_and_what_differs_is_named(pool: Pool, roof: tuple[Snapshot, Proved]) -> None:
    head, result = roof
    scene = pool.store.path(head.id)
    changed = result.program.replace("(0, 0, 1.5)", "(0, 0, 1.6)").replace("(0.5, 0.1, 0)", "(0.5, 0.2, 0)")
    proof = verify(pool, scene, changed)
    assert (proof.outcome, proof.names) == ("different", ("mesh:Roof", "object:Sun"))
    renamed = verify(pool, scene, result.program.replace('("Tiles")', '("Bricks")'))
    assert renamed.outcome == "different" and {"material:Bricks", "material:Tiles"} <= set(renamed.names)


def test_a_program_that_fails_is_different_and_the_reason_is_told(pool: Pool, roof: tuple[Snapshot, Proved]) -> None:
    head, result = roof
    proof = verify(pool, pool.store.path(head.id), result.program.replace("mesh.from_pydata(", "mesh.from_nowhere("))
    assert proof.outcome == "different"
    assert "edit 1" in proof.names[0] and "from_nowhere" in proof.names[0]


def test_a_program_of_another_blender_is_not_judged(pool: Pool, roof: tuple[Snapshot, Proved]) -> None:
    head, result = roof
    with pytest.raises(UsageError, match=r"made with Blender 2\.79"):
        verify(pool, pool.store.path(head.id), result.program.replace(f"'{pool.blender.version}'", "'2.79.0'"))


def test_a_scene_that_cannot_be_opened_is_refused(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "scene.blend").write_text("no scene")
    for name in ("scene.blend", "missing.blend"):
        with pytest.raises(InputUnreadable, match=name):
            verify(pool, tmp_path / name, "")


@pytest.mark.parametrize("many_corners", [100_000, 0], ids=["legible", "packed"])
def test_a_mesh_written_as_data_has_everything_that_it_had(
    pool: Pool, many_corners: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_data, "MANY_CORNERS", many_corners)
    head = made(pool, RICH)
    worker = pool.boot()
    try:
        worker.restore(pool.store.path(head.id))
        reply, payloads = worker.call(DumpRequest())
    finally:
        pool.retire(worker)
    assert isinstance(reply, DumpReply)
    arrays = Dump.of(reply, payloads).meshes["mesh:Rich"]
    edits = [edit(RICH, 1), edit(SPOILED, 2), mesh_edit({"Rich": arrays}, 3)]
    program = program_text(edits, title="A test", blender=pool.blender.version)
    assert ('packed("f"' in program) == (many_corners == 0)
    proof = verify(pool, pool.store.path(head.id), program)
    assert (proof.outcome, proof.names) == ("identical", ())
