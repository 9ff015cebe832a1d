"""A workbench on a real Blender whose reference is a render of a known scene, so that the right answer is known."""

import contextlib
import json

from agent.config import load_config
from agent.console import Console
from agent.picture import read_reference
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal
from agent.runs.room import Room
from agent.runs.run import Run
from agent.scene_graph import SceneGraph, SceneNode
from agent.stages.table import INITIALISATION
from agent.tools.workbench import Workbench
from protocol.models import RenderRequest
from sandbox.snapshots import Edit
from sandbox.transaction import FACTORS

SETTINGS = {"target_px": 192, "look_px": 128, "look_samples": 8, "fit_px": 96, "fit_samples": 4}

KIT = """
import bpy
import math

scene = bpy.context.scene

def paint(name, color, roughness=0.6):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    surface = made.node_tree.nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value = (*color, 1)
    surface.inputs["Roughness"].default_value = roughness
    return made

def part(name, add, color, **where):
    add(**where)
    made = bpy.context.object
    made.name = made.data.name = name
    made.data.materials.append(paint(name, color))
    return made

def lamp(name, kind, location, rotation, energy, color=(1, 1, 1)):
    made = bpy.data.objects.new(name, bpy.data.lights.new(name, kind))
    made.location, made.rotation_euler = location, rotation
    made.data.energy, made.data.color = energy, color
    if kind == "AREA":
        made.data.size = 2
    scene.collection.objects.link(made)
    return made

box, ball, cone = (bpy.ops.mesh.primitive_cube_add, bpy.ops.mesh.primitive_uv_sphere_add,
                   bpy.ops.mesh.primitive_cone_add)
"""

THINGS = (
    KIT
    + """
part("Body", box, (0.55, 0.12, 0.08), location=(0, 0, 0.5), size=1)
part("Head", ball, (0.1, 0.3, 0.6), location=(0.25, -0.2, 1.3), radius=0.35)
part("Cone", cone, (0.2, 0.5, 0.15), location=(1.1, 0.3, 0.4), radius1=0.4, depth=0.8)
lamp("Key", "AREA", (3, -4, 5), (math.radians(40), 0, math.radians(35)), 350, (1, 0.9, 0.75))
lamp("Fill", "AREA", (-4, -3, 3), (math.radians(55), 0, math.radians(-55)), 120, (0.7, 0.8, 1))
scene.world = bpy.data.worlds.new("World")
scene.world.use_nodes = True
scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.5, 0.55, 0.6, 1)
scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.4
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.location, camera.rotation_euler = (3.2, -6, 3), (math.radians(70), 0, math.radians(26))
camera.data.lens = 50
scene.collection.objects.link(camera)
scene.camera = camera
"""
)
"""Three things before nothing: a cut-out."""

ROOM = (
    THINGS
    + """
part("Ground", bpy.ops.mesh.primitive_plane_add, (0.35, 0.33, 0.3), size=14)
part("Wall", bpy.ops.mesh.primitive_plane_add, (0.5, 0.42, 0.3), size=14, location=(0, 4, 0), rotation=(1.5708, 0, 0))
"""
)
"""The same on a ground before a wall: a full picture."""


GRAPH = SceneGraph(environment="", nodes=(SceneNode(name="Body", kind="part", description="a box"),))


def told(outcome):
    return json.loads(outcome.content[0].text)


@contextlib.contextmanager
def bench_on(pool, folder, scene, changes="", stage=INITIALISATION, cutout=True, **settings):
    """A bench in that stage whose head is `scene` after `changes`, and whose reference is `scene` without them."""
    config = load_config({**SETTINGS, **settings})
    folder = RunFolder(folder)
    folder.path.mkdir(parents=True)
    with pool.session() as session:
        right = edited(session, scene, 1)
        request = RenderRequest(width_px=192, height_px=144, samples=32, transparent=cutout)
        picture = folder.path / "picture.png"
        picture.write_bytes(session.call(request, 60)[1][0])
        start = edited(session, changes, 2) if changes else right
    journal = Journal(folder.path)
    ledger, console = Ledger(folder.ledger, config.budget), Console()
    run = Run(
        config=config,
        reference=read_reference(picture, config.target_px),
        folder=folder,
        journal=journal,
        ledger=ledger,
        console=console,
        room=Room(folder.path, config.disk, console, ledger.leave_out),
        model=None,
        blender=pool.blender,
        store=pool.store,
        pool=pool,
    )
    assert run.reference.kind == ("cutout" if cutout else "full")
    with Workbench(run, GRAPH, start) as bench:
        bench.begin(stage)
        yield bench
    journal.close()


def edited(session, source, index):
    edit = Edit(index=index, label="scene", stage="initialisation", round=1, source=source, seed=index)
    outcome = session.edit(edit, frozenset(FACTORS) - {"host"})
    assert outcome.snapshot is not None, outcome.message
    return outcome.snapshot
