"""Owns how a signal ends a command: one way out for all kinds, within seconds whatever the process is stuck in.

The main thread unwinds through its `with` blocks. Where that takes too long (a full pipe, a disk that hangs, a library
that swallowed the exception), the process is ended all the same: everything that counts is on disk, and Blenders die
with their parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from agent.errors import Interrupted

KINDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
PATIENCE_S = 2.5
"""For the way out through the `with` blocks; a farm kills after more."""


@contextlib.contextmanager
def stopping(remedy: str = "", patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Inside, a signal that asks to end raises Interrupted (exit code 75), once; a second SIGINT ends at once, in what
    lies around this too. A SIGHUP that the process was started to ignore (nohup) is none."""
    ending = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal ending
        ending = True
        for kind in KINDS:
            signal.signal(kind, signal.SIG_IGN if kind != signal.SIGINT else _end_now)
        _arm(patience_s)
        raise Interrupted(f"stopped by {signal.Signals(number).name}.", remedy)

    heard = [kind for kind in KINDS if kind != signal.SIGHUP or signal.getsignal(kind) != signal.SIG_IGN]
    before: list[tuple[signal.Signals, Any]] = [(kind, signal.signal(kind, stop)) for kind in heard]
    try:
        yield
    finally:
        for kind, handler in () if ending else before:
            signal.signal(kind, handler)


def _arm(patience_s: float) -> None:
    watch = threading.Timer(patience_s, _end_now)
    watch.daemon = True
    watch.start()


def _end_now(*_: object) -> None:
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(75)
