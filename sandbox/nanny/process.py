"""Owns one Blender process: start it, watch it, say why it ended, end it with everything that it started.

Does not know what is said over the wire (`protocol`), nor who replaces it (`pool`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from protocol.errors import ProcessFault, ProtocolViolated
from protocol.models import Gpu
from sandbox import evidence, kernels
from sandbox.confinement.confining import Confinement, confine, rlimits
from sandbox.confinement.levels import Level
from sandbox.discovery import Blender
from sandbox.limits import Limits
from sandbox.nanny.output import Output
from sandbox.questioning import NO_CARD
from sandbox.scratch import used_bytes
from sandbox.tree import LINUX, MARK, Tree, resident_bytes

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[2]
BOOTSTRAP = REPOSITORY / "blender_server" / "bootstrap.py"
PASSED_ON = (
    "PATH", "LD_LIBRARY_PATH", "TZ", "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ONEAPI_DEVICE_SELECTOR", "ZE_AFFINITY_MASK",
)  # fmt: skip
"""All that a Blender sees of our environment, which may hold keys."""

TAIL_BYTES = 8192
WATCH_S = 0.05
CHILDREN_EVERY, SLOWLY_EVERY = 5, 20
"""Rounds of the watch between looks at what costs more: new children; escaped ones, the size of the folder."""

PROCESS_CLOCK = 2
"""The kernel's CPUCLOCK_SCHED: with a process's number it makes the clock of that process, as clock_getcpuclockid(3)
does, read in one call where /proc takes a file."""


class BlenderProcess:
    """Starts in `folder`, which is its working, home and temporary folder. Spawn from a thread that outlives it."""

    def __init__(
        self,
        blender: Blender,
        limits: Limits,
        folder: Path,
        log_file: Path,
        epoch: str,
        level: Level = Level.PROCESS,
        *,
        readable: Sequence[Path],
        gpu: Gpu = False,
    ) -> None:
        self.folder, self.limits = folder, limits
        self._verdict: ProcessFault | None = None
        self._condemned = False
        self._peak_bytes = 0
        self._unseen = False
        self._printed_before = 0
        self._worker = 0
        """What does the work, once it was asked for: Blender itself, whatever was started around it."""
        self._lock = threading.Lock()
        self.output = Output(log_file, limits.output_bytes)
        self._ended_r, self._ended_w = os.pipe()
        try:
            self.confinement = confine(level, list(readable), folder, limits, gpu=bool(gpu))
            self._popen = _spawn(blender, limits, folder, epoch, self.output.inlet, self.confinement, gpu)
        except BaseException:
            os.close(self._ended_r)
            os.close(self._ended_w)
            raise
        finally:
            os.close(self.output.inlet)
        self.pid = self._popen.pid
        self.tree = Tree(self.pid, epoch, adopting=level >= Level.TREE)
        self._watcher = threading.Thread(target=self._watch, name=f"watch-{self.pid}", daemon=True)
        self._watcher.start()
        log.info("blender pid=%d started in %s", self.pid, folder)

    def fileno(self) -> int:
        """Readable once the process has ended."""
        return self._ended_r

    def fault(self, method: str) -> ProcessFault:
        """Why it ended, with the last it said."""
        self._watcher.join(1.0)
        self.output.join(0.2)
        returncode = self.confinement.returncode(self._popen.poll())
        peak_bytes = self.limits.memory_bytes if self.confinement.ran_out_of_memory() else self._peak_bytes
        found = self._verdict or evidence.of_exit(returncode, peak_bytes, self.limits, self.log_tail())
        return type(found)(method, found.message, self.log_tail())

    def log_tail(self) -> str:
        """What it printed during the last call, and what it wrote down about its end."""
        printed = self.output.total - self._printed_before
        return self.output.tail(min(printed, TAIL_BYTES)) + evidence.reports(self.folder)

    def begin_call(self) -> None:
        """It may print as much as one call may from here on."""
        self._printed_before = self.output.printed()

    @property
    def ended(self) -> bool:
        return self._condemned or not self._watcher.is_alive()

    def has_company(self) -> bool:
        """Whether something that it started still runs."""
        self.tree.refresh()
        return len(self.tree) > 1 + self.confinement.helpers

    def limit(self, limits: Limits) -> None:
        """Other limits for what it does from here on; those that the kernel keeps can only get lower."""
        self.limits = limits
        if not hasattr(resource, "prlimit"):
            return
        pid = self.confinement.inside(self.pid)
        for name, value in rlimits(limits).items():
            number = getattr(resource, name)
            with contextlib.suppress(OSError, ValueError):
                hard = resource.prlimit(pid, number)[1]
                value = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.prlimit(pid, number, (value, value))

    def processor_s(self) -> float:
        """Processor time that it has used, as far as it can be told."""
        self._worker = self._worker or self.confinement.inside(self.pid)
        try:
            if LINUX:
                return time.clock_gettime(~self._worker << 3 | PROCESS_CLOCK)
            used = psutil.Process(self._worker).cpu_times()
        except (OSError, psutil.Error):
            return 0.0
        return float(used.user + used.system)

    def kill_root(self) -> None:
        """Stop Blender itself at once; what it started is for `close` to end."""
        with self._lock:
            self._condemned = True
            if self._popen.returncode is None:
                self.tree.kill_root()

    def kill(self) -> None:
        """End the whole tree, now. What it had opened is gone when this returns, unless the kernel holds it."""
        with self._lock:
            running = self._popen.returncode is None
            emptied = self.tree.kill(root_is_ours=running)
            emptied = self.confinement.kill() and emptied
        self._watcher.join(5.0)
        if not emptied:
            log.error("blender pid=%d: some of what it started cannot be killed", self.pid)

    def close(self) -> None:
        """Let go of what `kill` has left: descriptors. Nobody may wait for its end any more."""
        self.output.join(1.0)
        os.close(self._ended_r)
        self.confinement.close()

    def _watch(self) -> None:
        """Until it ends: look at its memory often, at the rest now and then, and end it when it passes a limit."""
        has_ended = _ended(self._popen)
        rounds = 0
        while not has_ended(WATCH_S):
            rounds += 1
            if over := self._over(rounds):
                log.warning("blender pid=%d: %s", self.pid, over.message)
                self._verdict = over
                self.tree.kill()
        with self._lock:  # its number may be given to another process from here on
            self._popen.wait()
        os.write(self._ended_w, b"!")
        os.close(self._ended_w)
        log.info("blender pid=%d ended: %s", self.pid, self._popen.returncode)

    def _over(self, rounds: int) -> ProcessFault | None:
        try:
            if rounds % CHILDREN_EVERY == 0:
                self.tree.refresh()
            return self._over_quickly() or (self._over_slowly() if rounds % SLOWLY_EVERY == 0 else None)
        except (OSError, psutil.Error) as error:  # nothing may end the watch but the process's end
            if not self._unseen:
                log.warning("blender pid=%d: cannot look at it: %s", self.pid, error)
            self._unseen = True  # said once: it is tried again twenty times a second
            return None

    def _over_quickly(self) -> ProcessFault | None:
        used = self.tree.memory_bytes()
        self._peak_bytes = max(self._peak_bytes, used)
        if used > self.limits.memory_bytes:
            return evidence.too_much_memory(used, self.limits)
        if resident_bytes(os.getpid()) > self.limits.nanny_bytes:
            return ProtocolViolated("", "ended because it sent more than may be sent")
        if self.output.total - self._printed_before > self.limits.output_bytes:
            return evidence.too_much("printed more than {} bytes", self.limits.output_bytes)
        return None

    def _over_slowly(self) -> ProcessFault | None:
        self.tree.sweep()
        if len(self.tree) > self.limits.processes:
            return evidence.too_much("started more than {} processes", self.limits.processes)
        if used_bytes(self.folder) > self.limits.folder_bytes:
            return evidence.too_much("wrote more than {} bytes into its folder", self.limits.folder_bytes)
        return None


def _spawn(
    blender: Blender,
    limits: Limits,
    folder: Path,
    epoch: str,
    output: int,
    confinement: Confinement,
    gpu: Gpu,
) -> subprocess.Popen[bytes]:
    inner = command(blender, limits, folder, epoch, shut=confinement.level == Level.CONFINED, gpu=gpu)
    try:
        return subprocess.Popen(
            confinement.command(inner),
            cwd=folder,
            env=environment(folder, **{MARK: epoch}, **(kernels.variables(folder, limits) if gpu else NO_CARD)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=confinement.pass_fds,
        )
    except BaseException:
        confinement.close()
        raise
    finally:
        confinement.started()


def command(
    blender: Blender, limits: Limits, folder: Path, epoch: str, *, shut: bool = False, gpu: Gpu = False
) -> list[str]:
    """Blender's own command line, then what its server reads. `shut` lets it make no more sockets once connected."""
    options = ["--vendor", str(blender.vendor)] if blender.vendor else []
    options += ["--engines", ",".join(blender.facts.rendering)]
    options += ["--gpu", "any" if gpu is True else gpu] if gpu else []
    options += ["--shut"] if shut else []
    if blender.kind == "wheel":
        start = [str(blender.executable), "-I", str(BOOTSTRAP)]
    else:
        threads = ["-t", str(limits.threads)] if limits.threads else []
        start = [str(blender.started), "-b", "--factory-startup", *blender.facts.flags, *threads]
        start += ["--python-exit-code", "1", "--python", str(BOOTSTRAP)]
    return [*start, "--", "--folder", str(folder), "--epoch", epoch, *options]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A clean environment: a short list of ours, its own folder for everything else."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | {"HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"} | more


def _ended(popen: subprocess.Popen[bytes]) -> Callable[[float], bool]:
    """A wait that ends with the process but does not yet take its number away from it."""
    if not hasattr(os, "pidfd_open"):
        return lambda patience_s: _polled(popen, patience_s)
    descriptor = os.pidfd_open(popen.pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)

    def wait(patience_s: float) -> bool:
        ended = bool(poll.poll(patience_s * 1000))
        if ended:
            os.close(descriptor)
        return ended

    return wait


def _polled(popen: subprocess.Popen[bytes], patience_s: float) -> bool:
    time.sleep(patience_s)
    return popen.poll() is not None
