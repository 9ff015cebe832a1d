"""Owns a nanny from outside: start it, learn that it ended and why, end it with all that its Blender started."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from protocol import errors
from sandbox.nanny.requests import Settings
from sandbox.nanny.serving import END
from sandbox.process import environment
from sandbox.scratch import remove
from sandbox.tree import Tree

log = logging.getLogger(__name__)

MAIN = Path(__file__).with_name("nanny") / "__main__.py"
PATIENCE_S = 8.0
"""For a nanny to kill its tree and clear up; a tree that the kernel does not let go of takes up to 5 s."""


class NannyProcess:
    """Ends, with all that is its Blender's, when this process ends, however that ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root: int | None = None
        self.told = False
        """Whether it was told to end."""
        self._ended_r, self._ended_w = os.pipe()
        try:
            with open(settings.log_file.with_suffix(".nanny.log"), "ab") as said:
                self._popen = subprocess.Popen(
                    [sys.executable, "-I", str(MAIN)],
                    cwd=settings.folder,
                    env=environment(settings.folder),
                    stdin=subprocess.PIPE,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._ended_r)
            os.close(self._ended_w)
            raise
        self.pid = self._popen.pid
        self._waiter = threading.Thread(target=self._wait, name=f"nanny-{self.pid}", daemon=True)
        self._waiter.start()
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which is noticed elsewhere
            assert self._popen.stdin is not None
            self._popen.stdin.write(settings.model_dump_json().encode() + b"\n")
            self._popen.stdin.flush()

    def fileno(self) -> int:
        """Readable once the nanny has ended."""
        return self._ended_r

    @property
    def ended(self) -> bool:
        return self.told or not self._waiter.is_alive()

    def knows(self, root: int) -> None:
        """The process that its Blender's tree grows from, for the case that the nanny is lost."""
        self._root = root

    def fault(self, method: str) -> errors.ProcessFault:
        """Why it ended, as it said itself; a nanny that said nothing was lost to what its Blender did."""
        self._waiter.join(1.0)
        try:
            end = json.loads((self._settings.folder / END).read_text(encoding="utf-8"))
            return errors.FAULTS[end["kind"]](method, end["message"], end["log_tail"])
        except (OSError, ValueError, KeyError):
            return errors.ProtocolViolated(method, f"its nanny was lost ({self._how()})", self.log_tail())

    def log_tail(self) -> str:
        return ""

    def tell_to_end(self) -> None:
        """It kills its tree at once and ends; `close` waits for that."""
        self.told = True
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()

    def close(self) -> None:
        """Nothing of it, of its Blender and of their folders is left when this returns."""
        self.tell_to_end()
        self._waiter.join(PATIENCE_S)
        if self._waiter.is_alive():
            log.error("nanny pid=%d did not end and is killed", self.pid)
            self._popen.kill()
            self._waiter.join(PATIENCE_S)
        if self._popen.returncode != 0:
            self._sweep()
        os.close(self._ended_r)
        for folder in (self._settings.folder, self._settings.worker_folder):
            remove(folder)

    def _sweep(self) -> None:
        """What a lost nanny left: the kernel ended its Blender with it, but not what that had started."""
        if not Tree(self._root or -1, self._settings.mark).kill(root_is_ours=False):
            log.error("some of what the Blender of nanny pid=%d started cannot be killed", self.pid)

    def _wait(self) -> None:
        self._popen.wait()
        os.write(self._ended_w, b"!")
        os.close(self._ended_w)

    def _how(self) -> str:
        code = self._popen.poll()
        if code is None:
            return "it does not answer"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
