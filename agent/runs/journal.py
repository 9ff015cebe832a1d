"""Owns the journal: the append-only record that is the one truth of a run, and the memory that makes it resumable.

A run is written as if nothing ever failed. Every step that costs something or could come out differently (a model's
reply, a tool's result, a proof) goes through `Journal.step`, keyed by its place and a digest of what was asked. A
resumed run walks the same way again; recorded steps answer at once, the first unrecorded one is where work goes on.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

log = logging.getLogger(__name__)

PART = ".part-"
"""How the names of files begin that are being written; a kill leaves them, the next process removes them."""


class Patience:
    """What is passed around what needs room on disk: `room.Room` waits for it, this does not."""

    def wait(self) -> None:
        """Before something that costs something."""

    def check(self) -> None:
        """Where something failed that a full disk may have made fail."""

    def patiently(self, write: Callable[[], T]) -> T:
        """Write what must not be lost."""
        return write()


class BlenderTold(BaseModel, frozen=True):
    """What a conversation is told of its Blender."""

    version: str = ""
    dialect: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What things are called in it."""


class Journal:
    """`journal.jsonl` in a run folder, with large values beside it in `replies/`, named by their digest."""

    def __init__(self, folder: Path, fence: Callable[[], None] = lambda: None) -> None:
        """`fence` is passed before each write, and raises where the run is another process's by now."""
        self._fence = fence
        self.room = Patience()
        self._path, self._blobs = folder / "journal.jsonl", folder / "replies"
        self._blobs.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._steps: dict[str, Any] = {}
        self.replayed = 0
        """Steps of this process that were answered from the record."""
        entries, unreadable = _whole_entries(self._path)
        self.begun = bool(entries)
        for entry in entries:
            if entry["event"] == "step" and {"key", "value"} <= entry.keys():
                self._steps[entry["key"]] = entry["value"]
        self._blenders = _blenders_told(entries)
        self.in_flight = _in_flight(entries)
        """What was being asked when the last process ended, by its step's key: asked for and perhaps paid, not seen."""
        self._file = self._path.open("ab", buffering=0)
        self._damaged = self._give_up_damaged(entries, unreadable)
        self._say: Callable[[str], None] | None = None

    def _give_up_damaged(self, entries: list[dict[str, Any]], unreadable: int) -> int:
        """Lines that cannot be read count once, however often the run is resumed: their steps are recorded anew."""
        known = max((entry.get("lines", 0) for entry in entries if entry["event"] == "damaged"), default=0)
        damaged = [key for key, value in self._steps.items() if self._is_damaged(value)]
        for key in damaged:
            del self._steps[key]
        steps = len(damaged) + max(0, unreadable - known)
        if steps:
            self.note("damaged", steps=steps, lines=unreadable, keys=damaged)
        return steps

    def tell_of_damage(self, say: Callable[[str], None]) -> None:
        """Say what is damaged, now and whenever more turns out to be: doing a step again may cost money."""
        self._say = say
        self._say_damaged(self._damaged)

    def _say_damaged(self, steps: int) -> None:
        if self._say and steps:
            are = "1 step of the record was" if steps == 1 else f"{steps} steps of the record were"
            self._say(f"{are} damaged and {'is' if steps == 1 else 'are'} done again")

    def _is_damaged(self, value: Any) -> bool:
        try:
            self._unpacked(value)
        except (OSError, ValueError) as error:
            log.warning("a record is damaged: %s", error)
            return True
        return False

    def close(self) -> None:
        self._file.close()

    def note(self, event: str, **facts: Any) -> None:
        """Append one event; returns when it is on disk."""
        line = _encoded({"at": round(time.time(), 3), "event": event, **facts})
        with self._lock:
            self.room.patiently(lambda: self._append(line + b"\n"))

    def _append(self, line: bytes) -> None:
        self._fence()  # a wait for room may have been long
        append(self._file, line)

    def blender_told(self, conversation: str) -> BlenderTold | None:
        """The Blender that a recorded conversation was begun with: asked again, it is told the same."""
        return self._blenders.get(conversation)

    def has(self, key: str) -> bool:
        return key in self._steps

    def keys(self, prefix: str) -> list[str]:
        """Of the recorded steps."""
        return [key for key in self._steps if key.startswith(prefix)]

    def recorded(self, key: str, kind: type[M]) -> M:
        """The recorded value of a step. Raises FileNotFoundError, ValueError where its record is damaged."""
        return kind.model_validate(self._unpacked(self._steps[key]))

    def step(self, key: str, kind: type[M], compute: Callable[[], M], **facts: Any) -> M:
        """The recorded value of this step, or `compute()`'s, recorded before it is returned."""
        if key in self._steps:
            try:
                recorded = self.recorded(key, kind)
            except (FileNotFoundError, ValueError) as error:
                log.warning("step %s is done again, its record was damaged: %s", key, error)
                self.note("damaged", steps=1, keys=[key])
                self._say_damaged(1)
            else:
                self.replayed += 1
                return recorded
        self.room.wait()
        value = compute()
        packed = self._packed(value.model_dump(mode="python"))
        self.note("step", key=key, value=packed, **facts)
        self._steps[key] = packed
        return value

    def _packed(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return {"$bytes": self._store(value)}
        if isinstance(value, dict):
            return {name: self._packed(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._packed(inner) for inner in value]
        return value

    def _unpacked(self, value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"$bytes"}:
                return self._blob(str(value["$bytes"]))
            return {name: self._unpacked(inner) for name, inner in value.items()}
        return [self._unpacked(inner) for inner in value] if isinstance(value, list) else value

    def _blob(self, name: str) -> bytes:
        data = (self._blobs / name).read_bytes()
        if not name.startswith(_digest(data)):
            (self._blobs / name).unlink()
            raise ValueError(f"{name} was changed from outside")
        return data

    def _store(self, data: bytes) -> str:
        suffix = ".png" if data.startswith(b"\x89PNG") else ".bin"
        name = _digest(data) + suffix
        place = self._blobs / name
        if not place.exists():
            self.room.patiently(lambda: write_atomically(place, data))
        return name


def digest_of(*parts: Any) -> str:
    """Short digest of JSON-able values, for keys."""
    return _digest(json.dumps(parts, sort_keys=True, default=_digestible).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _encoded(entry: dict[str, Any]) -> bytes:
    """One line of readable UTF-8; half a surrogate pair, which a model may well say, stands escaped in it."""
    try:
        return json.dumps(entry, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(entry).encode()


def _digestible(value: Any) -> Any:
    return base64.b64encode(hashlib.sha256(value).digest()).decode() if isinstance(value, bytes) else str(value)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a journal, oldest first, without touching it; torn and unreadable lines are left out."""
    return (entry for _, entry in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The same, each with the line that it was read from."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n") and (entry := _entry(line)) is not None:
                yield line, entry


def _whole_entries(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Read a journal and cut off a last line that a kill left torn; how many lines are damaged otherwise."""
    if not path.exists():
        return [], 0
    with path.open("rb+") as file:
        lines = file.readlines()
        if lines and not lines[-1].endswith(b"\n"):
            file.truncate(sum(map(len, lines[:-1])))
            del lines[-1]
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    return entries, len(lines) - len(entries)


def _in_flight(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    asked: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry["event"] == "asking" and "key" in entry:
            asked[entry["key"]] = entry
        elif entry["event"] in ("step", "unanswered", "lost"):
            asked.pop(entry.get("key", ""), None)
    return asked


def _blenders_told(entries: list[dict[str, Any]]) -> dict[str, BlenderTold]:
    """By conversation (rollout/stage/round/role) the Blender at work when its first reply was recorded."""
    told: dict[str, BlenderTold] = {}
    blender = BlenderTold()
    for entry in entries:
        if entry["event"] in ("run", "resumed"):
            with contextlib.suppress(ValidationError):  # a line that was changed from outside
                blender = BlenderTold.model_validate({"version": entry.get("blender"), "dialect": entry.get("dialect", {})})
        elif entry["event"] == "step" and str(entry.get("key", "")).startswith("reply/"):
            told.setdefault("/".join(entry["key"].split("/")[1:5]), blender)
    return told


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if isinstance(entry, dict) and "event" in entry:
        return entry
    log.warning("a line of the journal cannot be read: %.80r", line)
    return None


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Failures to write inside say the file: a full disk is told of a descriptor, without a name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def append(file: FileIO, line: bytes) -> None:
    """Add a line to a file that was opened for it; on disk when this returns, and nothing of it where it does not."""
    size = os.fstat(file.fileno()).st_size
    try:
        with naming(Path(os.fsdecode(file.name))):
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) or 0 :]
            os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), size)
        raise


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace a file so that a reader, or a kill, sees the old content or the new one, never a part."""
    raw = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    temporary = path.with_name(f"{PART}{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with naming(path), temporary.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
