"""Owns what a Blender prints: always drained, so that it never blocks; the end kept, the rest in a capped log file."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
import threading
from pathlib import Path

RING_BYTES = 64 * 1024


class Output:
    """Reads a pipe in a thread until every process that holds its other end is gone."""

    def __init__(self, log: Path, log_bytes: int) -> None:
        self.total = 0
        """Bytes read so far."""
        self._left = log_bytes
        self._ring = bytearray()
        self._lock = threading.Lock()
        self._log = open(log, "wb", buffering=0)  # noqa: SIM115  (closed by the thread)
        self._open = True
        self._pipe, self.inlet = os.pipe()
        """What a process writes to; to be closed here once one has it."""
        self._thread = threading.Thread(target=self._drain, name="blender-output", daemon=True)
        self._thread.start()

    def tail(self, length: int) -> str:
        """The last that was printed, printable."""
        with self._lock:
            text = bytes(self._ring[max(0, len(self._ring) - length) :]).decode(errors="replace")
        return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text.replace("\r", "\n"))

    def join(self, patience_s: float) -> None:
        """Wait for what was printed last; an escaped process may hold the pipe open, so not for ever."""
        self._thread.join(patience_s)

    def printed(self) -> int:
        """Bytes printed so far, those that were not read yet among them."""
        with self._lock:
            unread = array.array("i", [0])
            if self._open:
                fcntl.ioctl(self._pipe, termios.FIONREAD, unread)
            return self.total + unread[0]

    def _drain(self) -> None:
        readable = select.poll()
        readable.register(self._pipe, select.POLLIN)
        while self._open:
            readable.poll()
            self._log_down(self._read())
        self._log.close()

    def _read(self) -> bytes:
        """What there is; nothing once nobody can write any more."""
        with self._lock:
            data = os.read(self._pipe, 65536)
            self.total += len(data)
            self._ring += data
            del self._ring[:-RING_BYTES]
            if not data:
                self._open = False
                os.close(self._pipe)
        return data

    def _log_down(self, data: bytes) -> None:
        if self._left > 0:
            self._left -= len(data)
            end = b"" if self._left > 0 else b"\n[log full: what follows is not kept]\n"
            try:
                self._log.write(data + end)
            except OSError:  # disk full: draining matters more than keeping
                self._left = 0
