"""A Messages API on 127.0.0.1: real HTTP and real event streams, answers and faults as a test scripts them.

It bills like the service does: a request's prefix up to a cache mark is read from the cache when an earlier request has
marked a prefix that ends at most 20 blocks before that mark.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOKBACK = 20


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def tool_use(name: str, id: str = "toolu_1", **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


@dataclass
class Answer:
    """A reply, or what becomes of one on its way."""

    content: list[dict[str, Any]] = field(default_factory=lambda: [text("Done.")])
    stop_reason: str | None = None
    model: str | None = None
    delay_s: float = 0.0
    cut_after: int | None = None
    """Ends the connection after this many events."""
    garbled: bool = False
    """Sends something that is no JSON in the middle of the stream."""
    broken_input: str | None = None
    """Said in place of each tool's input."""
    stream_error: str | None = None
    """Ends the stream with an error event of this type."""
    pings_s: float = 0.0
    """Sends nothing but keep-alive events for so long before the reply."""


@dataclass
class Fault:
    status: int
    type: str | None = "api_error"
    message: str = "as scripted"
    headers: dict[str, str] = field(default_factory=dict)
    error_code: str | None = None


class Drop:
    """The connection is reset before a byte of the reply."""


class MessagesApi:
    def __init__(self) -> None:
        self.script: deque[Answer | Fault | Drop] = deque()
        self.always: Answer | Fault | Drop = Answer()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.usages: list[dict[str, int]] = []
        self._cached: set[str] = set()
        self._lock = threading.Lock()
        self.url = ""

    def will(self, *answers: Answer | Fault | Drop) -> None:
        self.script.extend(answers)

    def next(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[Answer | Fault | Drop, dict[str, int]]:
        with self._lock:
            self.bodies.append(body)
            self.headers.append(headers)
            self.usages.append(self.bill(body))
            return (self.script.popleft() if self.script else self.always), self.usages[-1]

    def bill(self, body: dict[str, Any]) -> dict[str, int]:
        prefixes, sizes, marks = _prefixes(body)
        read = 0
        for mark in marks:
            hits = [i for i in range(max(0, mark - LOOKBACK), mark + 1) if prefixes[i] in self._cached]
            read = max([read, *(sum(sizes[: i + 1]) for i in hits)])
        self._cached |= {prefixes[mark] for mark in marks}
        marked = sum(sizes[: marks[-1] + 1]) if marks else 0
        return {
            "input_tokens": sum(sizes) - max(read, marked),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": max(0, marked - read),
            "output_tokens": 7,
        }


def _prefixes(body: dict[str, Any]) -> tuple[list[str], list[int], list[int]]:
    """Of each block: everything said to this model up to and with it, its size, and whether it is marked."""
    prefixes, sizes, marks, said = [], [], [], body["model"]
    for place, block in enumerate(_blocks(body)):
        bare = json.dumps({key: value for key, value in block.items() if key != "cache_control"})
        said += bare
        prefixes.append(said)
        sizes.append(_tokens(block, bare))
        marks += [place] if "cache_control" in block else []
    return prefixes, sizes, marks


def _tokens(block: dict[str, Any], said: str) -> int:
    """Of text a quarter of its characters, of pictures width × height / 750."""
    parts = block["content"] if block.get("type") == "tool_result" else [block]
    pictures = [part["source"]["data"] for part in parts if part.get("type") == "image"]
    heads = [base64.b64decode(data[:64]) for data in pictures]
    pixels = sum(int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big") for head in heads)
    return (len(said) - sum(map(len, pictures))) // 4 + pixels // 750


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from body.get("tools", [])
    yield from body["system"]
    for message in body["messages"]:
        yield from message["content"]


class _Handler(BaseHTTPRequestHandler):
    api: MessagesApi

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer, usage = self.api.next(body, {key.lower(): value for key, value in self.headers.items()})
        if isinstance(answer, Drop):
            self._reset()
        elif isinstance(answer, Fault):
            self._fail(answer)
        else:
            self._stream(answer, body, usage)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def _fail(self, fault: Fault) -> None:
        error: dict[str, Any] = {"type": fault.type, "message": fault.message}
        if fault.error_code:
            error["details"] = {"error_code": fault.error_code}
        data = json.dumps({"type": "error", "error": error}).encode() if fault.type else b"<html>oops</html>"
        self.send_response(fault.status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data))}.items():
            self.send_header(name, value)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, answer: Answer, body: dict[str, Any], usage: dict[str, int]) -> None:
        self.close_connection = True
        self._pause(answer.delay_s)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        try:
            for number, event in enumerate(_events(answer, body, usage)):
                if number == answer.cut_after:
                    return
                self._send(event)
                if number == 0:
                    self._keep_alive(answer.pings_s)
        except OSError:
            pass  # the client has had enough

    def _send(self, event: bytes) -> None:
        self.wfile.write(event)
        self.wfile.flush()

    def _keep_alive(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.05)):
            self._pause(0.05)
            self._send(_event("ping", {}))

    def _pause(self, seconds: float) -> None:
        self.server.stopping.wait(seconds)  # type: ignore[attr-defined]


def _event(kind: str, value: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **value})}\n\n".encode()


def _events(answer: Answer, body: dict[str, Any], usage: dict[str, int]) -> Iterator[bytes]:
    stop = answer.stop_reason or ("tool_use" if any(b["type"] == "tool_use" for b in answer.content) else "end_turn")
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": answer.model or body["model"]}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", {"message": message})
    for index, block in enumerate(answer.content):
        yield from _block_events(index, block, answer.broken_input)
    if answer.garbled:
        yield b"event: content_block_delta\ndata: {not json\n\n"
    if answer.stream_error:
        yield _event("error", {"error": {"type": answer.stream_error, "message": "as scripted"}})
        return
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield _event("message_delta", {"delta": delta, "usage": {"output_tokens": usage["output_tokens"]}})
    yield _event("message_stop", {})


def _block_events(index: int, block: dict[str, Any], broken_input: str | None = None) -> Iterator[bytes]:
    kind = block["type"]
    if kind == "tool_use":
        opening, whole = {**block, "input": {}}, broken_input or json.dumps(block["input"])
        half = len(whole) // 2
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (whole[:half], whole[half:])]
    elif kind == "thinking":
        opening = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        opening, deltas = {"type": "text", "text": ""}, [{"type": "text_delta", "text": block["text"]}]
    yield _event("content_block_start", {"index": index, "content_block": opening})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


@contextmanager
def messages_api() -> Iterator[MessagesApi]:
    """Serve until the block ends; nothing stays behind."""
    api = MessagesApi()
    handler = type("Handler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.stopping.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()
