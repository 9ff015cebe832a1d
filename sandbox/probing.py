"""Owns the question put to each Blender found: what are you and what can you do? Asked once, remembered per binary.

A hanging, crashing or lying executable costs a bounded wait and becomes a reason with a remedy.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pydantic import Field, ValidationError

from protocol.models import Value
from sandbox.folders import readable_folders, state_folder
from sandbox.libraries import advice, missing_libraries

PROBE_S = 60.0
"""Enough for a first start from a slow disk."""

_MEMORY = "probes.json"
_FAILURE_STANDS_S = 600.0
_MARK = "SEIG-PROBE "
_OUTPUT_BYTES = 1 << 20

_QUESTIONS = (Path(__file__).parent / "probe_questions.py").read_text(encoding="utf-8")


class Device(Value):
    """What Cycles can render with."""

    kind: str
    """"CPU", "CUDA", "OPTIX", "HIP", "ONEAPI" or "METAL"."""
    name: str


class Facts(Value):
    """What a Blender said about itself."""

    version: str
    python: str
    numpy: bool
    """Whether its Python has numpy."""
    engines: tuple[str, ...]
    """Of "cycles", "eevee", "workbench": what it knows."""
    denoiser: bool
    """Whether it has OpenImageDenoise."""
    workbench: bool = False
    """Whether Workbench rendered a picture without a screen."""
    devices: tuple[Device, ...] = ()
    """What Cycles can render with here."""
    picture_s: dict[str, float] = Field(default_factory=dict)
    """Seconds that a small picture took, by engine: only those that rendered one without a screen here."""
    gpus: tuple[str, ...] = ()
    """Kinds of GPU that Cycles can use here: "CUDA", "OPTIX", "HIP", "ONEAPI", "METAL"."""

    @property
    def rendering(self) -> tuple[str, ...]:
        """Engines to render with here, the best first; Cycles where none was seen to."""
        return tuple(name for name in ("cycles", "eevee", "workbench") if name in self.picture_s) or ("cycles",)


class ProbeFailed(Exception):
    """The executable is no Blender that can be used."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def probe(path: Path, *, wheel: bool, timeout_s: float = PROBE_S, ask_again: bool = False) -> Facts:
    """Facts about the Blender at `path`; a failure is remembered for some minutes unless `ask_again`."""
    _refuse_what_cannot_run(path)
    stamp = _stamp(path, wheel)
    if (known := _recall(path, stamp, ask_again)) is not None:
        return known
    try:
        facts = _ask(path, wheel, timeout_s)
    except ProbeFailed as failure:
        _remember(path, {"stamp": stamp, "at": time.time(), "reason": failure.reason, "remedy": failure.remedy})
        raise
    _remember(path, {"stamp": stamp, "at": time.time(), "facts": facts.model_dump(mode="json")})
    return facts


def _refuse_what_cannot_run(path: Path) -> None:
    remedy = "Give the Blender program itself with BLENDER=/path/to/blender."
    if path.is_dir():
        raise ProbeFailed("it is a folder without a Blender in it", remedy)
    if not path.is_file():
        raise ProbeFailed("there is no such file", remedy)
    if not os.access(path, os.X_OK):
        raise ProbeFailed("it may not be executed", f"Make it executable: chmod +x '{path}'")
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"#!") and b"flatpak run" in head:
        reason = "it starts Flatpak, whose box shuts out the folder we talk to Blender through"
        raise ProbeFailed(reason, "Use Blender's own download or your distribution's package instead.")


def _ask(path: Path, wheel: bool, timeout_s: float) -> Facts:
    """Run it with the questions; whatever it does, be back soon after `timeout_s` with nothing left running."""
    asked = ["-I", "-c", _QUESTIONS] if wheel else ["-b", "--factory-startup", "--python-expr", _QUESTIONS]
    with tempfile.TemporaryDirectory(prefix="seig-probe-") as home, tempfile.TemporaryFile() as output:
        exit_code = _run([str(path), *asked], home, output, timeout_s)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _OUTPUT_BYTES))
        said = output.read().decode(errors="replace")
    try:
        return Facts.model_validate(_answers(said))
    except ValidationError:
        raise _why_no_answer(path, said, exit_code, timeout_s) from None


def _answers(said: str) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for line in said.splitlines():
        if line.startswith(_MARK):
            with suppress(ValueError):
                answers.update(json.loads(line[len(_MARK) :]))
    return answers


def _run(command: list[str], home: str, output: IO[bytes], timeout_s: float) -> int | None:
    """The exit code, or None for one that had to be killed."""
    environment = {"HOME": home, "TMPDIR": home, "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ProbeFailed(f"it does not start ({error.strerror or error})", "Install Blender anew.") from error
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    process.kill()
    process.wait()


def _why_no_answer(path: Path, said: str, exit_code: int | None, timeout_s: float) -> ProbeFailed:
    first = next((line for line in said.splitlines() if line.startswith("Blender ")), "")
    version = first.split()[1] if first else ""
    if exit_code is None:
        return ProbeFailed(f"it did not answer within {timeout_s:g} s", "Start it by hand to see what it waits for.")
    if missing := missing_libraries(path, said):
        return ProbeFailed(f"it lacks {', '.join(missing)}", advice(missing))
    if version.startswith(("1.", "2.")) and not version.startswith(("2.93", "2.10")):
        return ProbeFailed(f"it is Blender {version}, and 2.93 is the oldest that works here", "Install a newer one.")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    return ProbeFailed(f"it answers no question (exit code {exit_code}; {last[:160]})", "Install Blender anew.")


def _stamp(path: Path, wheel: bool) -> list[int]:
    """Changes when the binary does. A wheel's Python is shared, so its bpy module counts."""
    modules = sorted(path.parent.parent.glob("lib/python*/site-packages/bpy/__init__.*")) if wheel else []
    return [part for file in (path, *modules) for part in (file.stat().st_mtime_ns, file.stat().st_size)]


def _recall(path: Path, stamp: list[int], ask_again: bool) -> Facts | None:
    for folder in readable_folders():
        entry = _read(folder).get(str(path), {})
        if entry.get("stamp") != stamp:
            continue
        if "facts" in entry:
            try:
                return Facts.model_validate(entry["facts"])
            except ValidationError:
                continue  # written by another version of this file
        if not ask_again and time.time() - entry.get("at", 0) < _FAILURE_STANDS_S:
            raise ProbeFailed(entry["reason"], entry["remedy"])
    return None


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        memory = json.loads((folder / _MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _remember(path: Path, entry: dict[str, Any]) -> None:
    """Best effort: what cannot be written is asked again next time."""
    try:
        folder = state_folder()
        memory = {**_read(folder), str(path): entry}
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=_MEMORY, delete=False, encoding="utf-8") as file:
            json.dump(memory, file, indent=1)
        os.replace(file.name, folder / _MEMORY)
    except OSError:
        pass
