"""Owns what a Blender is and can do, in its own words. Asked once, remembered as long as it does not change.

What looks like a Blender and is none becomes a reason with a remedy. How it is asked: `questioning`.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shlex
import signal
from pathlib import Path

from pydantic import Field, ValidationError

from protocol.models import Value
from sandbox.libraries import advice, missing_libraries
from sandbox.questioning import OUTPUT_BYTES, Heard, question
from sandbox.remembered import recall, remember

OLDEST = (2, 93)
PROBE_S = 60.0
"""Enough for a first start from a slow disk."""

_FAILURE_STANDS_S = 600.0
_ANEW = "Install Blender anew."
_NAME_IT = "Give the Blender program itself with BLENDER=/path/to/blender."


class Device(Value):
    """Something that Cycles can render with."""

    kind: str
    """"CPU", "CUDA", "OPTIX", "HIP", "ONEAPI" or "METAL"."""
    name: str


class Facts(Value):
    """What a Blender said about itself."""

    version: str
    """For example "4.5.15"."""
    python: str
    """Version of its Python: "3.11"."""
    platform: str = ""
    """Of its Python, as wheels are named: "linux-x86_64"."""
    program: str = ""
    """The file that really runs, where a link or a script starts it; for a wheel, its module."""
    parts: tuple[str, ...] = ()
    """Folders that it consists of."""
    engines: tuple[str, ...]
    """Of "cycles", "eevee", "workbench": what it knows, whether or not it renders here."""
    numpy: bool = False
    """Whether its Python has numpy."""
    libraries: dict[str, str] = Field(default_factory=dict)
    """Versions of "zmq" and "msgpack" that its own Python can import."""
    denoisers: tuple[str, ...] = ()
    """Of Cycles: "OPENIMAGEDENOISE", "OPTIX"."""
    devices: tuple[Device, ...] = ()
    picture_s: dict[str, float] = Field(default_factory=dict)
    """Seconds that a first small picture took, by engine: only those that rendered one here without a screen."""
    exporters: tuple[str, ...] = ()
    """Of "gltf", "usd", "obj"."""
    build_options: tuple[str, ...] = ()
    """Names of bpy.app.build_options that are on."""
    flags: tuple[str, ...] = ()
    """Of "--offline-mode", "-noaudio": what its command line knows."""
    start_s: float = 0.0
    """From the start of the process to its first answer."""
    dialect: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What things are called in it, by `blender_server.compat`."""

    @property
    def denoiser(self) -> bool:
        """Whether it has OpenImageDenoise."""
        return "OPENIMAGEDENOISE" in self.denoisers

    @property
    def gpus(self) -> tuple[str, ...]:
        """Kinds of device other than the processor, each once."""
        return tuple(dict.fromkeys(device.kind for device in self.devices if device.kind != "CPU"))

    @property
    def workbench(self) -> bool:
        """Whether Workbench renders here without a screen."""
        return "workbench" in self.picture_s

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
    """Facts about the Blender at `path`. A failure (ProbeFailed) is remembered for some minutes unless `ask_again`."""
    _refuse_what_cannot_run(path)
    if (known := _recalled(path, ask_again)) is not None:
        return known
    files = [path, *(path.parent.parent.glob("lib/python*/site-packages/bpy/__init__.*") if wheel else ())]
    try:
        facts = _ask(path, wheel, timeout_s)
    except ProbeFailed as failure:
        remember(path, files, {"reason": failure.reason, "remedy": failure.remedy})
        raise
    program = [Path(facts.program)] if facts.program else []
    remember(path, [*files, *program], {"facts": facts.model_dump(mode="json")})
    return facts


def _recalled(path: Path, ask_again: bool) -> Facts | None:
    entry = recall(path) or {}
    if "facts" in entry:
        try:
            return Facts.model_validate(entry["facts"])
        except ValidationError:
            return None  # written by another version of this file
    if "reason" in entry and not ask_again and entry["age_s"] < _FAILURE_STANDS_S:
        raise ProbeFailed(entry["reason"], entry["remedy"])
    return None


def _refuse_what_cannot_run(path: Path) -> None:
    if os.path.isdir(path):
        if not os.access(path, os.R_OK | os.X_OK):
            raise ProbeFailed("it is a folder that may not be read", _ask_for(path))
        raise ProbeFailed("it is a folder without a Blender in it", _NAME_IT)
    try:
        path.stat()
    except PermissionError:
        closed = next(folder for folder in reversed(path.parents) if not os.access(folder, os.X_OK))
        raise ProbeFailed(f"it lies in {closed}, which may not be entered", _ask_for(closed)) from None
    except OSError as error:
        leads = f": it is a link to {os.readlink(path)}" if path.is_symlink() else ""
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise ProbeFailed(
            "there is no such file" + leads if missing else f"{error.strerror}{leads}", _NAME_IT
        ) from None
    if not os.access(path, os.X_OK):
        raise ProbeFailed("it may not be executed", f"Make it executable: chmod +x {shlex.quote(str(path))}")
    if os.access(path, os.R_OK) and _starts_flatpak(path):
        reason = "it starts Flatpak, whose box shuts out the folder we talk to Blender through"
        inside = "/var/lib/flatpak/app/org.blender.Blender/current/active/files/blender/blender"
        raise ProbeFailed(reason, f"Name the program inside, BLENDER={inside}, or use Blender's own download.")


def _ask_for(closed: Path) -> str:
    return f"Ask its owner to let you read it (chmod a+rx {shlex.quote(str(closed))}), or use another Blender."


def _starts_flatpak(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"#!") and b"flatpak run" in head


def _ask(path: Path, wheel: bool, timeout_s: float) -> Facts:
    try:
        heard = question(path, wheel=wheel, timeout_s=timeout_s)
    except OSError as error:
        raise ProbeFailed(*_why_no_start(error)) from error
    version = str(heard.answers.get("version") or _banner(heard.said))
    if version and _is_too_old(version):
        oldest = ".".join(map(str, OLDEST))
        raise ProbeFailed(f"it is Blender {version}, and {oldest} is the oldest that works here", "Use a newer one.")
    try:
        return Facts.model_validate({**heard.answers, "start_s": heard.start_s})
    except ValidationError:
        raise ProbeFailed(*_why_no_answer(path, wheel, heard, timeout_s)) from None


def _banner(said: str) -> str:
    """The version that a binary prints before it does anything."""
    found = re.search(r"^Blender (\d+\.\d+(?:\.\d+)?)", said, re.MULTILINE)
    return found[1] if found else ""


def _is_too_old(version: str) -> bool:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return tuple(numbers) < OLDEST


def _why_no_start(error: OSError) -> tuple[str, str]:
    reason = f"it does not start ({error.strerror or error})"
    here = f"{platform.system()} on {platform.machine()}"
    if error.errno == errno.ENOEXEC:
        return reason, f"It is no program for this machine ({here}), or damaged. {_ANEW}"
    if error.errno == errno.ENOENT:
        return reason, f"The loader or interpreter that it names is not on this machine ({here}). {_ANEW}"
    return reason, _ANEW


def _why_no_answer(path: Path, wheel: bool, heard: Heard, timeout_s: float) -> tuple[str, str]:
    """Reason and remedy."""
    started = [str(path), "-c", "import bpy"] if wheel else [str(path), "-b"]
    by_hand = f"Start it by hand to see why: {shlex.join(started)}"
    if heard.ended == "late":
        return f"it did not answer within {timeout_s:g} s", by_hand
    if heard.ended == "flood":
        return f"it printed more than {OUTPUT_BYTES >> 20} MiB instead of an answer", by_hand
    if missing := missing_libraries(path, heard.said):
        return f"it lacks {', '.join(missing)}", advice(missing)
    if wheel and "No module named 'bpy'" in heard.said:
        return (
            "it is a Python without Blender's module `bpy`",
            f"Install it: {shlex.quote(str(path))} -m pip install bpy",
        )
    last = next((line.strip() for line in reversed(heard.said.splitlines()) if line.strip()), "it said nothing")[:160]
    if heard.exit_code < 0:
        name = signal.Signals(-heard.exit_code).name
        return f"it crashes at its start ({name}; {last})", f"{by_hand}. {_ANEW}"
    return f"it answers no question (exit code {heard.exit_code}; {last})", f"Is it a Blender? {by_hand}"
