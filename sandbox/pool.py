"""Owns all Blenders of a run: any number of active ones, each a session's own, and one standby that serves them all.

The standby never executes generated code. It decides commits, and takes over where an active one is lost or a stage
begins; the next one boots in the background. Everything that a pool started is gone when its `with` block ends.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import zmq

from protocol.errors import BlenderError, BreakerOpen, ProcessFault, RequestFailed, SetupFailed
from protocol.link import Context
from protocol.models import ExecuteRequest, FingerprintReply, Gpu, PresetView, RenderReply, RenderRequest
from sandbox import kernels, logs
from sandbox.blend_file import newer, parse_version
from sandbox.breaker import Breaker
from sandbox.confinement.levels import Level
from sandbox.discovery import Blender
from sandbox.judging import Judge
from sandbox.limits import GIB, Limits, Recycled, Recycling
from sandbox.machine import available_bytes, processors
from sandbox.nannies import NannyProcess
from sandbox.nanny.requests import Settings
from sandbox.scratch import Scratch
from sandbox.snapshots import Snapshot, SnapshotStore
from sandbox.transaction import SceneSession
from sandbox.worker import Worker

log = logging.getLogger(__name__)

BOOT_ATTEMPTS, BOOT_ATTEMPTS_LATER = 2, 5
"""In a row: where none has ever started, which more patience will not mend, and where one has."""
FIRST_WAIT_S = 0.5
"""Before the second attempt; doubled with each one."""
TRIAL_SCENE = "import bpy; bpy.ops.mesh.primitive_cube_add(); bpy.ops.object.light_add(location=(2, -3, 4))"
TRIAL = RenderRequest(view=PresetView(side="three_quarter"), width_px=64, height_px=64, samples=4)
TRIAL_S = 900.0
"""For the first picture of a graphics card whose kernels have to be compiled."""
OnFault = Callable[[ProcessFault], None]
OnRecycled = Callable[[Recycled], None]
RECYCLING = Recycling()
TYPICAL_BYTES = 3 * GIB // 4
"""What a session takes with an ordinary scene while it renders."""
STANDBY_BYTES = GIB // 2
ROOM = "Look at free space, open files and rights of the run folder and of TMPDIR."


class Pool:
    """`with Pool(blender, limits, store, logs) as pool, pool.session() as scene: scene.edit(…)`"""

    def __init__(
        self,
        blender: Blender,
        limits: Limits,
        store: SnapshotStore,
        logs: Path,
        standby: bool = True,
        on_fault: OnFault | None = None,
        level: Level = Level.TREE,
        gpu: Gpu = False,
        say: Callable[[str], None] = log.info,
        recycling: Recycling = RECYCLING,
        on_recycled: OnRecycled | None = None,
    ) -> None:
        """`level`: how strongly its Blenders are confined (`confinement.choosing` finds the best); `gpu` lets them
        render with graphics cards, once one has shown that it can. `on_fault` is told, from any thread, of each Blender
        that is lost, for a record of it, `on_recycled` of each that a fresh one took the place of; `say` what a person
        should know."""
        self.blender, self.limits, self.store = blender, limits, store
        self.level, self._gpu, self._say = level, gpu, say
        self.device = "CPU"
        """What pictures are made on, as far as it is known."""
        self.breaker = Breaker(store.folder / "quarantine.jsonl")
        self._on_fault = on_fault or (lambda fault: None)
        self.recycling, self._on_recycled = recycling, on_recycled or (lambda recycled: None)
        self._failed_boots, self._has_booted = 0, False
        self._logs, self._keeps_standby = logs, standby
        self._numbers = itertools.count(1)
        self._workers: set[Worker] = set()
        self._nannies: set[NannyProcess] = set()
        self._standby: Future[Worker] | None = None
        self._fresh_standby: Future[Worker] | None = None
        """What takes the place of a worn one, once it has booted."""
        self._worn: Recycled | None = None
        self._root: Snapshot | None = None
        self._judging = threading.RLock()
        self._spawning, self._closing = threading.Lock(), False

    def __enter__(self) -> Pool:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._scratch = Scratch()
        self.folder = self._scratch.folder
        self._context: Context = zmq.Context()
        self._booting = ThreadPoolExecutor(4, "blender-boot")
        self._burying = ThreadPoolExecutor(2, "blender-burial")
        try:
            if self._gpu:
                self._try_gpu()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        if self._keeps_standby:
            self._begin_standby()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._spawning:  # what is being started right now is among the nannies after this
            self._closing = True
        for nanny in list(self._nannies):
            nanny.tell_to_end()
        self._booting.shutdown()
        for worker in list(self._workers):
            self._burying.submit(self._close, worker)
        self._burying.shutdown()
        self._context.destroy(linger=0)
        self._scratch.close()

    def session(self, head: Snapshot | None = None, limits: Limits | None = None) -> SceneSession:
        """An active Blender of one's own that begins at `head` (None: the empty start), under limits of its own that
        are at most the pool's."""
        return SceneSession(self, head, limits)

    def side_by_side(self, wanted: int) -> int:
        """How many sessions this machine bears at the same time: at least one, at most as many as are wanted."""
        need = min(self.limits.memory_bytes, TYPICAL_BYTES)
        room = (available_bytes() - (STANDBY_BYTES if self._keeps_standby else 0)) // need
        return max(1, min(wanted, room, processors()))

    def root(self) -> Snapshot:
        """The empty start, made once, by a process that ran no generated code."""
        with self._judging:
            if self._root is None:
                self._root = self._make_root()
            return self._root

    def fingerprint(self, id: str) -> FingerprintReply:
        """A snapshot's, as this Blender and today's code read it: one that another took is taken again, beside it."""
        known = self.store.fingerprint(id, self.blender.version)
        if known is None:
            known = self._read(id)
            self.store.renew(id, self.blender.version, known)
        return known

    def file(self, id: str) -> Path:
        """The file that this Blender opens for a snapshot: its own, or that of the one that stands in for it here."""
        self.check_version(self.store.get(id))
        return self.store.verify(self.store.stand_in(id, self.blender.version) or id)

    def check_version(self, snapshot: Snapshot) -> None:
        """Raises SetupFailed for a newer Blender's scene."""
        if parse_version(snapshot.blender) > parse_version(self.blender.version):
            raise newer(snapshot.blender, self.blender.version)

    def _read(self, id: str) -> FingerprintReply:
        """As it will be once this Blender has saved it: opening an older one's file may change more than once."""
        with self.judge() as judge:
            judge.open(self.file(id))
            if self.store.get(id).blender != self.blender.version:
                with self.store.draft(self.blender.version) as draft:
                    judge.save(draft.path)
                    judge.open(draft.path)
            return judge.fingerprint()

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def boot(self) -> Worker:
        """A new worker."""
        return self.begin_boot().result()

    def _try_gpu(self) -> None:
        """One picture by a Blender that runs nobody's code, which compiles kernels where none are kept; without a
        graphics card from here on where that comes to nothing."""
        kept = kernels.are_kept(self.blender)
        if self.blender.facts.gpus and not kept:
            self._say("the kernels for graphics cards are compiled, once for each driver, which can take minutes")
        worker = self.boot()
        try:
            worker.call(ExecuteRequest(source=TRIAL_SCENE))
            reply = worker.call(TRIAL, TRIAL_S)[0]
            assert isinstance(reply, RenderReply)
            self.device, failure = reply.made.device, " ".join(reply.made.notes)
            if self.device != "CPU" and not kept:
                kernels.keep(self.blender, worker.folder)
        except (ProcessFault, RequestFailed) as error:
            failure = f"A first picture by the graphics card failed ({error}), so the processor renders."
        finally:
            self.retire(worker)
        if self.device == "CPU":
            self._gpu = False
        self._say(failure if self.device == "CPU" else f"pictures are made by {self.device}")

    def begin_boot(self) -> Future[Worker]:
        """A new worker, as soon as it has booted."""
        try:
            return self._booting.submit(self._boot)
        except RuntimeError as error:
            raise SetupFailed("the pool is closed") from error

    def _boot(self) -> Worker:
        while True:
            try:
                worker = self._boot_once()
            except SetupFailed as error:
                self._bear(error)
            else:
                self._failed_boots, self._has_booted = 0, True
                return worker

    def _bear(self, error: SetupFailed) -> None:
        """Returns when it is time to try again; raises where several in a row did not start."""
        self._failed_boots += 1
        allowed = BOOT_ATTEMPTS_LATER if self._has_booted else BOOT_ATTEMPTS
        log.warning("boot attempt %d of %d failed: %s", self._failed_boots, allowed, error)
        if self._closing or (self._failed_boots >= allowed and not self._has_booted):
            raise error
        if self._failed_boots >= allowed:
            message = f"Blender did not start {self._failed_boots} times in a row: {error.message}"
            raise BreakerOpen(message, f"See {self._logs}, then resume the run.", error.log_tail) from error
        if self._has_booted:
            time.sleep(FIRST_WAIT_S * 2 ** (self._failed_boots - 1))

    def take(self) -> Worker:
        """A clean worker to go on with: the standby, while the next one boots in the background."""
        if not self._keeps_standby:
            return self.boot()
        with self._judging:
            worker = self._ready_standby()
            self._begin_standby()
        return worker

    @contextlib.contextmanager
    def judge(self) -> Iterator[Judge]:
        """The standby, alone, for one decision. Without a standby one is started for it and ended afterwards."""
        if not self._keeps_standby:
            worker = self.boot()
            try:
                yield Judge(worker)
            finally:
                self.retire(worker)
            return
        with self._judging:
            worker = self._ready_standby()
            try:
                yield Judge(worker)
            finally:
                if worker.ended:
                    self.retire(worker)
                    self._begin_standby()
                else:
                    self._recycle_standby(worker)

    def _recycle_standby(self, worker: Worker) -> None:
        """Let a fresh one take the place of a worn standby, which goes on until that one has booted."""
        if self._fresh_standby is None:
            self._worn = None
            with contextlib.suppress(ProcessFault):  # noticed when it is next used
                self._worn = worker.worn("standby", self.recycling)
            if self._worn is not None:
                self._fresh_standby = self.begin_boot()
        elif self._fresh_standby.done():
            fresh, self._fresh_standby = self._fresh_standby, None
            if fresh.exception() is not None:
                log.warning("no fresh standby: %s", fresh.exception())
                return
            assert self._worn is not None
            self.note_recycled(self._worn)
            self._standby = fresh
            self.retire(worker)

    def note_recycled(self, recycled: Recycled) -> None:
        log.info("a fresh Blender takes the place of the %s one: %s", recycled.place, recycled.reason)
        self._on_recycled(recycled)

    def retire_booting(self, booting: Future[Worker]) -> None:
        """End a worker that is not wanted any more, as soon as it has booted."""

        def end(booted: Future[Worker]) -> None:
            if not booted.cancelled() and booted.exception() is None:
                self.retire(booted.result())

        booting.add_done_callback(end)

    def retire(self, worker: Worker) -> None:
        """End a worker; burying it takes place in the background."""
        worker.nanny.tell_to_end()
        try:
            self._burying.submit(self._close, worker)
        except RuntimeError:  # the pool ended before the session did
            self._close(worker)

    def _ready_standby(self) -> Worker:
        assert self._standby is not None
        try:
            worker = self._standby.result()
        except BreakerOpen:
            raise
        except BlenderError as error:
            log.warning("the standby did not start: %s", error)
            return self._begin_standby().result()
        if worker.ended:
            log.warning("%r has ended while it stood by", worker)
            self.retire(worker)
            worker = self._begin_standby().result()
        return worker

    def _begin_standby(self) -> Future[Worker]:
        self._standby = self._fresh_standby or self.begin_boot()
        self._fresh_standby = None
        return self._standby

    def _boot_once(self) -> Worker:
        logs.bound(self._logs, {worker.log_file.stem for worker in list(self._workers)})
        log_file = self._logs / f"blender-{os.getpid()}-{next(self._numbers)}.log"
        folders = self._scratch.folders()
        if self._gpu:
            kernels.give(self.blender, folders[1])
        try:
            worker = Worker(
                self.blender,
                self.limits,
                folders,
                log_file,
                self._context,
                level=self.level,
                gpu=self._gpu,
                spawn=self._spawn,
                on_fault=self._on_fault,
            )
        except (OSError, zmq.ZMQError) as error:
            raise SetupFailed(f"no Blender can be started: {error}", ROOM) from error
        self._workers.add(worker)
        return worker

    def _spawn(self, settings: Settings) -> NannyProcess:
        """Start a nanny that the pool's end will not miss."""
        with self._spawning:
            if self._closing:
                raise SetupFailed("the pool is being closed")
            nanny = NannyProcess(settings)
            self._nannies.add(nanny)
            return nanny

    def _close(self, worker: Worker) -> None:
        self._workers.discard(worker)
        worker.close()
        self._nannies.discard(worker.nanny)
        if worker.lost:
            logs.mark_lost(worker.log_file)

    def _make_root(self) -> Snapshot:
        with self.judge() as judge:
            judge.open(None)
            with self.store.draft(self.blender.version) as draft:
                judge.save(draft.path)
                draft.check()
                judge.open(draft.path)
                return draft.adopt(None, None, judge.fingerprint())
