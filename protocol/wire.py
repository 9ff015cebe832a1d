"""Owns the frames: how a request or a reply becomes `[header, body, *payloads]` and is read back without trust.

Plain Python 3.7, standard library and msgpack only: Blender imports this file too. Sockets, ids and deadlines belong to
`client.py` on one side and `blender_server/server.py` on the other. Nothing here ever unpickles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

import msgpack

VERSION = 1
OK = "ok"
REQUEST, REPLY = "request", "reply"
HELLO_ID = 0
"""The id of the reply-shaped message that a server sends unasked when it is ready. Requests count from 1."""

HEADER_BYTES = 64 * 1024
BODY_BYTES = 16 * 1024 * 1024
"""Unpacked, hostile bytes can take some sixty times their size."""
MESSAGE_BYTES = 512 * 1024 * 1024
"""All frames of one message together; a receiver may set a lower cap of its own."""
PAYLOADS = 4096

_HEADER_TYPES = {
    "v": int, "kind": str, "epoch": str, "id": int, "method": str, "status": str, "message": str, "deadline_s": float,
}  # fmt: skip


class WireError(ValueError):
    """These frames are no message of ours, or the message is too large to be sent."""


@dataclass(frozen=True)
class Message:
    """One request or reply. `body` holds the request's fields, the reply's fields or, with an error, its data."""

    kind: str
    epoch: str
    id: int
    method: str
    status: str = OK
    """OK or one of the codes in `errors.py`."""
    message: str = ""
    deadline_s: float = 0.0
    """How long the asker will wait; 0 in replies."""
    body: Dict[str, Any] = field(default_factory=dict)
    payloads: Tuple[bytes, ...] = ()


def encode(message: Message, limit_bytes: int = MESSAGE_BYTES) -> List[bytes]:
    """The frames to send, or WireError when the message would break a cap."""
    header = {name: getattr(message, name) for name in _HEADER_TYPES if name != "v"}
    header.update(v=VERSION, deadline_s=float(message.deadline_s))
    try:
        frames = [_pack(header), _pack(message.body)]
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError("{}: cannot be packed: {}".format(message.method, error)) from error
    frames.extend(message.payloads)
    _check_sizes(frames, limit_bytes)
    return frames


def decode(frames: Sequence[bytes], limit_bytes: int = MESSAGE_BYTES) -> Message:
    """Read frames from a peer that may send anything; WireError says what is wrong with them."""
    _check_sizes(frames, limit_bytes)
    header = _unpack(frames[0], "header")
    if header.get("v") != VERSION:
        raise WireError("protocol version {!r}, expected {}".format(header.get("v"), VERSION))
    if header.keys() != _HEADER_TYPES.keys():
        raise WireError("header fields {!r}".format(sorted(header)[:16]))
    for name, kind in _HEADER_TYPES.items():
        if type(header[name]) is not kind:
            raise WireError("header field {}: {}".format(name, type(header[name]).__name__))
    if header["kind"] not in (REQUEST, REPLY) or header["id"] < 0:
        raise WireError("header kind {!r}, id {}".format(header["kind"][:20], header["id"]))
    del header["v"]
    return Message(body=_unpack(frames[1], "body"), payloads=tuple(frames[2:]), **header)


def _check_sizes(frames: Sequence[bytes], limit_bytes: int) -> None:
    if not 2 <= len(frames) <= 2 + PAYLOADS:
        raise WireError("{} frames".format(len(frames)))
    if len(frames[0]) > HEADER_BYTES or len(frames[1]) > BODY_BYTES:
        raise WireError("header of {} bytes, body of {} bytes".format(len(frames[0]), len(frames[1])))
    total = sum(len(frame) for frame in frames)
    if total > limit_bytes:
        raise WireError("message of {} bytes, {} allowed".format(total, limit_bytes))


def _pack(fields: Dict[str, Any]) -> bytes:
    """Half a surrogate pair, which code may well print, becomes a question mark."""
    packed = msgpack.packb(fields, use_bin_type=True, unicode_errors="replace")
    return bytes(packed)


def _unpack(data: bytes, what: str) -> Dict[str, Any]:
    """A msgpack map with text keys and nothing but plain values in it; lengths are bounded by the data's own."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, ext_hook=_refuse, max_ext_len=0)
    except Exception as error:  # msgpack raises a dozen kinds; every one means the same
        raise WireError("{}: {}: {}".format(what, type(error).__name__, error)) from error
    if not isinstance(value, dict) or any(type(key) is not str for key in value):
        raise WireError("{}: not a map with text keys".format(what))
    return value


def _refuse(code: int, _data: bytes) -> None:
    raise ValueError("extension type {}".format(code))
