"""Owns the lies that take more than one edit, or a scope: each gives the outcome in one word.

The scope is the transform alone. What adds or changes anything else, by whatever way, is a violation.
"""

from tests.faults.ground import CUP, MOVE
from tests.faults.injected import WIRE

PLACING = {"transform"}
GHOST = "bpy.ops.mesh.primitive_cone_add()\nbpy.context.object.name = 'Ghost'\n"
NOT_SAID = "an edit that was not executed is reported as one that was"

SERVING = (
    WIRE
    + """
import os
def serve(executes):
    reply(MINE, "execute", DONE)
    while True:
        message = wire.decode(S._socket.recv_multipart())
        S._last_id = message.id
        if message.method == "snapshot":
            path = os.path.join(os.getcwd(), message.body["file"])
            bpy.ops.wm.save_as_mainfile(filepath=path, copy=True, compress=False)
            reply(message.id, "snapshot", {"file": "x", "bytes": 1})
        else:
            body = {"execute": DONE, "settle": {"resets": []}, "restore": {"objects": 1}}
            body["inspect"] = {"what": {"location": [0, 0, 0]}}
            body["fingerprint"] = {"factors": {}, "topology": {}, "objects": {}}
            reply(message.id, message.method, body[message.method])
"""
)


def becomes_the_server(ground):
    return ground.edit(SERVING + MOVE + GHOST + "serve(False)", PLACING).kind


def executes_no_more(ground):
    """After an edit that is accepted. The next is told to have changed nothing, and the one after that is executed."""
    first = ground.edit(SERVING + MOVE + "serve(False)", PLACING)
    assert first.kind == "committed"
    second, third = ground.edit(MOVE, PLACING), ground.edit(MOVE, PLACING)
    told = second.changes or "changed nothing" in second.message
    return "noticed" if told and third.changes else NOT_SAID


def fingerprint_replaced(ground):
    source = "import hashlib\nfrom blender_server import fingerprint, server\n"
    source += (
        "server.HANDLERS['fingerprint'] = fingerprint.reply = lambda: {'factors': {}, 'topology': {}, 'objects': {}}\n"
    )
    source += "fingerprint.digest = lambda *a: '0' * 32\n"
    return ground.edit(source + MOVE + GHOST, PLACING).kind


def readers_replaced(ground):
    source = "from blender_server import coverage, factors, rna\n"
    source += "factors.parts = lambda: {}\nrna.key = lambda *a: 'object:Cup'\n"
    return ground.edit(source + MOVE + GHOST, PLACING).kind


def restore_replaced(ground):
    """What was rolled back stays in the active one, where the next edit would smuggle it in."""
    source = "from blender_server import server\nserver.HANDLERS['restore'] = lambda file='': {'objects': 1}\n"
    first = ground.edit(source + GHOST, PLACING)
    second = ground.edit(MOVE, PLACING)
    assert first.kind == "violation"
    assert "Ghost" not in ground.store.fingerprint(ground.scene.head.id).objects
    return "violation" if second.kind in ("violation", "committed") else second.kind


def meets_the_next(ground):
    """An accepted edit that replaces what runs edits. The next one is to do what its source says, no less, no more."""
    source = "from blender_server import editing\nreal = editing.run_edit\n"
    source += f"def run_edit(source, *more): real({GHOST!r}, *more)\nediting.run_edit = run_edit\n"
    assert ground.edit(source + MOVE).kind == "committed"
    second = ground.edit(MOVE)
    keys = {change.key for change in second.changes}
    if second.kind == "committed" and keys == {"object:Cup"}:
        return "the next edit does what it says"
    return f"{second.kind}: {', '.join(sorted(keys)) or 'nothing'}"


def adds_at_save(ground):
    source = f"def add(*a):\n    exec({GHOST!r}, {{'bpy': bpy}})\nbpy.app.handlers.save_pre.append(add)\n"
    return ground.edit(source + MOVE, PLACING).kind


def adds_at_load(ground):
    source = "from bpy.app.handlers import persistent\n@persistent\ndef add(*a):\n"
    source += "    mesh = bpy.data.meshes.new('Ghost')\n"
    source += "    bpy.context.scene.collection.objects.link(bpy.data.objects.new('Ghost', mesh))\n"
    assert ground.edit(source + "bpy.app.handlers.load_post.append(add)\n" + MOVE, PLACING).kind == "committed"
    ground.states_are_true(ground.scene.head)
    second = ground.edit(MOVE, PLACING)
    smuggled = "Ghost" in ground.store.fingerprint(ground.scene.head.id).objects
    return "smuggled in" if smuggled or second.kind not in ("violation", "committed") else "the state is true"


def factory_settings(ground):
    return ground.edit("bpy.ops.wm.read_factory_settings()\n" + CUP, PLACING).kind
