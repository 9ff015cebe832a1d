"""Servers in real Blenders, spoken to over real sockets, with nothing of the sandbox around them."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import zmq

from protocol import errors
from protocol.client import Client
from protocol.models import ExecuteRequest, FingerprintRequest, RestoreRequest, SettleRequest, SnapshotRequest

BOOTSTRAP = Path(__file__).parents[2] / "blender_server" / "bootstrap.py"


class Process:
    """What a client must know of a process, without any of the sandbox around it."""

    def __init__(self, command, folder):
        self._log = open(folder / "log", "w+")  # noqa: SIM115
        self.popen = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=folder, start_new_session=True)
        self._fd = os.pidfd_open(self.popen.pid)

    def fileno(self):
        return self._fd

    def fault(self, method):
        return errors.ProcessExited(method, f"exit code {self.popen.wait(5)}", self.log_tail())

    def log_tail(self):
        self._log.seek(0)
        return self._log.read()[-4000:]

    def close(self):
        with contextlib.suppress(ProcessLookupError):  # waited for already, and nothing was forked of it
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(10)
        os.close(self._fd)
        self._log.close()


class Server:
    """One Blender that runs our server."""

    def __init__(self, blender, epoch="e1", more=()):
        self.blender, self._context = blender, zmq.Context()
        self.folder = Path(tempfile.mkdtemp(prefix="srv"))
        self.client = Client(self._context, self.folder, epoch, 1 << 30)
        own = [*options(blender, self.folder, epoch), *more]
        self.process = Process([*command(blender), "--", *own], self.folder)
        self.client.watch(self.process)
        self.hello = self.client.wait_hello(60)

    def call(self, request, timeout_s=60):
        return self.client.call(request, timeout_s)[0]

    def fresh(self, file=""):
        self.call(RestoreRequest(file=file))

    def edit(self, source, **fields):
        """Execute and settle, then what a commit does: the scene is one opened from a file again."""
        self.call(ExecuteRequest(source=source, **fields))
        resets = self.call(SettleRequest()).resets
        self.reload()
        return resets

    def reload(self):
        self.call(SnapshotRequest(file="edit.blend"))
        self.call(RestoreRequest(file="edit.blend"))

    def evaluate(self, expression):
        """The value of an expression, as text."""
        return self.call(ExecuteRequest(source=f"print({expression})")).stdout.strip()

    def fingerprint(self):
        return self.call(FingerprintRequest())

    def close(self):
        self.process.close()
        self.client.close()
        self._context.destroy(linger=0)
        shutil.rmtree(self.folder)


def options(blender, folder, epoch):
    """What the bootstrap is told."""
    vendor = ["--vendor", str(blender.vendor)] if blender.vendor else []
    return ["--folder", str(folder), "--epoch", epoch, *vendor]


def command(blender):
    if blender.kind == "wheel":
        return [str(blender.executable), "-I", str(BOOTSTRAP)]
    start = ["-b", "--factory-startup", "--python-exit-code", "1", "--python", str(BOOTSTRAP)]
    return [str(blender.executable), *start]


def changed(before, after):
    """(factor, key) pairs that differ between two fingerprints."""
    return {
        (factor, key)
        for factor in before.factors
        for key in before.factors[factor].keys() | after.factors[factor].keys()
        if before.factors[factor].get(key) != after.factors[factor].get(key)
    }
