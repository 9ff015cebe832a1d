"""Owns a Blender that can be asked: the process and the client that talks to it, from boot to the end of its tree."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import zmq

from protocol import wire
from protocol.client import Answer, Client, Pending
from protocol.errors import BlenderError, ProcessFault, ProtocolViolated, SetupFailed
from protocol.models import HelloReply, Request, RestoreRequest, SnapshotRequest
from sandbox.confinement.levels import Level
from sandbox.discovery import Blender
from sandbox.limits import Limits
from sandbox.process import BlenderProcess
from sandbox.scratch import copy, remove
from sandbox.snapshots import SnapshotUnfit

Context = zmq.Context[zmq.Socket[bytes]]
Spawn = Callable[[Callable[[], BlenderProcess]], BlenderProcess]
"""Runs the start in a thread that outlives the process."""


RESTLESS_S, RESTLESS_SHARE = 0.2, 0.3
"""Processor time while idle, at least and as a share of the time, that only a thread left behind explains."""


class Saved(NamedTuple):
    """A scene that a worker has written."""

    name: str
    """In the worker's folder, where it may be replaced by anything at any time."""
    descriptor: int
    """Open for reading; of what it was when it had just been saved. Whoever takes it closes it."""


class Worker:
    """Booted when constructed. After a ProcessFault nothing of it is left running; it is only good to be closed."""

    hello: HelloReply

    def __init__(
        self,
        blender: Blender,
        limits: Limits,
        folder: Path,
        log_file: Path,
        context: Context,
        spawn: Spawn,
        level: Level = Level.PROCESS,
    ) -> None:
        self.folder, self.limits = folder, limits
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        epoch = secrets.token_hex(16)
        self._closing, self._closed = threading.Lock(), False
        self._idle_since, self._used_until_idle_s = time.monotonic(), 0.0
        self._client = Client(context, folder, epoch, limits.reply_bytes)
        try:
            self.process = spawn(lambda: BlenderProcess(blender, limits, folder, log_file, epoch, level))
        except BaseException:
            self._client.close()
            os.close(self._folder_fd)
            raise
        self._client.watch(self.process)
        try:
            self.hello = self._say_hello(blender)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Blender {self.hello.blender} pid={self.process.pid}>"

    @property
    def ended(self) -> bool:
        return self.process.ended

    def call(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Ask and wait; a fault ends the whole tree before it is raised."""
        return self.finish(self.begin(request, timeout_s))

    def begin(self, request: Request, timeout_s: float | None = None) -> Pending:
        self.process.begin_call()
        try:
            return self._client.begin(request, timeout_s)
        except ProcessFault:
            self.process.kill_root()
            raise

    def finish(self, pending: Pending) -> Answer:
        try:
            return self._client.finish(pending)
        except ProcessFault:
            self.process.kill_root()
            raise
        finally:
            self._idle_since, self._used_until_idle_s = time.monotonic(), self.process.processor_s()

    def restore(self, file: Path | None) -> None:
        """Open a file from outside the box (None: the empty start)."""
        self._restore(self._put(file) if file else "")

    def restore_lent(self, file: Path) -> None:
        """Open a file without copying it. Only for one that is thrown away if it changes, in a process that executes
        nothing generated: the worker could write to it."""
        name = _new_name()
        try:
            os.link(file, name, dst_dir_fd=self._folder_fd, follow_symlinks=False)
        except OSError:  # on another disk
            return self.restore(file)
        self._restore(name)

    def save(self) -> Saved:
        """Save the scene into the worker's folder."""
        name, flags = _new_name(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self.call(SnapshotRequest(file=name))
        try:
            return Saved(name, os.open(name, flags, dir_fd=self._folder_fd))
        except OSError as error:
            raise SnapshotUnfit(f"what was saved cannot be read: {error.strerror}") from error

    def begin_reopen(self, saved: Saved) -> Pending:
        """Start to open what it has saved itself."""
        return self.begin(RestoreRequest(file=saved.name))

    def finish_reopen(self, pending: Pending) -> None:
        """Wait until it is open; the file in the worker's folder is removed."""
        assert isinstance(pending.request, RestoreRequest)
        try:
            self.finish(pending)
        finally:
            self._remove(pending.request.file)

    def unfit(self) -> str:
        """Why it should not run another edit: what the last one left behind. Empty when it may."""
        if self.ended:
            return "it had ended unasked"
        self.process.tree.refresh()
        if len(self.process.tree) > 1 + self.process.confinement.helpers:
            return "what an edit started in it still runs"
        idle_s, used_s = time.monotonic() - self._idle_since, self.process.processor_s() - self._used_until_idle_s
        if used_s > max(RESTLESS_S, RESTLESS_SHARE * idle_s):
            return f"it worked for {used_s:.1f} s though nothing was asked of it"
        return ""

    def holds_too_much(self) -> bool:
        """Whether it kept, of an edit that was undone, so much memory that the next would pay for it."""
        return self.process.tree.memory_bytes() > self.limits.memory_bytes // 2

    def _restore(self, name: str) -> None:
        self.finish_reopen(self.begin(RestoreRequest(file=name)))

    def _put(self, file: Path) -> str:
        """Copy a file into the worker's folder under a name that nobody can have guessed."""
        name, flags = _new_name(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            target = os.open(name, flags, 0o600, dir_fd=self._folder_fd)
            with open(file, "rb") as source, os.fdopen(target, "wb"):
                copy(source.fileno(), target)
        except OSError as error:
            self.process.kill_root()
            raise ProtocolViolated("restore", f"its folder cannot be written to: {error.strerror}") from error
        return name

    def _remove(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._folder_fd)
        except OSError:
            pass  # the code inside was quicker, or made a folder of it

    def close(self) -> None:
        """End the whole tree and remove its folder. Closing twice is harmless."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self.process.kill()
                self._client.close()
                self.process.close()
                os.close(self._folder_fd)
                remove(self.folder)

    def _say_hello(self, blender: Blender) -> HelloReply:
        try:
            hello = self._client.wait_hello(self.limits.boot_s)
        except BlenderError as error:
            message = f"Blender {blender.version} ({blender.executable}) did not start: {error}"
            raise SetupFailed(message, "See its log, and `doctor`.", self.process.log_tail()) from error
        if hello.protocol != wire.VERSION:
            message = f"the server in Blender speaks protocol {hello.protocol}, this side {wire.VERSION}"
            raise SetupFailed(message, "Use both from the same checkout.")
        return hello


def _new_name() -> str:
    return f"{secrets.token_hex(8)}.blend"
