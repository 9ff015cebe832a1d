"""A stand-in for Blender: a real process with real sockets that speaks the wire and misbehaves when told to.

Its scene is a dict shaped like a fingerprint. Executed code sees it as `scene`, and as `server` the means to answer
wrongly. `Fake(folder).blender(…)` writes a program that the sandbox starts as if it were a Blender binary.
"""

import json
import os
import sys
import textwrap
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FACTORS = ("structure", "geometry", "transform", "material", "camera", "light", "world", "view", "host")
HEADER = b"BLENDER-v405\0\0\0\0\0"

PROGRAM = """\
#!{python}
import sys
sys.path[:0] = [{root!r}, {here!r}]
from fake_blender import Server
Server(sys.argv, **{options!r}).run()
"""


def fake(folder, **options):
    """A Blender of kind "binary". Options: `at_boot`, code run before hello; `version`; `protocol`."""
    from sandbox.discovery import Blender
    from sandbox.probing import Facts

    program = folder / "blender"
    text = PROGRAM.format(python=sys.executable, root=str(ROOT), here=str(Path(__file__).parent), options=options)
    program.write_text(text)
    program.chmod(0o755)
    facts = Facts(version="4.5.0", python="3.11", engines=())
    fields = {"version": "4.5.0", "python": "3.11", "vendor": folder, "found": "PATH", "facts": facts}
    return Blender(executable=program, kind="binary", **fields)


def empty():
    factors = {name: {} for name in FACTORS}
    factors["structure"]["scene:Scene"] = "0"
    return {"factors": factors, "topology": {}, "objects": {}}


def adding(name, **more):
    """Code that adds a mesh object as the real server would see it."""
    return textwrap.dedent(f"""\
        scene["objects"][{name!r}] = "MESH"
        scene["topology"]["mesh:{name}"] = "t"
        kinds = {{"structure": ["object"], "geometry": ["object", "mesh"], "transform": ["object"],
                 "material": ["mesh", "slots"]}}
        for factor, kind in ((factor, kind) for factor in kinds for kind in kinds[factor]):
            scene["factors"][factor][kind + ":{name}"] = "1"
        """)


def setting(factor, key, value):
    return f"scene['factors'][{factor!r}][{key!r}] = {value!r}\n"


class Refused(Exception):
    def __init__(self, code, message, **data):
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Server:
    def __init__(self, argv, at_boot="", version="4.5.0", protocol=1):
        import zmq

        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        options = dict(zip(argv[argv.index("--") + 1 :: 2], argv[argv.index("--") + 2 :: 2], strict=True))
        os.chdir(options["--folder"])
        self.epoch, self.scene, self.version, self.protocol = options["--epoch"], empty(), version, protocol
        self.instead = {}
        """Method → code to run in the place of its handler."""
        exec(at_boot, {"server": self})
        self.socket = zmq.Context().socket(zmq.DEALER)
        self.socket.connect("ipc://r")

    def run(self):
        self.reply(0, "hello", self.hello())
        while True:
            self.answer(*self.take())

    def take(self):
        from protocol import wire

        message = wire.decode(self.socket.recv_multipart())
        return message.id, message.method, message.body

    def reply(self, id, method, body, payloads=(), **header):
        from protocol import wire

        message = wire.Message(
            wire.REPLY, header.pop("epoch", self.epoch), id, method, body=body, payloads=payloads, **header
        )
        self.socket.send_multipart(wire.encode(message))

    def answer(self, id, method, body):
        try:
            if method in self.instead:
                exec(self.instead[method], {"server": self, "id": id, "method": method, "body": body})
                return
            self.reply(id, method, getattr(self, method)(**body))
        except Refused as refused:
            self.reply(id, method, refused.data, status=refused.code, message=refused.message)

    def hello(self):
        about = {"python": "3.11", "pid": os.getpid(), "numpy": False, "engines": []}
        return {"protocol": self.protocol, "blender": self.version, **about}

    def execute(self, source, seed, keep_slots):
        began = time.monotonic()
        try:
            exec(source, {"scene": self.scene, "server": self, "__name__": "__main__"})
        except BaseException as error:
            data = {"traceback": traceback.format_exc(), "line": 1, "stdout": "printed"}
            raise Refused("script_error", str(error), **data) from None
        return {"stdout": "printed", "duration_s": time.monotonic() - began}

    def settle(self):
        return {"resets": ["render engine: EEVEE → CYCLES"] if self.scene.pop("reset", False) else []}

    def inspect(self, subject, name, short=False):
        return {"what": {"objects": sorted(self.scene["objects"])}}

    def fingerprint(self):
        return {name: self.scene[name] for name in ("factors", "topology", "objects")}

    def describe(self, keys):
        return {"texts": {key: {"value": self.scene["factors"][factor].get(key, "none")} for factor, key in keys}}

    def snapshot(self, file):
        data = HEADER + json.dumps(self.scene).encode()
        Path(file).write_bytes(data)
        return {"file": file, "bytes": len(data)}

    def restore(self, file):
        self.scene = json.loads(Path(file).read_bytes()[len(HEADER) :]) if file else empty()
        exec(self.scene.get("on_open", ""), {"server": self})
        return {"objects": len(self.scene["objects"])}
