"""Owns what the probes try their hand at: a process with a secret, files, sockets. None of it is the user's own."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sandbox.scratch import temporary_folder

SIGNAL_S = 1.0
IN_HOME, ABANDONED_S = ".seig-canary-", 3600.0
"""How the file in the user's home is named, and the age from which its process must have been killed."""


class Canaries:
    """Set out on entering, gone on leaving. Afterwards each can be asked whether it was touched."""

    def __enter__(self) -> Canaries:
        with ExitStack() as stack:
            self.secret = secrets.token_hex(16)
            self._run, self.folder = (stack.enter_context(temporary_folder()) for _ in range(2))
            self._files(stack)
            self._sockets(stack)
            self._process(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def targets(self) -> dict[str, Any]:
        """What the attempts are told."""
        return {
            "pid": self._victim.pid,
            "parent": os.getpid(),
            "home": str(self._home),
            "run": str(self._run / "key"),
            "long": str(self._run / "long"),
            "new": str(self._run / "new"),
            "tcp": self._tcp.getsockname(),
            "udp": self._udp.getsockname(),
            "abstract": f"seig-{self.secret}",
            "path": str(self._run / "socket"),
            "folder": str(self.folder),
        }

    def touched(self, claimed: set[str]) -> set[str]:
        """The attempts that left a mark out here, whatever they said of themselves. One that claims to have signalled
        is given a moment to take effect."""
        key, long = self._run / "key", self._run / "long"
        marks = {
            "write": (self._run / "new").exists(),
            "mode": key.stat().st_mode & 0o777 != 0o600,
            "truncate": long.stat().st_size == 0,
            "signal": self._has_ended(SIGNAL_S if "signal" in claimed else 0),
            "limits": self._limit() != self._limit_before,
            "tcp": _was_reached(self._tcp),
            "udp": _was_reached(self._udp),
            "abstract socket": _was_reached(self._abstract),
            "path socket": _was_reached(self._path),
        }
        return {name for name, left in marks.items() if left}

    def _files(self, stack: ExitStack) -> None:
        home = Path(os.path.expanduser("~"))
        _remove_abandoned(home)
        self._home = home / f"{IN_HOME}{secrets.token_hex(4)}"
        for path in (self._home, self._run / "key", self._run / "long"):
            try:
                path.touch(mode=0o600)
                path.write_text(self.secret)
            except OSError:  # a home that cannot be written to, or none
                continue
        stack.callback(self._home.unlink, missing_ok=True)

    def _sockets(self, stack: ExitStack) -> None:
        self._tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._udp.bind(("127.0.0.1", 0))
        self._abstract, self._path = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        for listener, address in ((self._abstract, f"\0seig-{self.secret}"), (self._path, str(self._run / "socket"))):
            listener.bind(address)
            listener.listen()
        for one in (self._tcp, self._udp, self._abstract, self._path):
            one.setblocking(False)

    def _process(self, stack: ExitStack) -> None:
        """One like the agent: of the same user and with the same rights, with a secret in its environment."""
        sleeper = [sys.executable, "-ISc", "import time; time.sleep(60)"]
        self._victim = subprocess.Popen(sleeper, env={"SECRET": self.secret}, stdin=subprocess.DEVNULL)
        stack.callback(self._victim.wait)
        stack.callback(self._victim.kill)
        self._limit_before = self._limit()

    def _has_ended(self, patience_s: float) -> bool:
        try:
            self._victim.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _limit(self) -> str:
        try:
            return Path(f"/proc/{self._victim.pid}/limits").read_text()
        except OSError:
            return ""


def _remove_abandoned(home: Path) -> None:
    with contextlib.suppress(OSError):
        for path in home.glob(IN_HOME + "*"):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()


def _was_reached(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_DGRAM:
            return bool(listener.recv(64))
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
