"""A run's process in small: boots a real Blender at a level, lets code try everything, prints what came of it.

    confined_trial.py BLENDER LEVEL KEY [wait]

Is the parent whose environment holds the key. With `wait` it only boots, says so, and waits to be killed.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import zmq  # noqa: E402

from protocol.models import ExecuteRequest  # noqa: E402
from sandbox.confinement.canaries import Canaries  # noqa: E402
from sandbox.confinement.levels import Level  # noqa: E402
from sandbox.discovery import find_blender  # noqa: E402
from sandbox.limits import Limits  # noqa: E402
from sandbox.worker import Worker  # noqa: E402

WORK = """
import bpy, os
bpy.ops.mesh.primitive_cube_add()
bpy.ops.object.camera_add(location=(4, -4, 3), rotation=(1.1, 0, 0.8))
scene = bpy.context.scene
scene.camera = bpy.context.object
scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 4, False
scene.render.resolution_x = scene.render.resolution_y = 32
scene.render.filepath = os.path.join(os.getcwd(), "x.png")
bpy.ops.render.render(write_still=True)
file = os.path.join(os.getcwd(), "y.blend")
bpy.ops.wm.save_as_mainfile(filepath=file, copy=True)
bpy.ops.wm.open_mainfile(filepath=file)
print(len(bpy.data.objects), os.path.getsize("x.png") > 0, os.path.getsize(file) > 0)
"""

LOOK = """
import json, os, socket, subprocess
def writable(top):
    found = []
    for folder, folders, files in os.walk(top):
        if folder == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        for path in (os.path.join(folder, name) for name in files):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                found.append(path)
            except OSError:
                pass
    return found
def tried(what):
    try:
        return what()
    except Exception as error:
        return "!" + type(error).__name__
print(json.dumps({
    "environ of its parent": tried(lambda: open(f"/proc/{os.getppid()}/environ").read()),
    "own environ": dict(os.environ),
    "status": tried(lambda: open("/proc/self/status").read()),
    "processes": tried(lambda: [name for name in os.listdir("/proc") if name.isdigit()]),
    "name service": tried(lambda: socket.getaddrinfo("example.com", 80)),
    "sockets of the machine": tried(lambda: open("/proc/self/net/unix").read()),
    "writable": writable("/proc") + writable("/sys") + writable("/etc") + writable("/proc/sys"),
    "checkout": tried(lambda: os.listdir(%(root)r)),
    "agent": tried(lambda: open(%(agent)r).read()),
    "store": tried(lambda: os.listdir(%(store)r)),
    "kept": tried(lambda: open(%(kept)r).read()),
    "root": tried(lambda: open("/new", "w").write("x")),
    "usr": tried(lambda: open("/usr/new", "w").write("x")),
    "raw": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW)),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "child": tried(lambda: subprocess.run(["/bin/sh", "-c", "echo $((6*7))"], capture_output=True).stdout.decode()),
    "descriptors": tried(lambda: [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                                  if os.path.lexists(f"/proc/self/fd/{n}")]),
}))
"""


def main(wanted, level, key, *more):
    assert os.environ["ANTHROPIC_API_KEY"] == key
    blender, folder = find_blender(wanted), Path(tempfile.mkdtemp(prefix="w-", dir="/tmp"))
    folders = Path(tempfile.mkdtemp(prefix="n-", dir="/tmp")), folder
    store = Path(tempfile.mkdtemp(prefix="store-", dir=Path.home()))
    (store / "kept").write_text("accepted")
    began = time.monotonic()
    log = Path(tempfile.mkstemp()[1])
    worker = Worker(blender, Limits(), folders, log, zmq.Context(), level=Level.parse(level))
    boot_s = time.monotonic() - began
    if more:
        print(folder, flush=True)
        time.sleep(60)
    try:
        print(json.dumps({"uid": os.getuid(), "boot_s": boot_s, **trial(worker, folder, store)}))
    finally:
        worker.close()


def trial(worker, folder, store):
    attempts = (ROOT / "sandbox" / "confinement" / "attempts.py").read_text().partition("\nif __name__")[0]
    places = {"root": str(ROOT), "agent": str(ROOT / "agent" / "__init__.py"), "store": str(store)}
    with Canaries() as canaries:
        targets = canaries.targets | {"folder": str(folder)}
        said = say(worker, f"{attempts}\nmain({targets!r})")
        claimed = {name for name, outcome in said.items() if not outcome.startswith("!")}
        touched = sorted(canaries.touched(claimed))
        secret = canaries.secret
    return {
        "work": worker.call(ExecuteRequest(source=WORK), 60)[0].stdout,
        "said": said,
        "touched": touched,
        "secret": secret,
        "look": say(worker, LOOK % (places | {"kept": str(store / "kept")})),
        "unfit": worker.look().unfit,
    }


def say(worker, source):
    return json.loads(worker.call(ExecuteRequest(source=source), 60)[0].stdout.splitlines()[-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
