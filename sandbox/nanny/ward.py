"""Owns the Blender in a nanny's care: its process, its link, its folder, from boot to the end of its tree."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol import wire
from protocol.errors import ProcessFault, ProtocolViolated
from protocol.link import Context, Link
from protocol.models import REQUESTS
from sandbox.limits import Limits
from sandbox.nanny.process import BlenderProcess
from sandbox.nanny.requests import LookReply, Settings
from sandbox.scratch import copy, remove

log = logging.getLogger(__name__)

RESTLESS_S, RESTLESS_SHARE = 0.2, 0.3
"""Processor time while idle, at least and as a share of the time, that only a thread left behind explains."""
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Unfit(Exception):
    """A file that cannot be taken, from Blender or from outside."""


class Ward:
    """Booting when constructed. After a ProcessFault its root is killed; `end` ends the rest."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings, self.limits = settings, settings.limits
        self._folder = settings.worker_folder
        self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._ending, self._ended = threading.Lock(), False
        self._idle_since, self._used_until_idle_s = time.monotonic(), 0.0
        self._link = Link(context, self._folder, settings.mark, settings.limits.reply_bytes)
        self.process = BlenderProcess(
            settings.blender,
            settings.limits,
            self._folder,
            settings.log_file,
            settings.mark,
            settings.level,
            readable=settings.readable,
            gpu=settings.gpu,
        )
        self._link.watch(self.process)

    def hello(self) -> wire.Message:
        """What it says of itself, with the number under which it runs here."""
        message = self._watched(lambda: self._link.hello(self.limits.boot_s))
        message.body["pid"] = self.process.pid
        return message

    def ask(self, method: str, body: dict[str, Any], timeout_s: float) -> wire.Message:
        """The answer, whatever it is; raises a ProcessFault when none can come any more."""
        self.process.begin_call()
        try:
            kind = REQUESTS[method]
            return self._watched(lambda: self._link.receive(self._link.send(method, body, timeout_s), kind.reply_bytes))
        finally:
            self._idle_since, self._used_until_idle_s = time.monotonic(), self.process.processor_s()

    def open(self, file: Path | None, timeout_s: float) -> wire.Message:
        """Open a copy of a file, under a name that nobody can have guessed."""
        if file is None:
            return self.ask("restore", {"file": ""}, timeout_s)
        return self.reopen(self._put(file), timeout_s)

    def save(self, target: Path, timeout_s: float) -> wire.Message:
        """Save the scene and copy the file out. Raises Unfit where that is not possible."""
        name = _new_name()
        message = self.ask("snapshot", {"file": name}, timeout_s)
        if message.status == wire.OK:
            message.body["file"], message.body["bytes"] = name, self._take(name, target)
        return message

    def reopen(self, name: str, timeout_s: float) -> wire.Message:
        """Open a file of its own folder, then remove it."""
        try:
            return self.ask("restore", {"file": name}, timeout_s)
        finally:
            self._remove(name)

    def look(self) -> LookReply:
        return LookReply(unfit=self._unfit(), memory_bytes=self._memory_bytes(), dropped=dict(self._link.dropped))

    def limit(self, limits: Limits) -> None:
        self.limits = limits
        self.process.limit(limits)

    def end(self) -> None:
        """End the whole tree and remove its folder. May be called from any thread, and twice."""
        with self._ending:
            if not self._ended:
                self._ended = True
                if self._link.dropped:
                    log.warning("messages that answered nothing: %s", dict(self._link.dropped))
                self.process.kill()
                self.process.close()
                remove(self._folder)

    def _watched(self, call: Callable[[], wire.Message]) -> wire.Message:
        try:
            return call()
        except ProcessFault:
            self.process.kill_root()
            raise

    def _memory_bytes(self) -> int:
        return self.process.tree.memory_bytes()

    def _unfit(self) -> str:
        if self.process.ended:
            return "it had ended unasked"
        if self.process.has_company():
            return "what an edit started in it still runs"
        idle_s, used_s = time.monotonic() - self._idle_since, self.process.processor_s() - self._used_until_idle_s
        if used_s > max(RESTLESS_S, RESTLESS_SHARE * idle_s):
            return f"it worked for {used_s:.1f} s though nothing was asked of it"
        return ""

    def _put(self, file: Path) -> str:
        name = _new_name()
        try:
            source = open(file, "rb")  # noqa: SIM115  (closed below)
        except OSError as error:
            raise Unfit(f"{file} cannot be read: {error.strerror}") from error
        try:
            target = os.open(name, CREATE, 0o600, dir_fd=self._folder_fd)
            with source, os.fdopen(target, "wb"):
                copy(source.fileno(), target)
        except OSError as error:
            self.process.kill_root()
            raise ProtocolViolated("restore", f"its folder cannot be written to: {error.strerror}") from error
        return name

    def _take(self, name: str, target: Path) -> int:
        """Copy a plain file of at most `file_bytes` out of Blender's folder; bytes copied."""
        limit = self.limits.file_bytes
        try:
            source = os.open(name, READ, dir_fd=self._folder_fd)
            with os.fdopen(source, "rb"), open(target, "r+b") as copied:
                status = os.fstat(source)
                if not stat.S_ISREG(status.st_mode):
                    raise Unfit("what was saved is no plain file")
                if status.st_size > limit:
                    raise Unfit(f"the file is larger than {limit:,} bytes")
                copy(source, copied.fileno(), limit)
                return os.fstat(copied.fileno()).st_size
        except OSError as error:
            raise Unfit(f"what was saved cannot be kept: {error.strerror}") from error

    def _remove(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._folder_fd)
        except OSError:
            pass  # the code inside was quicker, or made a folder of it


def _new_name() -> str:
    return f"{secrets.token_hex(8)}.blend"
