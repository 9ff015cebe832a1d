"""A model that follows a script: for each stage and role, the tool calls of one round, in order.

What no script says: verifiers approve, selectors choose A, generators finish.
"""

from agent.models.base import ModelReply, Text, ToolCall, Usage

CUBE = """
import bpy

def box(name, size, place, color):
    x, y, z = (side / 2 for side in size)
    corners = [(i, j, k) for i in (-x, x) for j in (-y, y) for k in (-z, z)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces)
    thing = bpy.data.objects.new(name, mesh)
    thing.location = place
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*color, 1)
    mesh.materials.append(material)
    bpy.context.scene.collection.objects.link(thing)

box("Box", (1, 1, 1), (0, 0, 0.5), (0.8, 0.1, 0.1))
box("Lid", (1.1, 1.1, 0.1), (0, 0, 1.05), (0.1, 0.1, 0.8))
sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
sun.data.energy = 3
sun.rotation_euler = (0.6, 0.2, 0)
bpy.context.scene.collection.objects.link(sun)
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.location, camera.rotation_euler = (0, -6, 0.6), (1.5708, 0, 0)
bpy.context.scene.collection.objects.link(camera)
bpy.context.scene.camera = camera
world = bpy.data.worlds.new("World")
world.use_nodes = True
bpy.context.scene.world = world
"""

GRAPH = {
    "environment": "nothing but white",
    "nodes": [
        {"name": "Box", "kind": "part", "description": "a red box", "picture_box": [0.2, 0.3, 0.8, 0.8]},
        {"name": "Lid", "kind": "part", "description": "a blue lid", "picture_box": [0.2, 0.2, 0.8, 0.35]},
    ],
    "complete": True,
}

Script = dict[tuple[str, str], list[tuple[str, dict]]]

BUILD: Script = {
    ("decomposition", "decomposer"): [("submit_scene_graph", GRAPH)],
    ("initialisation", "generator"): [
        ("submit_plan", {"plan": "box, then lid"}),
        ("run_code", {"purpose": "build", "code": CUBE}),
    ],
    ("material", "generator"): [
        (
            "run_code",
            {
                "purpose": "darker",
                "code": 'import bpy\nbpy.data.materials["Box"].node_tree.nodes["Principled BSDF"]'
                '.inputs["Base Color"].default_value[0] = 0.5',
            },
        )
    ],
    ("composition", "generator"): [("run_code", {"purpose": "nothing", "code": "print(1 + 1)"})],
    ("lighting", "generator"): [
        (
            "fit",
            {
                "purpose": "sun",
                "goal": "colour",
                "looks": 4,
                "values": [{"path": 'lights["Sun"].energy', "lower": 0.5, "upper": 8, "start": 3}],
            },
        )
    ],
}

ENDS = {
    "generator": ("finish", {"summary": "done"}),
    "verifier": ("verdict", {"items": [], "critique": "", "decision": "approve"}),
    "selector": ("choose", {"candidate": "A", "reason": "the first"}),
    "decomposer": ("submit_scene_graph", GRAPH),
}


class ScriptedModel:
    name = "scripted"

    def __init__(self, script: Script = BUILD) -> None:
        self.script = script
        self.requests = []
        """Everything that was asked, in order."""

    def worst_case(self, request):
        return Usage(input_tokens=1000, output_tokens=1000, usd=0.5)

    def reply(self, request):
        self.requests.append(request)
        place = request.place
        calls = self.script.get((place.stage, place.role), [])
        name, given = calls[place.ordinal] if place.ordinal < len(calls) else ENDS[place.role]
        if name == "say":
            return ModelReply(content=(Text(text=given["text"]),), stop="end", model="scripted")
        call = ToolCall(id=f"{place.stage}-{place.round}-{place.ordinal}", name=name, input=given)
        usage = Usage(input_tokens=100, output_tokens=10, usd=0.01)
        return ModelReply(content=(call,), stop="tool_call", usage=usage, model="scripted")
