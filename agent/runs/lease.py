"""Owns who works in a run folder: one process at a time, on shared disks too, where file locks cannot be relied on.

A lease is `lease.json`: who, since when, a heartbeat, and an epoch that grows with each holder. To take it over, when its
holder has ended or given no sign of life, is to create `.lease-<epoch>` exclusively. A holder that was taken for dead
finds the higher epoch before its next write, and writes nothing more.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import socket
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import psutil

from agent.errors import Interrupted
from agent.runs.journal import PART, write_atomically
from protocol.models import Value

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
STALE_S = 120.0
"""A holder elsewhere that gave no sign of life for so long is taken for dead."""
WATCH_S = 1.5 * HEARTBEAT_S
"""For which one that looks dead is watched before it is taken for dead: a clock may have been set, on the disk's side."""
TAKING_S = 10.0
"""What a process may need between its mark and its lease.json."""
KEPT_MARKS = 8
"""Marks of earlier epochs: as many as there may be processes that do not know yet that they were taken for dead."""


class Holder(Value):
    """The content of lease.json."""

    owner: str
    """Random name of the process, beside its number, which another may get."""
    host: str
    pid: int
    started: float
    """When the process began, as its own machine counts: a clock that is set changes it nowhere else."""
    space: str
    """Of the machine's start and of process numbers: only within it does a number say which process is meant."""
    job: str
    """Of the farm's engine; empty where there is none."""
    epoch: int
    since: float
    heartbeat: float
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (job {self.job})" if self.job else "")


class RunHeld(Interrupted):
    """Another live process works in the run."""


class LeaseLost(Interrupted):
    """Another process took the run over: this one was taken for dead."""


class Lease:
    """Hold a run: raises RunHeld (exit code 75) while another live process does. A context manager, once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "lease.json"
        self._stop, self._lost = threading.Event(), False
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)
        self.holder: Holder

    def __enter__(self) -> Lease:
        epoch = _newest_epoch(self._folder) + 1  # before the look: who takes it meanwhile makes this very mark
        if (other := live_holder(self._folder, WATCH_S)) is not None:
            raise RunHeld(f"{self._folder} is being worked on by {other}.", "Wait, or stop it.")
        try:
            if _is_being_taken(self._folder, epoch - 1):
                raise FileExistsError
            os.close(os.open(_mark(self._folder, epoch), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            raise RunHeld(f"{self._folder} is being taken by another process.", "Wait, or stop it.") from None
        self.holder = _holder(epoch)
        self._refuse_if_overtaken()
        self._write()
        self._refuse_if_overtaken()
        for old in range(max(0, epoch - 2 * KEPT_MARKS), epoch - KEPT_MARKS):
            _mark(self._folder, old).unlink(missing_ok=True)
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._beating.join()
        with contextlib.suppress(OSError, LeaseLost):  # the folder may be gone, or the disk full
            self.check()
            self.holder = self.holder.model_copy(update={"released": True})
            self._write()

    def _refuse_if_overtaken(self) -> None:
        """Another takes a process that needs longer than TAKING_S for dead; nothing was done yet."""
        if _newest_epoch(self._folder) > self.holder.epoch:
            raise RunHeld(f"{self._folder} was taken by another process meanwhile.", "Wait, or stop it.")

    def check(self) -> None:
        """Raises LeaseLost where another process took the run over, FileNotFoundError where it is gone.

        To be asked before each write."""
        now = read_holder(self._folder)
        if now is None and not self._file.exists():  # a disk that went away, or a folder that was deleted
            raise FileNotFoundError(errno.ENOENT, "was removed while it was worked in", str(self._folder))
        if self._lost or (now is not None and now.epoch > self.holder.epoch):
            by = f" by {now}" if now is not None and now.owner != self.holder.owner else ""
            raise LeaseLost(f"{self._folder} was taken over{by}: this process was taken for dead.", "")

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                self.check()
                self._write()
            except LeaseLost as error:
                log.error("%s", error)
                return
            except OSError as error:
                log.warning("no heartbeat: %s", error)
                with contextlib.suppress(OSError):
                    os.utime(self._file)  # which a full disk bears
            if _mark(self._folder, self.holder.epoch + 1).exists():  # taken while we wrote over its lease.json
                self._lost = True

    def _write(self) -> None:
        self.holder = self.holder.model_copy(update={"heartbeat": round(time.time(), 3)})
        write_atomically(self._file, self.holder.model_dump_json(indent=2) + "\n")


def live_holder(folder: Path, watch_s: float = 0.0) -> Holder | None:
    """Who holds the run now; None for a run that is free, or whose holder has ended or is taken for dead: after it was
    watched for a while and gave no sign of life, where that is wanted.

    Raises OSError where a disk does not say, and RunHeld where a fresh lease cannot be understood: neither is free."""
    try:
        holder = Holder.model_validate_json((folder / "lease.json").read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        if _is_fresh(folder / "lease.json"):
            raise RunHeld(f"{folder / 'lease.json'} cannot be understood.", "Try again in two minutes.") from None
        return None
    if holder.released:
        return None
    if holder.space == _space():
        return holder if _started(holder.pid) == holder.started else None
    try:
        return holder if _is_fresh(folder / "lease.json") or _changes(folder / "lease.json", watch_s) else None
    except FileNotFoundError:
        return None


def read_holder(folder: Path) -> Holder | None:
    """The last one, dead or alive; None where there is none that can be read."""
    try:
        return Holder.model_validate_json((folder / "lease.json").read_bytes())
    except (OSError, ValueError):
        return None


def _is_being_taken(folder: Path, epoch: int) -> bool:
    """Whether another process has made the newest mark just now, and has not said yet who it is."""
    holder = read_holder(folder)
    if holder is not None and holder.epoch >= epoch:
        return False
    try:
        return _age_s(_mark(folder, epoch)) < TAKING_S
    except FileNotFoundError:
        return False


def _is_fresh(file: Path) -> bool:
    """From the future nothing is: the clock was set back."""
    return abs(_age_s(file)) < STALE_S


def _changes(file: Path, watch_s: float) -> bool:
    before, end = file.stat().st_mtime_ns, time.monotonic() + watch_s
    while time.monotonic() < end:
        time.sleep(0.2)
        if file.stat().st_mtime_ns != before:
            return True
    return False


def _age_s(file: Path) -> float:
    """Since it was written, by the clock of its disk: clocks of machines differ. That one may be set, too."""
    probe = file.with_name(f"{PART}{os.getpid()}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    except OSError:  # full, or not ours to write to
        now = time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return now - file.stat().st_mtime


def _started(pid: int) -> float:
    """When a process began: on Linux in ticks since the machine's start. 0 for one that has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        return 0.0 if state in (b"Z", b"X") else float(fields[18])
    except FileNotFoundError:
        pass
    try:
        return 0.0 if sys.platform == "linux" else psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _holder(epoch: int) -> Holder:
    now = round(time.time(), 3)
    return Holder(
        owner=secrets.token_hex(8),
        host=socket.gethostname(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        space=_space(),
        job=job_id(),
        epoch=epoch,
        since=now,
        heartbeat=now,
    )


def job_id() -> str:
    """Of the engine that started us."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def _space() -> str:
    """A name for what process numbers count in: this start of this machine, and this container on it."""
    found = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(path) if "/ns/" in path else Path(path).read_text().strip())
    return " ".join(found) or f"{socket.gethostname()} {int(psutil.boot_time())}"


def _newest_epoch(folder: Path) -> int:
    marks = (name.removeprefix(".lease-") for name in os.listdir(folder) if name.startswith(".lease-"))
    held = read_holder(folder)
    return max((int(mark) for mark in marks if mark.isdigit()), default=held.epoch if held else 0)


def _mark(folder: Path, epoch: int) -> Path:
    return folder / f".lease-{epoch}"
