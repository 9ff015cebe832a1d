"""Owns a Blender that can be asked: its nanny, and the client that talks to it, from boot to the end of its tree."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from protocol import wire
from protocol.client import NANNY_PATIENCE_S, Answer, Client, Pending
from protocol.errors import BlenderError, ProcessFault, SetupFailed
from protocol.link import Context
from protocol.models import Gpu, HelloReply, Request, SnapshotReply
from sandbox.blend_file import NoBlendFile, refuse_newer
from sandbox.confinement import paths
from sandbox.confinement.levels import Level
from sandbox.discovery import Blender
from sandbox.limits import MIB, Limits, Recycled, Recycling
from sandbox.nannies import NannyProcess
from sandbox.nanny.requests import (
    LimitRequest,
    LookReply,
    LookRequest,
    OpenRequest,
    ReopenRequest,
    SaveRequest,
    Settings,
)

T = TypeVar("T")


class Worker:
    """Booted when constructed. After a ProcessFault nothing of it is left running; it is only good to be closed."""

    hello: HelloReply

    def __init__(
        self,
        blender: Blender,
        limits: Limits,
        folders: tuple[Path, Path],
        log_file: Path,
        context: Context,
        *,
        level: Level = Level.TREE,
        gpu: Gpu = False,
        spawn: Callable[[Settings], NannyProcess] = NannyProcess,
        on_fault: Callable[[ProcessFault], None] = lambda fault: None,
    ) -> None:
        """`folders`: the nanny's and Blender's, each its own, empty, gone with it."""
        self.limits, self._level, self._on_fault = limits, level, on_fault
        self.folder, self.log_file = folders[1], log_file
        """Blender's own; what it prints."""
        settings = Settings(
            blender=blender,
            limits=limits,
            level=level,
            gpu=gpu,
            readable=tuple(paths.of_blender(blender)),
            folder=folders[0],
            worker_folder=folders[1],
            log_file=log_file,
            epoch=secrets.token_hex(16),
            mark=secrets.token_hex(16),
        )
        self.lost = False
        """Whether it ended by a fault."""
        self._calls, self._opened, self._first_bytes = 0, 0, 0
        self._closing, self._closed = threading.Lock(), False
        self._client = Client(context, folders[0], settings.epoch, limits.reply_bytes, nannied=True)
        try:
            self.nanny = spawn(settings)
        except BaseException:
            self._client.close()
            raise
        self._client.watch(self.nanny)
        try:
            self.hello = self._say_hello(blender)
        except BaseException:
            self.close()
            raise
        self._booted = time.monotonic()

    def __repr__(self) -> str:
        return f"<Blender {self.hello.blender} pid={self.hello.pid}>"

    @property
    def ended(self) -> bool:
        return self.nanny.ended

    def call(self, request: Request, timeout_s: float | None = None) -> Answer:
        """Ask and wait; a fault has ended the whole tree when it is raised, or is about to."""
        return self.finish(self.begin(request, timeout_s))

    def begin(self, request: Request, timeout_s: float | None = None) -> Pending:
        self._calls += 1
        self._opened += isinstance(request, OpenRequest | ReopenRequest)
        return self._ending(lambda: self._client.begin(request, timeout_s))

    def finish(self, pending: Pending) -> Answer:
        return self._ending(lambda: self._client.finish(pending))

    def restore(self, file: Path | None) -> None:
        """Open a copy of a file from outside the box (None: the empty start); a newer Blender's raises SetupFailed."""
        if file is not None:
            with contextlib.suppress(NoBlendFile):  # what it is then, Blender says
                refuse_newer(file, self.hello.blender)
        self.call(OpenRequest(file=file))

    def save(self, target: Path) -> str:
        """Save the scene and copy it into an empty file outside the box; its name in the worker's folder."""
        return cast(SnapshotReply, self.call(SaveRequest(target=target))[0]).file

    def begin_reopen(self, saved: str) -> Pending:
        """Start to open what it has saved itself."""
        return self.begin(ReopenRequest(file=saved))

    def look(self) -> LookReply:
        """How it is, as its nanny sees it."""
        return cast(LookReply, self.call(LookRequest())[0])

    def worn(self, place: str, bounds: Recycling) -> Recycled | None:
        """Why a fresh one should take its place, though nothing is wrong with it; None where it may go on."""
        used, age_s = self.look().memory_bytes, time.monotonic() - self._booted
        self._first_bytes = self._first_bytes or used
        grown = used - self._first_bytes
        may_grow = min(bounds.growth_bytes, self.limits.memory_bytes // 3)
        if self._opened >= bounds.opened:
            reason = f"it has opened {self._opened} scenes"
        elif age_s >= bounds.age_s:
            reason = f"it has worked for {age_s:.0f} s"
        elif self._calls > bounds.settling_calls and grown > may_grow:
            reason = f"it has grown by {grown // MIB} MiB to {used // MIB} MiB"
        else:
            return None
        return Recycled(place=place, reason=reason, opened=self._opened, age_s=round(age_s, 1), memory_bytes=used)

    def limit(self, limits: Limits) -> None:
        """Other limits from here on."""
        if limits != self.limits:
            self.call(LimitRequest(limits=limits))
            self.limits = limits

    def close(self) -> None:
        """End the whole tree and remove its folders. Closing twice is harmless."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self.nanny.close()
                self._client.close()

    def _ending(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ProcessFault as fault:
            fault.level, self.lost = str(self._level), not self.nanny.told
            if not self.nanny.told:  # not one that nobody wanted any more
                self._on_fault(fault)
            self.nanny.tell_to_end()
            raise

    def _say_hello(self, blender: Blender) -> HelloReply:
        try:
            hello = self._client.wait_hello(self.limits.boot_s + NANNY_PATIENCE_S)
        except BlenderError as error:
            message = f"Blender {blender.version} ({blender.executable}) did not start: {error}"
            raise SetupFailed(message, "See its log, and `doctor`.", getattr(error, "log_tail", "")) from error
        self.nanny.knows(hello.pid)
        if hello.protocol != wire.VERSION:
            message = f"the server in Blender speaks protocol {hello.protocol}, this side {wire.VERSION}"
            raise SetupFailed(message, "Use both from the same checkout.")
        return hello
