"""Owns the pieces of hostile code that several rows share: finding the server it runs in, speaking to the nanny raw."""

SERVER = """
import sys
def server():
    frame = sys._getframe()
    while frame is not None:
        for value in frame.f_locals.values():
            if type(value).__name__ == "Server" and hasattr(value, "_socket"):
                return value
        frame = frame.f_back
S = server()
"""
"""`S` is the server that runs this code, found by walking frames."""

WIRE = (
    SERVER
    + """
import struct, os, time
from protocol import wire
def reply(id, method, body=None, payloads=(), epoch=None, **header):
    epoch = S._epoch if epoch is None else epoch
    S._socket.send_multipart(wire.encode(wire.Message(
        wire.REPLY, epoch, id, method, body=body or {}, payloads=payloads, **header)))
MINE = S._last_id + 1
DONE = {"stdout": "", "duration_s": 0.0}
"""
)
"""`reply(…)` answers in the server's name; `MINE` is the id of the request that runs this code."""

RAW = """
import os, socket, struct, time
def frame(data, more=False, command=False):
    flags = (1 if more else 0) | (4 if command else 0)
    if len(data) > 255:
        return struct.pack(">BQ", flags | 2, len(data)) + data
    return struct.pack(">BB", flags, len(data)) + data
def ready():
    def item(name, value):
        return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return frame(b"\\x05READY" + item(b"Socket-Type", b"DEALER") + item(b"Identity", b""), command=True)
def connected():
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    raw.settimeout(5)
    raw.connect("r")
    raw.sendall(b"\\xff" + bytes(8) + b"\\x7f" + b"\\x03\\x00" + b"NULL".ljust(20, b"\\0") + b"\\0" + bytes(31))
    got = b""
    while len(got) < 64:
        got += raw.recv(64 - len(got))
    raw.sendall(ready())
    raw.recv(1000)
    raw.settimeout(None)
    return raw
"""
"""`connected()` is a socket that speaks ZMTP 3.0 to the nanny, as a second peer, by hand."""


def saving(change):
    """An edit that moves something and changes, by one line of code, the bytes `data` that are saved."""
    return f"""
bpy.data.objects['Cup'].location.x += 1
import os
from blender_server import editing
real = editing.save
def save(path):
    real(path)
    with open(path, 'rb') as file:
        data = file.read()
    {change}
    with open(path, 'wb') as file:
        file.write(data)
editing.save = save
"""
