"""Code that uses another Blender's names is told what they are here; and what is told is so."""

import json
import re

import pytest

from protocol.errors import ScriptFailed
from protocol.models import ExecuteRequest

pytestmark = [pytest.mark.blender, pytest.mark.matrix("handlers")]

SETTING = """
import bmesh

scene = bpy.context.scene
render, cycles, view = scene.render, scene.cycles, scene.view_settings
bpy.ops.mesh.primitive_cube_add()
thing = bpy.context.object
thing.keyframe_insert("location")
mesh, action, bm = thing.data, thing.animation_data.action, bmesh.new()
material, light = bpy.data.materials.new("M"), bpy.data.lights.new("L", "AREA")
material.use_nodes = True
image = bpy.data.images.new("I", 4, 4)
nodes = material.node_tree.nodes
principled = nodes["Principled BSDF"]
noise, contrast, sky = (nodes.new("ShaderNode" + kind) for kind in ("TexNoise", "BrightContrast", "TexSky"))
boolean, modifier = thing.modifiers.new("B", "BOOLEAN"), thing.modifiers.new("G", "NODES")
tree = bpy.data.node_groups.new("G", "GeometryNodeTree")
for name in "ABC":
    if hasattr(tree, "interface"):
        tree.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketFloat")
    else:
        tree.inputs.new("NodeSocketFloat", name)
modifier.node_group = tree
surface = "surface_render_method" if hasattr(material, "surface_render_method") else "blend_method"
try:
    view.view_transform = film = "AgX"
except TypeError:
    film = "Filmic"
"""

SOCKETS = {"Fac": "noise.outputs", "Bright": "contrast.inputs"}
"""Where a row's sockets are, if not among those of the Principled BSDF."""
ITEMS = {
    # the newest name of a row → where it is set
    "BLENDER_EEVEE": "render.engine = {}",
    "MULTIPLE_SCATTERING": "sky.sky_type = {}",
    "FLOAT": "boolean.solver = {}",
    "DITHERED": "setattr(material, surface, {})",
    "BLENDED": "setattr(material, surface, {})",
    "AgX": "view.view_transform = {}",
    "Linear Rec.709": "image.colorspace_settings.name = {}",
}
LOOKS = ("view.view_transform = 'Standard'; view.look = {}", "view.view_transform = film; view.look = {}")
OWNERS = {
    "Mesh": "mesh",
    "MeshPolygon": "mesh.polygons[0]",
    "MeshEdge": "mesh.edges[0]",
    "MeshVertex": "mesh.vertices[0]",
    "BMLayerAccessEdge": "bm.edges.layers",
    "NodeTree": "tree",
    "Scene": "scene",
    "ShaderNodeTexSky": "sky",
    "Object": "thing",
    "CyclesMaterialSettings": "material.cycles",
    "CyclesLightSettings": "light.cycles",
    "CyclesRenderSettings": "cycles",
    "Light": "light",
    "Material": "material",
    "RenderSettings": "render",
    "SceneEEVEE": "scene.eevee",
    "Action": "action",
}
OVERRIDES = {
    "bpy.ops": "bpy.ops.object.select_all({'scene': scene}, action='SELECT')",
    "with": "with bpy.context.temp_override(scene=scene): bpy.ops.object.select_all(action='SELECT')",
}


BMESH = {
    "create_cone": "segments=8",
    "create_uvsphere": "u_segments=8, v_segments=8",
    "create_icosphere": "subdivisions=2",
}
"""What bmesh's functions must be given, or Blender dies of them."""


def of_sockets(names):
    where = SOCKETS.get(names[0], "principled.inputs")
    return [{name: f"{where}[{name!r}]" for name in names}]


def of_items(names):
    places = [ITEMS[names[-1]]] if names[-1] in ITEMS else LOOKS
    return [{name: place.format(repr(name)) for name in names} for place in places]


def of_nodes(names):
    return [{name: f"nodes.new({name.split()[0]!r})" for name in names}]


def of_members(names):
    def use(name):
        owner, _, rest = name.partition(".")
        rest = rest.replace(" and .", "; it.").replace("radians", "0.5").replace("[i]", "[0]").replace(", …", "")
        return f"it = {OWNERS[owner]}; it.{rest.replace(' for each', '').replace('name', repr('N'))}"

    return [{name: use(name) for name in names}]


def of_operators(names):
    """Called without what they need, they are refused in other words than one that is not there."""
    call = "try:\n    bpy.ops.{}()\nexcept RuntimeError:\n    pass"
    return [{name: call.format(re.match(r"[\w.]+", name).group()) for name in names}]


def of_overrides(names):
    return [{name: code for name in names for begin, code in OVERRIDES.items() if name.startswith(begin)}]


USES = {
    "socket": of_sockets,
    "item": of_items,
    "node": of_nodes,
    "member": of_members,
    "operator": of_operators,
    "override": of_overrides,
    "group input": lambda names: [{name: name for name in names}],
}
"""kind → of a row's names, code that uses each, for each place where they are used."""


@pytest.fixture
def tried(server):
    """Runs code after SETTING; what it raised, or ""."""

    def tried(code):
        try:
            server.call(ExecuteRequest(source=f"{SETTING}\n{code}"))
        except ScriptFailed as failed:
            return failed.message
        return ""

    return tried


@pytest.fixture
def moved(server):
    """kind → rows of names."""
    module = "__import__('blender_server.compat').compat"
    rows = json.loads(server.evaluate(f"__import__('json').dumps({module}.MOVED)"))
    return {kind: [tuple(names) for each, names in rows if each == kind] for kind, _ in rows}


def hinted(message, version):
    """The names in a message's hint."""
    said = message.partition(f"In this Blender ({version}")[2]
    return re.findall(r'"(.+?)"(?= or "|\.$)', said)


@pytest.mark.parametrize("kind_of_name", USES)
def test_a_wrong_name_is_told_the_right_one_and_that_works(tried, moved, kind, kind_of_name):
    for names in moved[kind_of_name]:
        for uses in USES[kind_of_name](names):
            outcomes = {name: tried(code) for name, code in uses.items()}
            works = {name for name, message in outcomes.items() if not message}
            assert works, outcomes
            for message in filter(None, outcomes.values()):
                told = set(hinted(message, kind.version))
                assert told & works and not told & (set(names) - works), message


def test_a_keyword_that_moved_is_told(tried, moved, kind):
    for names in moved["keyword"]:
        parts = {name: re.match(r"([\w.]+)\((.*)\)", name).groups() for name in names}
        outcomes = {name: tried(call(*parts[name])) for name in names}
        works = [name for name in names if not outcomes[name]]
        assert works, outcomes
        for name in set(names) - set(works):
            message = tried(call(parts[works[-1]][0], parts[name][1]))
            assert hinted(message, kind.version) == works[-1:], message


def call(operator, argument):
    argument = argument.replace("…", "1.0").replace("radians", "0.5")
    if operator.startswith("bmesh"):
        return f"{operator}(bm, {BMESH[operator.split('.')[2]]}, {argument})"
    return f"try:\n    bpy.ops.{operator}({argument})\nexcept RuntimeError:\n    pass"


def test_the_hint_is_one_sentence_with_the_version(server, tried):
    version = server.evaluate("bpy.app.version_string")
    message = tried('principled.inputs["Specular"]') or tried('principled.inputs["Specular IOR Level"]')
    now = "Specular" if version.startswith(("2", "3")) else "Specular IOR Level"
    assert message.endswith(f'. In this Blender ({version}) it is called "{now}".')


@pytest.mark.parametrize(
    "code",
    [
        "bpy.data.objects['Nobody']",
        "principled.inputs['Nonsense']",
        "render.engine = 'NONSENSE'",
        "mesh.nonsense",
        "1 / 0",
        "raise KeyError",
        "raise TypeError(7, None)",
        "class Odd(KeyError):\n    args = 1\nraise Odd('a')",
    ],
)
def test_what_never_had_another_name_gets_no_hint(tried, code):
    message = tried(code)
    assert message and "In this Blender" not in message


def test_what_things_are_called_is_told_in_few_words(server, tried, kind):
    ask = "__import__('json').dumps(__import__('blender_server.compat').compat.dialect())"
    told = json.loads(server.evaluate(ask))
    assert json.loads(server.evaluate(ask)) == told
    assert server.evaluate("len(bpy.data.materials)") == "0"
    assert sum(len(name) for names in told.values() for name in names) < 1100
    for name in told["Principled BSDF inputs"]:
        assert not tried(f"principled.inputs[{name!r}]")
    for code, heading in (
        ("noise.outputs[{}]", "Noise Texture outputs"),
        ("sky.sky_type = {}", "sky types"),
        ("view.view_transform = {}", "view transforms"),
        ("view.view_transform = 'Standard'; view.look = {}", "looks of Standard"),
        ("boolean.solver = {}", "Boolean solvers"),
    ):
        assert told[heading]
        for name in told[heading]:
            assert not tried(code.format(repr(name)))
