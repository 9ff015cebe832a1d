"""Owns what a Blender prints: always drained, so that it never blocks; the end kept, the rest in a capped log file."""

from __future__ import annotations

import os
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

    def _drain(self) -> None:
        try:
            while data := os.read(self._pipe, 65536):
                self._keep(data)
        except OSError:
            pass
        finally:
            os.close(self._pipe)
            self._log.close()

    def _keep(self, data: bytes) -> None:
        with self._lock:
            self.total += len(data)
            self._ring += data
            del self._ring[:-RING_BYTES]
        if self._left > 0:
            self._left -= len(data)
            end = b"" if self._left > 0 else b"\n[log full: what follows is not kept]\n"
            try:
                self._log.write(data + end)
            except OSError:  # disk full: draining matters more than keeping
                self._left = 0
