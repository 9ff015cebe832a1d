"""Owns what hostile code is offered to reach, and the knowledge of whether it did."""

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

BYSTANDER = """
import os, signal, sys
signal.signal(signal.SIGURG, lambda *_: os._exit(1))
sys.stdin.read()
"""
"""Ends at a signal that everybody else ignores."""


class Canaries:
    """All that `targets` names, for the length of a `with` block. Nothing here is worth anything to anybody."""

    def __enter__(self):
        self._undo = contextlib.ExitStack()
        self.secret = secrets.token_hex(16)
        self._buffer = ctypes.create_string_buffer(self.secret.encode())
        self.seen = []
        self.folder = Path(tempfile.mkdtemp(prefix=".seig-canary-", dir=Path.home()))
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.refill()
        self._bystander()
        self.targets = {
            "agent": os.getpid(),
            "address": ctypes.addressof(self._buffer),
            "length": len(self.secret),
            "bystander": self.bystander.pid,
            "folder": str(self.folder),
            "tcp": self._listens("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": self._listens("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "path socket": self._listens("path socket", socket.AF_UNIX, socket.SOCK_STREAM, f"{self.folder}/s"),
            "abstract socket": self._listens(
                "abstract socket", socket.AF_UNIX, socket.SOCK_STREAM, f"\0seig-{self.secret}"
            ),
            "environ": hashlib.sha256(Path("/proc/self/environ").read_bytes()).hexdigest(),
        }
        return self

    def __exit__(self, *_):
        self._undo.close()

    def refill(self):
        """What may have been deleted or changed is there again."""
        (self.folder / "store").mkdir(exist_ok=True)
        for name in ("secret", "store/state.blend"):
            (self.folder / name).write_text(self.secret)

    def touched(self):
        """What was done to them since the last look."""
        done, self.seen[:] = set(self.seen), []
        for name in ("secret", "store/state.blend"):
            with contextlib.suppress(OSError):
                if (self.folder / name).read_text() == self.secret:
                    continue
            done.add(name)
        done |= {"new file" for path in self.folder.rglob("new*") if not path.unlink()}
        if self.bystander.poll() is not None:
            done.add("bystander")
            self._bystander()
        self.refill()
        return done

    def _bystander(self):
        """A process of the user's that has nothing to do with it all."""
        self.bystander = subprocess.Popen([sys.executable, "-I", "-S", "-c", BYSTANDER], stdin=subprocess.PIPE)
        self._undo.callback(self._end, self.bystander)
        if hasattr(self, "targets"):
            self.targets["bystander"] = self.bystander.pid

    @staticmethod
    def _end(process):
        process.kill()
        process.wait()
        process.stdin.close()

    def _listens(self, name, family, kind, address):
        """Notes whoever connects or sends; the port."""
        server = socket.socket(family, kind)
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen()
        thread = threading.Thread(target=self._note, args=(name, server), daemon=True)
        thread.start()
        self._undo.callback(thread.join, 5)
        self._undo.callback(server.close)
        with contextlib.suppress(AttributeError):
            self._undo.callback(self._shut, server)
        return server.getsockname()[1] if family == socket.AF_INET else address

    @staticmethod
    def _shut(server):
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _note(self, name, server):
        try:
            while True:
                if server.type == socket.SOCK_STREAM:
                    server.accept()[0].close()
                elif not server.recv(100):
                    return  # shut down
                self.seen.append(name)
        except OSError:
            pass
