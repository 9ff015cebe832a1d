"""Owns one process that is asked what it is: start it with the questions, listen, end it, whatever it does meanwhile.

Bounded in time and in what it may print, and alone: a private home, none of our environment. What the answers mean:
`probing`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sandbox.scratch import temporary_folder

QUESTIONS = Path(__file__).resolve().parent / "probe_questions.py"
_SERVER = QUESTIONS.parent.parent / "blender_server"
ASKS_WITH = (_SERVER / "compat.py", _SERVER / "buffers.py", Path(__file__).resolve())
"""What the answers depend on besides: what the questions load inside the Blender, and how they are put."""

PICTURES_S = 20.0
"""For the pictures, which come last. Those worth waiting for took 3 to 8 s together, drawn by two busy processors."""
OUTPUT_BYTES = 4 << 20

NO_CARD = {"LIBGL_ALWAYS_SOFTWARE": "1"}
"""What draws without a screen is the processor, whether or not a card is there: in a box there is none to be seen."""

_MARK = b"SEIG-PROBE "
_LAST_QUESTION = b'"picture_s"'
_LOOK_S = 0.1


class Heard(NamedTuple):
    """What came of it."""

    answers: dict[str, Any]
    said: str
    """All that it printed, up to OUTPUT_BYTES."""
    ended: Literal["exited", "late", "flood"]
    exit_code: int
    """Negative for the signal that ended it; of no meaning unless it exited by itself."""
    start_s: float
    """From the start of the process to its first answer; 0 where none came."""


def question(path: Path, *, wheel: bool, timeout_s: float) -> Heard:
    """Be back soon after `timeout_s`, or PICTURES_S after all else is answered. Raises OSError if it does not start."""
    asked = ["-I", str(QUESTIONS)] if wheel else ["-b", "--factory-startup", "--python", str(QUESTIONS)]
    with temporary_folder() as folder:
        home = str(folder)
        began = time.monotonic()
        process = subprocess.Popen(
            [str(path), *asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=_environment(home),
            start_new_session=True,
        )
        try:
            said, ended, answered_at = _listen(process, began + timeout_s)
        finally:
            _end(process)
    start_s = answered_at - began if answered_at else 0.0
    return Heard(_answers(said), said.decode(errors="replace"), ended, process.returncode, round(start_s, 2))


def _environment(home: str) -> dict[str, str]:
    """As bare as the box's, with a cache of its own: a user's holds shaders that no Blender in a box finds ready."""
    environment = {"HOME": home, "TMPDIR": home, "XDG_CACHE_HOME": home, "LC_ALL": "C.UTF-8", **NO_CARD}
    environment |= {"PATH": os.environ.get("PATH", os.defpath)}
    return environment | {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}


def _listen(
    process: subprocess.Popen[bytes], deadline: float
) -> tuple[bytes, Literal["exited", "late", "flood"], float]:
    """What it printed, why we stopped listening, and when it first answered."""
    assert process.stdout is not None
    said, answered_at, last_asked = b"", 0.0, False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (now := time.monotonic()) < deadline:
            has_ended = process.poll() is not None  # its output may be kept open by what it left behind
            if not selector.select(min(deadline - now, _LOOK_S)):
                if has_ended:
                    return said, "exited", answered_at
                continue
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
                return said, "exited" if process.returncode is not None else "late", answered_at
            said += chunk
            if len(said) > OUTPUT_BYTES:
                return said, "flood", answered_at
            if not answered_at and _MARK in said:
                answered_at = time.monotonic()
            if not last_asked and _LAST_QUESTION in said:
                last_asked, deadline = True, min(deadline, time.monotonic() + PICTURES_S)
    return said, "late", answered_at


def _answers(said: bytes) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for line in said.splitlines():
        if line.startswith(_MARK):
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                answers.update(json.loads(line[len(_MARK) :]))
    return answers


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started and that has not left its session."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
