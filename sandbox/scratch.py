"""Owns all temporary folders, above all those that workers live in: private, short enough for a socket's path, bounded,
gone afterwards.

One folder per pool, with one below it for each nanny and one for each Blender. A lock that the kernel releases says
that a pool still lives, so that what a killed orchestrator left behind is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import SetupFailed

PREFIX = "seig-box-"
BEING_MADE_S = 30.0
"""From the making of a folder to its lock: microseconds, but for a process that is held up."""
PATH_BYTES = 70
"""Of a pool's folder; a socket's path ends at 107 bytes."""


class Scratch:
    """A pool's folder, from its making to `close`."""

    def __init__(self) -> None:
        place = parent()
        remove_abandoned(place)
        try:
            while (made := _made(place)) is None:
                pass
        except OSError as error:
            raise SetupFailed(f"no temporary folder can be made: {error}", "Look at TMPDIR.") from error
        self.folder, self._lock = made
        self._numbers = itertools.count(1)

    def folders(self) -> tuple[Path, Path]:
        """One for a nanny and one for its Blender, where no other Blender finds them: at L2 it could reach a socket
        whose path it knows."""
        number = next(self._numbers)
        pair = [self.folder / f"{kind}{number}-{secrets.token_hex(8)}" for kind in "nw"]
        for folder in pair:
            folder.mkdir(mode=0o700)
        return pair[0], pair[1]

    def close(self) -> None:
        remove(self.folder)
        os.close(self._lock)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder until the block ends; where its process is killed meanwhile, the next one removes it."""
    scratch = Scratch()
    try:
        inner = scratch.folder / "t"
        inner.mkdir(mode=0o700)
        yield inner
    finally:
        scratch.close()


def _made(place: Path) -> tuple[Path, int] | None:
    """A folder and its lock, held; None where another process took it for abandoned before it was locked."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(folder / "lock")):
            return folder, lock
    os.close(lock)
    return None


def remove(folder: Path) -> None:
    """Delete a folder that generated code wrote into; links are not followed, closed folders are opened."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for path, _, _ in os.walk(folder):  # does not follow links
            os.chmod(path, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(place: Path) -> None:
    """Remove the folders of pools whose process is gone."""
    for folder in place.glob(PREFIX + "*"):
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # somebody else's, or being made: at this moment, or by a process that was killed meanwhile
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > BEING_MADE_S:
                    folder.rmdir()  # only if it is empty
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
        except OSError:
            pass  # held: its pool lives
        finally:
            os.close(lock)


def copy(source: int, target: int, limit_bytes: int = 1 << 62) -> None:
    """From one descriptor to another, inside the kernel where it can; a source that grows is cut off at the limit."""
    if sys.platform != "linux":
        with os.fdopen(os.dup(source), "rb") as reader, os.fdopen(os.dup(target), "wb") as writer:
            while (data := reader.read(min(1 << 20, limit_bytes))) and limit_bytes > 0:
                limit_bytes -= writer.write(data)
        return
    offset = 0
    while sent := os.sendfile(target, source, offset, min(1 << 30, limit_bytes - offset)):
        offset += sent


def used_bytes(folder: Path, entries: int = 100_000) -> int:
    """What all plain files below hold on disk; stops counting, and says infinitely much, after so many entries."""
    total, stack = 0, [str(folder)]
    while stack:
        try:
            with os.scandir(stack.pop()) as found:
                for entry in found:
                    entries -= 1
                    if entries < 0:
                        return 1 << 62
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        stack.append(entry.path)
        except OSError:  # went away while we looked
            continue
    return total


def parent() -> Path:
    """Where pools' folders are made. Raises SetupFailed where there is no such place."""
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(name)) + len(PREFIX) + 9 <= PATH_BYTES and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise SetupFailed("no temporary folder with a short path can be written to", "Set TMPDIR to one, such as /tmp.")
