"""Owns a nanny's start: run by its owner as `python -I sandbox/nanny/__main__.py`, told what to do on standard input.

Standard input stays open as long as the owner lives and wants it. A limit on its own memory keeps what a Blender may
send from becoming the machine's problem.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the end comes from the owner, by the lifeline
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return  # the owner ended before it had said what it wants
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import zmq

    from sandbox.confinement.levels import Level
    from sandbox.nanny.requests import Settings
    from sandbox.nanny.serving import Nanny

    settings = Settings.model_validate_json(line)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if sys.platform == "linux":
        if settings.level >= Level.TREE:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # The hard limit stays, for it would hold for Blender too.
        resource.setrlimit(resource.RLIMIT_DATA, (2 * settings.limits.nanny_bytes, resource.RLIM_INFINITY))
    context = zmq.Context()
    Nanny(settings, context, sys.stdin.buffer).run()
    context.destroy(linger=1000)


if __name__ == "__main__":
    main()
    os._exit(0)
