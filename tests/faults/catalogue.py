"""Owns the catalogue of faults: what is done, what must come of it at which level, and what stops it.

Readable as documentation; docs/faults.md is written from it. Rows that are no code of an edit: `orchestrating`.
"""

from tests.faults import levels, orchestrating
from tests.faults.ground import CUP, MOVE
from tests.faults.injected import RAW, SERVER, WIRE, saving
from tests.faults.table import Row, one_of, walled

DEADLINE = "the deadline: the nanny's clock, then SIGKILL"
WATCH = "the nanny's watch over memory, files, output and processes"
ENDED = "nothing: the nanny sees the end and its cause"
STANDBY = "the standby, which reads the file in a clean process"
WIRED = "the nanny, which believes nothing that it did not ask for"
NETWORK = "seccomp (L2, L3), a network namespace (L3)"
FILES = "Landlock (L2), a minimal root (L3)"
PROCESSES = "Landlock, no capabilities (L2), a process namespace (L3)"
SCRIPTS = "files are opened without running what is in them"
NOBODY = "nothing: it is without effect"

TRY = """
def attempt(what):
    try:
        what()
        print("REACHED")
    except OSError as error:
        print("denied:", error)
"""


def code(id, injection, kinds, what, timeout_s=15.0, ends_by="", **more):
    """An edit that ends as one of these kinds, at every level."""
    return Row(id, injection, one_of(*kinds.split()), what, timeout_s, ends_by=ends_by, **more)


def reach(id, injection, what, ends_by, expected=None, **more):
    """An edit that tries to get at something: at L0 and L1 it does."""
    return Row(id, injection, expected or walled(), TRY + what, 15, reaches=True, ends_by=ends_by, **more)


def done(id, injection, word, what, ends_by="", **more):
    """Something that is done to the orchestrator, to a nanny or to a Blender from outside."""
    return Row(id, injection, one_of(word), what, ends_by=ends_by, **more)


RUNNING = (
    code("1", "an endless loop", "deadline", "while True: pass", 1.5, DEADLINE, ordinary=True),
    code(
        "2a",
        "a loop that swallows every exception and ignores every signal",
        "deadline",
        """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True:
    try:
        while True: pass
    except BaseException: pass
""",
        1.5,
        DEADLINE,
    ),
    code(
        "2b",
        "a sleep with all signals blocked",
        "deadline",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\ntime.sleep(600)",
        1.5,
        DEADLINE,
    ),
    code(
        "3a",
        "eleven levels of subdivision, applied",
        "oom deadline crashed",
        CUP
        + "m = bpy.context.object.modifiers.new('s', 'SUBSURF')\nm.levels = 11\n"
        + "bpy.ops.object.modifier_apply(modifier='s')",
        6,
        WATCH,
    ),
    code(
        "3b",
        "a boolean of two dense meshes",
        "deadline oom",
        """
for n in range(2):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=900, ring_count=900, location=(n / 3, 0, 0))
m = bpy.context.object.modifiers.new('b', 'BOOLEAN')
m.object = bpy.data.objects['Sphere']
bpy.ops.object.modifier_apply(modifier='b')
""",
        4,
        DEADLINE,
    ),
    code("3c", "a huge integer: the interpreter's lock is held", "deadline", "3 ** 200_000_000", 1.5, DEADLINE),
    code("4a", "a read from address zero", "crashed", "import ctypes; ctypes.string_at(0)", 15, ENDED, ordinary=True),
    code("4b", "abort()", "crashed", "import os; os.abort()", 15, ENDED),
    code("4c", "SIGKILL to itself", "crashed", "import os; os.kill(os.getpid(), 9)", 15, ENDED),
    code(
        "4d",
        "a read from address zero, in a Blender of the distribution's",
        "crashed",
        "import ctypes; ctypes.string_at(0)",
        15,
        ENDED,
        kind="binary",
    ),
    code("5a", "os._exit(0)", "exited", "import os; os._exit(0)", 15, ENDED),
    code("5b", "sys.exit(3)", "script_error", "import sys; sys.exit(3)", 15, "the server: it is an exception"),
    code("5c", "quit_blender()", "committed exited", "bpy.ops.wm.quit_blender()", 15, ENDED),
    code(
        "5d",
        "quit_blender(), in a Blender of the distribution's",
        "committed exited",
        "bpy.ops.wm.quit_blender()",
        15,
        ENDED,
        kind="binary",
    ),
    code(
        "6",
        "unlimited recursion with the limit raised",
        "deadline oom crashed",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(n): return f(n + 1)\nf(0)",
        2,
        WATCH,
    ),
    code(
        "7a",
        "memory taken in Python",
        "oom script_error",
        "kept = []\nwhile True: kept.append(bytearray(b'x') * 50_000_000)",
        15,
        WATCH,
        ordinary=True,
    ),
    code(
        "7b",
        "memory taken in C",
        "oom crashed",
        """
import ctypes
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
while True:
    c.memset(ctypes.c_void_p(c.malloc(50_000_000)), 1, 50_000_000)
""",
        15,
        WATCH,
    ),
    code(
        "7c",
        "memory taken in many small arrays",
        "oom script_error",
        "import numpy\nkept = []\nwhile True: kept.append(numpy.ones(10_000))",
        15,
        WATCH,
    ),
    code(
        "7d",
        "memory taken by a child",
        "oom",
        "import subprocess, time\nsubprocess.run(['/usr/bin/tail', '/dev/zero'])\ntime.sleep(600)",
        15,
        WATCH,
    ),
    code("8a", "a fork bomb", "oom crashed script_error deadline", "import os\nwhile True: os.fork()", 3, WATCH),
    code(
        "8b",
        "three hundred children in sessions of their own",
        "crashed script_error",
        """
import subprocess, time
kept = [subprocess.Popen(['/bin/sleep', '600'], start_new_session=True) for _ in range(300)]
time.sleep(600)
""",
        15,
        WATCH,
    ),
    code(
        "9a",
        "a daemon by a double fork, in a session of its own, without an environment",
        "committed",
        MOVE + "import os\nif not os.fork():\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
        "    os.execve('/bin/sleep', ['sleep', '600'], {})",
        15,
        "its nanny, to which orphans come; at the latest at the next edit",
        ordinary=True,
    ),
    code(
        "9b",
        "a thread that goes on sleeping",
        "committed",
        MOVE + "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
        15,
        NOBODY,
    ),
    code(
        "9c",
        "a thread that goes on working",
        "committed",
        MOVE
        + "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()",
        15,
        "the nanny: it works though nothing was asked of it",
    ),
    code(
        "9d",
        "an atexit function that never returns",
        "committed",
        MOVE + "import atexit, time\natexit.register(time.sleep, 600)",
        15,
        "SIGKILL: nobody waits for a Blender to say goodbye",
    ),
)

STORING = (
    reach("10a", "files in a folder outside", "attempt(lambda: open(T['folder'] + '/new', 'wb').write(b'x'))", FILES),
    code(
        "10b",
        "its own folder filled",
        "crashed",
        "n = 0\nwhile True:\n    open(f'f{n}', 'wb').write(bytes(20_000_000)); n += 1",
        15,
        WATCH,
    ),
    code(
        "10c",
        "one huge file",
        "script_error",
        "with open('huge', 'wb') as file:\n    while True: file.write(bytes(10_000_000))",
        15,
        "RLIMIT_FSIZE",
    ),
    code(
        "10d",
        "a hundred thousand files",
        "crashed",
        "import os\nn = 0\nwhile True:\n    os.close(os.open(f'n{n}', os.O_CREAT | os.O_WRONLY)); n += 1",
        40,
        WATCH,
    ),
    code(
        "10e",
        "a scene too large to be kept",
        "snapshot_failed",
        "m = bpy.data.meshes.new('m'); m.vertices.add(8_000_000)\n"
        "bpy.context.scene.collection.objects.link(bpy.data.objects.new('m', m))",
        15,
        "RLIMIT_FSIZE, and the nanny's own limit of a file",
    ),
    code(
        "11",
        "all descriptors used up, then the save",
        "snapshot_failed crashed",
        """
import builtins
builtins.kept = []
try:
    while True: builtins.kept.append(open('/dev/null'))
except OSError: pass
"""
        + MOVE,
        15,
        "RLIMIT_NOFILE: the save fails",
        ordinary=True,
    ),
)

REACHING = (
    reach(
        "12a",
        "a TCP connection to the machine itself",
        "import socket\nattempt(lambda: socket.create_connection(('127.0.0.1', T['tcp']), 2))",
        NETWORK,
        ordinary=True,
    ),
    reach(
        "12b",
        "UDP to the machine itself",
        """
import socket, time
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', T['udp'])))
time.sleep(0.2)
""",
        NETWORK,
    ),
    reach(
        "12c",
        "a secret as a name that is asked of a name server",
        """
import socket, time
ask = bytes.fromhex('beef01000001000000000000') + b'\\x06secret\\x07example\\x00' + bytes((0, 1, 0, 1))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(ask, ('127.0.0.1', T['udp'])))
time.sleep(0.2)
""",
        NETWORK,
    ),
    reach(
        "12d",
        "the metadata address of clouds",
        """
import errno, socket
def ask():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(0.3)
        try: s.connect(('169.254.169.254', 80))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES): raise
            # whatever else it is, a network said it
attempt(ask)
""",
        NETWORK,
    ),
    reach(
        "12e",
        "a netlink socket",
        "import socket\nattempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).bind((0, 0)))",
        NETWORK,
    ),
    reach(
        "12f",
        "a raw socket",
        "import socket\nattempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))",
        NETWORK + "; below that, only that an ordinary user may not",
        walled() | {name: one_of("reached" if levels.is_root() else "denied") for name in levels.OPEN},
    ),
    reach(
        "13a",
        "a UNIX socket by its path",
        "import socket\nattempt(lambda: socket.socket(socket.AF_UNIX).connect(T['path socket']))",
        "a filter that lets it make no more sockets once it serves (L2), a minimal root (L3)",
        walled(),
    ),
    reach(
        "13b",
        "an abstract UNIX socket",
        "import socket\nattempt(lambda: socket.socket(socket.AF_UNIX).connect(T['abstract socket']))",
        "a filter that lets it make no more sockets once it serves (L2), a network namespace (L3)",
        walled(),
    ),
    Row(
        "14a",
        "its own environment",
        one_of("denied"),
        "import os\nif any('CANARY' in name or 'KEY' in name for name in os.environ): print('REACHED')",
        reaches=True,
        ends_by="a short list of what is passed on",
        ordinary=True,
    ),
    reach(
        "14b",
        "the agent's environment, through /proc",
        """
import hashlib
def look():
    found = hashlib.sha256(open(f"/proc/{T['agent']}/environ", 'rb').read()).hexdigest()
    if found != T['environ']: raise OSError('not ours')
attempt(look)
""",
        PROCESSES,
        ordinary=True,
    ),
    reach(
        "14c",
        "the agent's memory, through /proc",
        """
def look():
    with open(f"/proc/{T['agent']}/mem", 'rb', buffering=0) as memory:
        memory.seek(T['address'])
        if len(memory.read(T['length'])) != T['length']: raise OSError('nothing')
attempt(look)
""",
        PROCESSES,
        walled() | dict.fromkeys(levels.OPEN, levels.tracing_when_open),
    ),
    reach(
        "14d",
        "the agent's open files, through /proc",
        "import os\nattempt(lambda: os.listdir(f\"/proc/{T['agent']}/fd\"))",
        PROCESSES,
    ),
    reach("14e", "a secret in the user's home", "attempt(lambda: open(T['folder'] + '/secret').read())", FILES),
    reach(
        "14f",
        "the names of what lies in the user's home",
        """
import os
def look():
    home, name = os.path.split(T['folder'])
    if name not in os.listdir(home): raise OSError('another home')
attempt(look)
""",
        FILES,
    ),
    reach(
        "15a", "a file of the user's, deleted", "import os\nattempt(lambda: os.unlink(T['folder'] + '/secret'))", FILES
    ),
    reach(
        "15b",
        "a store of states, deleted",
        """
import os, shutil
shutil.rmtree(T['folder'] + '/store', ignore_errors=True)
attempt(lambda: os.mkdir(T['folder'] + '/store'))
""",
        FILES,
    ),
    reach(
        "15c",
        "a file in Blender's own folder",
        """
import os
place = os.path.join(bpy.utils.resource_path('LOCAL') or os.path.dirname(bpy.__file__), 'seig-canary')
attempt(lambda: open(place, 'w').close() or os.unlink(place))
""",
        FILES,
    ),
    reach(
        "15d",
        "a file through a link in its own folder",
        "import os\nos.symlink(T['folder'] + '/secret', 'link')\nattempt(lambda: open('link', 'a').write('x'))",
        FILES,
    ),
    reach(
        "15e",
        "a file by a hard link in its own folder",
        "import os\nattempt(lambda: os.link(T['folder'] + '/secret', 'hard') or open('hard', 'a').write('x'))",
        FILES,
    ),
    code(
        "15f",
        "a path outside as the place where it saved",
        "committed",
        SERVER
        + """
from blender_server import server as module
save = module.HANDLERS["snapshot"]
module.HANDLERS["snapshot"] = lambda file: dict(save(file), file="../../../etc/passwd")
"""
        + MOVE,
        15,
        WIRED,
    ),
    reach(
        "16a",
        "a signal to every process",
        """
import os, signal, time
try: os.kill(-1, signal.SIGURG)  # which does nothing to those who do not wait for it
except OSError: pass
time.sleep(0.3)
""",
        PROCESSES,
    ),
    Row(
        "16b",
        "SIGKILL to the nanny",
        {name: one_of("protocol_error") for name in levels.OPEN} | {name: one_of("denied") for name in levels.SHUT},
        TRY + "import os, time\nattempt(lambda: os.kill(os.getppid(), 9) or time.sleep(2) or os.stat('/nowhere'))",
        reaches=True,
        ends_by=PROCESSES + "; below that the agent notices",
    ),
    reach(
        "16c",
        "SIGKILL to another process of the user's",
        "import os, time\nattempt(lambda: os.kill(T['bystander'], 9))\ntime.sleep(0.2)",
        PROCESSES,
    ),
    reach(
        "16d",
        "another process traced",
        """
import ctypes
c = ctypes.CDLL(None, use_errno=True)
def trace():
    if c.ptrace(0x4206, T['bystander'], 0, 0): raise OSError(ctypes.get_errno(), 'ptrace')
    c.ptrace(17, T['bystander'], 0, 0)
attempt(trace)
""",
        PROCESSES,
        walled() | dict.fromkeys(levels.OPEN, levels.tracing_when_open),
    ),
)

PATCHING = (
    code(
        "17a",
        "the function that sends replies replaced by one that sends none",
        "deadline",
        MOVE + "import zmq\nzmq.Socket.send_multipart = lambda *a, **k: None",
        1.5,
        DEADLINE,
    ),
    code(
        "17b",
        "exec() replaced by a function that does nothing",
        "committed",
        MOVE + "import builtins\nbuiltins.exec = lambda *a, **k: None",
        15,
        "a clean process for the next edit",
        ordinary=True,
    ),
    code(
        "17c",
        "json and msgpack replaced",
        "protocol_error",
        MOVE + "import json, msgpack\njson.dumps = msgpack.packb = lambda *a, **k: b'garbage'",
        15,
        WIRED,
    ),
    code("17d", "the server's token read by walking frames", "committed", SERVER + MOVE + "print(S._epoch)", 15, WIRED),
    code(
        "18a",
        "a load handler that raises, for good",
        "committed",
        MOVE
        + "from bpy.app.handlers import persistent\n@persistent\ndef f(*a): 1 / 0\n"
        + "bpy.app.handlers.load_post.append(f)",
        15,
        "a clean process for the next edit",
    ),
    code(
        "18b",
        "a load handler that never returns",
        "committed",
        MOVE
        + "from bpy.app.handlers import persistent\n@persistent\ndef f(*a):\n    while True: pass\n"
        + "bpy.app.handlers.load_post.append(f)",
        15,
        DEADLINE + "; the standby has decided meanwhile",
    ),
    code(
        "18c",
        "a handler of every update that never returns",
        "deadline",
        "def f(*a):\n    while True: pass\nbpy.app.handlers.depsgraph_update_post.append(f)\n"
        + MOVE
        + "bpy.context.view_layer.update()",
        1.5,
        DEADLINE,
    ),
    code(
        "18d",
        "a driver that calls what is not there",
        "committed violation",
        MOVE + "bpy.data.objects['Cup'].driver_add('location', 2).driver.expression = 'nobody()'",
        15,
        STANDBY,
    ),
    code(
        "18e",
        "a timer, and classes left registered",
        "committed",
        """
class Later(bpy.types.Operator):
    bl_idname, bl_label = "seig.later", "Later"
    def execute(self, context): return {"FINISHED"}
bpy.utils.register_class(Later)
def tick():
    while True: pass
bpy.app.timers.register(tick, first_interval=0.01, persistent=True)
"""
        + MOVE,
        15,
        "a clean process for the next edit",
    ),
)

PRINTING = (
    code(
        "19a",
        "a flood of output without an end of line",
        "crashed",
        "import os\nwhile True: os.write(1, b'x' * 65536)",
        15,
        WATCH,
        ordinary=True,
    ),
    code(
        "19b",
        "a gigabyte printed",
        "committed",
        MOVE + "for _ in range(1000): print('x' * 1_000_000)",
        30,
        "the server",
    ),
    code(
        "19c",
        "invalid UTF-8, terminal codes, what looks like a message of ours",
        "committed",
        MOVE
        + 'import os\nos.write(1, b\'\\xff\\xfe\\x1b[2J{"v": 1, "status": "ok"}\\n\')\nprint(\'\\x1b[31m\\ud800\')',
        15,
        "output is never read as anything",
    ),
)

ANSWERING = (
    code(
        "20a",
        "a reply of ten times the size that is allowed",
        "protocol_error",
        WIRE + "reply(MINE, 'execute', DONE, (bytes(160 << 20),))\ntime.sleep(600)",
        15,
        WIRED,
        ordinary=True,
    ),
    code(
        "20b",
        "frames that say there is more, without an end",
        "protocol_error",
        RAW + "raw = connected()\npiece = frame(bytes(1 << 20), more=True)\nwhile True: raw.sendall(piece)",
        15,
        "the nanny's watch over its own memory",
        ordinary=True,
    ),
    code(
        "20c",
        "a hundred thousand frames in one message",
        "protocol_error",
        WIRE + "S._socket.send_multipart([b''] * 100_000)\ntime.sleep(600)",
        15,
        WIRED,
    ),
    code(
        "20d",
        "endless messages of a hundred thousand frames",
        "protocol_error",
        WIRE + "while True: S._socket.send_multipart([b''] * 100_000)",
        15,
        WIRED,
    ),
    code(
        "20e",
        "bytes that are no message",
        "protocol_error",
        WIRE + "S._socket.send_multipart([os.urandom(1000), os.urandom(1000)])\ntime.sleep(600)",
        15,
        WIRED,
    ),
    code(
        "20f",
        "bytes that are no ZMTP",
        "protocol_error",
        MOVE + "import os, socket\nfor _ in range(20):\n    s = socket.socket(socket.AF_UNIX); s.connect('r')\n"
        "    try: s.sendall(os.urandom(100_000))\n    except OSError: pass",
        15,
        "libzmq closes the connection, and the nanny will have no more of it",
    ),
    code(
        "20g",
        "fields of wrong types",
        "protocol_error",
        WIRE + "reply(MINE, 'execute', {'stdout': 7, 'duration_s': 'long', 'more': None})\ntime.sleep(600)",
        15,
        "the agent, which reads replies by a schema",
    ),
    code(
        "20h",
        "ten thousand lists, one in the other",
        "protocol_error",
        WIRE
        + """
head = wire.encode(wire.Message(wire.REPLY, S._epoch, MINE, "execute"))[0]
S._socket.send_multipart([head, b"\\x81\\xa1a" + b"\\x91" * 10_000 + b"\\xc0"])
time.sleep(600)
""",
        15,
        WIRED,
    ),
    code(
        "20i",
        "keys that are no text, and no number",
        "protocol_error",
        WIRE
        + """
import msgpack
head = wire.encode(wire.Message(wire.REPLY, S._epoch, MINE, "execute"))[0]
S._socket.send_multipart([head, msgpack.packb({float("nan"): 1, float("nan"): 2})])
time.sleep(600)
""",
        15,
        WIRED,
    ),
    code(
        "20j",
        "a message that unpacks to sixty times its size",
        "protocol_error deadline",
        WIRE
        + """
head = wire.encode(wire.Message(wire.REPLY, S._epoch, MINE, "execute"))[0]
S._socket.send_multipart([head, b"\\x81\\xa1a\\xdd\\x00\\xf0\\x00\\x00" + b"\\x80" * 0xf00000])
time.sleep(600)
""",
        15,
        WIRED,
    ),
    code(
        "20k",
        "a flood of small messages that answer nothing",
        "protocol_error",
        WIRE + "while True: reply(MINE + 7, 'execute', DONE)",
        15,
        WIRED,
    ),
    done(
        "21",
        "a stale reply, one of another epoch, one that nobody asked for, and another's",
        "dropped",
        orchestrating.stray_replies,
        WIRED,
        ordinary=True,
    ),
)

ORCHESTRATING = (
    done(
        "22a", "a Blender killed before it has taken the edit", "crashed", orchestrating.killed_before_it_begins, ENDED
    ),
    code(
        "22b",
        "killed after the edit, before the answer",
        "crashed",
        MOVE
        + SERVER
        + "import os\nclass Dead:\n    def send_multipart(self, frames): os.kill(os.getpid(), 9)\n"
        + "S._socket = Dead()",
        15,
        ENDED,
    ),
    code(
        "22c",
        "killed while it saves",
        "crashed",
        MOVE + "import os\nbpy.app.handlers.save_pre.append(lambda *a: os.kill(os.getpid(), 9))",
        15,
        ENDED,
        ordinary=True,
    ),
    code(
        "22d",
        "killed when half of the file is written",
        "crashed",
        MOVE
        + "import os\nfrom blender_server import editing\n"
        + "def save(path):\n    open(path, 'wb').write(b'BLENDER-v405' + bytes(1000)); os.kill(os.getpid(), 9)\n"
        + "editing.save = save",
        15,
        ENDED,
    ),
    done(
        "22e",
        "the agent killed between a state and its manifest",
        "not accepted",
        orchestrating.killed_before_the_manifest,
        "the manifest, written last",
    ),
    *(
        code(f"23{letter}", f"a saved file that is {name}", kinds, saving(change), 15, ends_by)
        for letter, name, kinds, change, ends_by in (
            ("a", "empty", "snapshot_failed", "data = b''", "the store"),
            ("b", "no .blend", "snapshot_failed", "data = os.urandom(50_000)", "the store"),
            ("c", "cut off", "snapshot_failed", "data = data[:len(data) // 2]", STANDBY),
            (
                "d",
                "full of flipped bits",
                "snapshot_failed",
                "data = data[:100] + bytes(b ^ 255 for b in data[100:])",
                STANDBY,
            ),
            ("e", "of a newer Blender", "snapshot_failed", "data = b'BLENDER-v999' + data[12:]", "the store"),
            ("f", "compressed", "snapshot_failed", "import gzip; data = gzip.compress(data)", "the store"),
        )
    ),
    done(
        "23g",
        "a file with scripts and drivers that run when it is opened",
        "not run",
        orchestrating.scripts_in_the_file,
        SCRIPTS,
        ordinary=True,
    ),
    done(
        "23h",
        "an accepted file changed from outside",
        "refused",
        orchestrating.accepted_file_changed,
        "the store's digests",
        once=True,
    ),
    code(
        "23i",
        "the same file, in a scope of the generator's",
        "violation",
        orchestrating.SCRIPTED,
        15,
        STANDBY,
    ),
    done(
        "24a",
        "no Blender where there was one",
        "setup_failed",
        orchestrating.blender_missing,
        "what it says names the remedy",
        once=True,
    ),
    done(
        "24b",
        "a Blender of another protocol",
        "setup_failed",
        orchestrating.other_protocol,
        "its first message",
        once=True,
    ),
    done("24c", "a scene of a newer Blender", "setup_failed", orchestrating.newer_scene, "its manifest", once=True),
    done("24d", "a path too long for a socket", "setup_failed", orchestrating.path_too_long, "the agent", once=True),
    done("24e", "no folder that can be written to", "setup_failed", orchestrating.no_folder, "the agent", once=True),
    done(
        "24f",
        "a level that this machine does not reach",
        "setup_failed",
        orchestrating.level_out_of_reach,
        "the probes",
        once=True,
    ),
    done(
        "25a",
        "SIGKILL to the nanny",
        "protocol_error",
        orchestrating.nanny_killed,
        "the kernel ends Blender with it",
        ordinary=True,
    ),
    done(
        "25b",
        "SIGKILL to the agent",
        "nothing left",
        orchestrating.agent_killed,
        "the nanny's lifeline; the store is whole",
    ),
    done("25c", "SIGSTOP to Blender", "deadline", orchestrating.blender_stopped, DEADLINE),
    done("25d", "SIGSTOP to the nanny", "deadline", orchestrating.nanny_stopped, "the agent's own clock, 10 s later"),
    done(
        "25e",
        "a pool made by a thread that has ended",
        "committed",
        orchestrating.made_by_a_dying_thread,
        NOBODY,
        once=True,
    ),
    done("25f", "a clock that jumps by a day", "deadline", orchestrating.clock_jumps, "the monotonic clock"),
    done(
        "25g",
        "a full disk when the nanny keeps a file",
        "snapshot_failed",
        orchestrating.disk_full_for_the_nanny,
        "the transaction",
    ),
    done(
        "25h",
        "a full disk when the agent accepts a state",
        "snapshot_failed",
        orchestrating.disk_full_for_the_agent,
        "the transaction",
    ),
    done("26a", "a boot that takes too long", "setup_failed", orchestrating.slow_boot, DEADLINE, once=True),
    done(
        "26b",
        "a crash at every boot",
        "setup_failed",
        orchestrating.crash_at_boot,
        "two attempts, then a report",
        once=True,
    ),
    done(
        "26c",
        "a crash at the load of an accepted state",
        "setup_failed",
        orchestrating.crash_at_load,
        "three attempts, then a report",
        once=True,
    ),
    done(
        "26d",
        "crashes at boot, after it had booted well",
        "setup_failed",
        orchestrating.crash_at_boot_later,
        "five attempts, each later than the last, then a report",
        once=True,
    ),
    done(
        "26e",
        "the same code for the third time, when it has killed two Blenders",
        "quarantined",
        orchestrating.deadly_twice,
        "the breaker",
        ordinary=True,
    ),
    done("27", "a hundred edits with faults mixed in", "flat", orchestrating.soaked, "all of this together", once=True),
)

ROWS = (*RUNNING, *STORING, *REACHING, *PATCHING, *PRINTING, *ANSWERING, *ORCHESTRATING)
