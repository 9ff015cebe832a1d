"""Owns the accepted states of scenes: files that no Blender can see, each with a manifest that says where it came from.

`<id>.blend` is the scene, `<id>.json` its manifest, written last: what has no manifest was never accepted. An id is a
digest of the file, its parent and its edit, so snapshots form a tree and none is ever overwritten. A nanny copies what
its Blender saved into a draft here; only a draft that was checked and judged becomes a snapshot. A file may be removed
to make room (`prune`): its manifest stays, so that what it was and where it came from is still known.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from pydantic import Field

from protocol.errors import BlenderError
from protocol.models import FingerprintReply, Value
from sandbox.blend_file import NoBlendFile, parse_version, written_by

KNOWN = 16
"""Manifests that are held in memory."""
PROOF = "proof"
"""The stage of edits that only show that a scene rebuilds."""
READERS = Path(__file__).resolve().parent.parent / "blender_server"


class Edit(Value):
    """A piece of code that a model (or a tool on its behalf) wants run, and its place in the run."""

    index: int
    label: str
    stage: str
    round: int
    source: str
    seed: int
    keep_slots: bool = False


class Snapshot(Value):
    """An accepted state of the scene."""

    id: str
    parent: str | None
    edit: Edit | None
    """What led here from the parent; None for the empty start."""
    blender: str
    """Version of the Blender that wrote the file."""
    bytes: int
    sha256: str
    """Of the file."""


class Reading(Value):
    """What another Blender than the one that wrote it reads in a snapshot."""

    fingerprint: FingerprintReply
    reader: str
    rebuilt: str | None = None
    """Id of the snapshot that stands in for it there, because the same edits led to it in that Blender."""


class Manifest(Value):
    snapshot: Snapshot
    fingerprint: FingerprintReply
    """As the Blender that wrote it reads it."""
    reader: str = ""
    """Digest of the code that took the fingerprint; another's cannot be compared with ours."""
    elsewhere: dict[str, Reading] = Field(default_factory=dict)
    """By version of Blender: a fingerprint counts only for the one that took it."""


class SnapshotUnfit(BlenderError):
    """A file that cannot become a snapshot, or a snapshot that cannot be used any more."""


class SnapshotStore:
    """A folder of snapshots. Several sessions, and several processes, may add to it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._snapshots: dict[str, Snapshot] = {}
        self._known: dict[str, Manifest] = {}
        """The last few; their fingerprints are large."""
        self._remembering = threading.Lock()
        self._spare: dict[str, None] = {}
        self._placing = threading.Lock()
        """Held while a file is put in its place or removed: what is accepted anew is not spare any more."""
        self._digesting = ThreadPoolExecutor(2, "snapshot-digest")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_lost_drafts()

    def path(self, id: str) -> Path:
        return self.folder / f"{_checked(id)}.blend"

    def get(self, id: str) -> Snapshot:
        return self._snapshots.get(id) or self._manifest(id).snapshot

    def fingerprint(self, id: str, blender: str = "") -> FingerprintReply | None:
        """As a Blender of this version reads it (by default the one that wrote it); None where none has, or other code
        than today's."""
        manifest = self._manifest(id)
        written_by_it = blender in ("", manifest.snapshot.blender)
        reading = manifest if written_by_it else manifest.elsewhere.get(blender)
        return reading.fingerprint if reading and reading.reader == reader_digest() else None

    def renew(self, id: str, blender: str, fingerprint: FingerprintReply) -> None:
        """Remember what today's code reads in a snapshot in this Blender, beside what others have read."""
        old, digest = self._manifest(id), reader_digest()
        if blender == old.snapshot.blender:
            changed: dict[str, object] = {"fingerprint": fingerprint, "reader": digest}
        else:
            reading = Reading(fingerprint=fingerprint, reader=digest, rebuilt=self.stand_in(id, blender))
            changed = {"elsewhere": {**old.elsewhere, blender: reading}}
        self._note(old.model_copy(update=changed))

    def let_stand_in(self, id: str, rebuilt: Snapshot) -> None:
        """Let the snapshot that the same edits led to in a newer Blender be what that Blender opens and reads."""
        old, theirs = self._manifest(id), self._manifest(rebuilt.id)
        reading = Reading(fingerprint=theirs.fingerprint, reader=theirs.reader, rebuilt=rebuilt.id)
        self._note(old.model_copy(update={"elsewhere": {**old.elsewhere, rebuilt.blender: reading}}))

    def stand_in(self, id: str, blender: str) -> str | None:
        """Id of the snapshot that a Blender of this version opens in the place of this one."""
        reading = self._manifest(id).elsewhere.get(blender)
        return reading.rebuilt if reading else None

    def is_read(self, id: str, blender: str) -> bool:
        """Whether a Blender of this version has a baseline of it."""
        manifest = self._manifest(id)
        return blender == manifest.snapshot.blender or blender in manifest.elsewhere

    def ancestry(self, id: str) -> list[Snapshot]:
        """From the empty start to this one."""
        chain = [self.get(id)]
        while chain[-1].parent is not None:
            chain.append(self.get(chain[-1].parent))
        return chain[::-1]

    def stand_ins(self, id: str) -> set[str]:
        """Ids of all snapshots that other Blenders open in the place of this one."""
        return {reading.rebuilt for reading in self._manifest(id).elsewhere.values() if reading.rebuilt}

    # ── room ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def ids(self) -> set[str]:
        """Of all files here, those among them whose manifest a kill prevented."""
        return {path.stem for path in self.folder.glob("*.blend")}

    def file_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*.blend"))

    def order(self, id: str) -> tuple[bool, int, str]:
        """What is missed least comes first: what was never accepted or proofs built, then by the number of edits."""
        try:
            edit = self.get(id).edit
        except SnapshotUnfit:
            return (False, 0, id)
        return (edit is None or edit.stage != PROOF, edit.index if edit else 0, id)

    def can_spare(self, ids: Iterable[str]) -> None:
        """Let `prune` remove the files of these snapshots, in this order; one that is accepted anew stays."""
        with self._placing:
            self._spare = dict.fromkeys(ids)

    def prune(self, is_enough: Callable[[int], bool]) -> tuple[int, int]:
        """Remove files that can be spared until so many freed bytes are enough; how many files, and their bytes."""
        files, freed = 0, 0
        while self._spare and not is_enough(freed):
            with self._placing, contextlib.suppress(FileNotFoundError):
                path = self.path(next(iter(self._spare)))
                del self._spare[path.stem]
                freed += path.stat().st_size
                path.unlink()
                files += 1
        return files, freed

    def verify(self, id: str) -> Path:
        """The path of a snapshot whose file is still what was accepted."""
        path, wanted = self.path(id), self.get(id)
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            why = "removed to make room, as nothing needed it any more, or removed from outside"
            others = "`resume --from-stage` begins at one that is kept"
            raise SnapshotUnfit(f"the file of snapshot {id[:12]} is gone: it was {why}. {others}") from error
        except OSError as error:
            raise SnapshotUnfit(f"snapshot {id[:12]} cannot be read: {error}") from error
        if found != wanted.sha256:
            raise SnapshotUnfit(f"snapshot {id[:12]} was changed from outside: its file is not what was accepted")
        return path

    def draft(self, blender: str) -> Draft:
        """An empty file for a nanny to fill with what its Blender, of this version, has saved."""
        return Draft(self, blender)

    def _remove_lost_drafts(self) -> None:
        """What a killed process was about to accept: nobody holds it any more."""
        for draft in self.folder.glob(".draft-*"):
            with contextlib.suppress(OSError), draft.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink()

    def _manifest(self, id: str) -> Manifest:
        if (known := self._known.get(id)) is not None:
            return known
        try:
            text = (self.folder / f"{_checked(id)}.json").read_bytes()
            return self._remember(Manifest.model_validate_json(text))
        except OSError as error:
            raise SnapshotUnfit(f"there is no snapshot {id[:12]}") from error
        except ValueError as error:
            raise SnapshotUnfit(f"the manifest of snapshot {id[:12]} cannot be read") from error

    def _remember(self, manifest: Manifest) -> Manifest:
        snapshot = manifest.snapshot
        with self._remembering:
            self._snapshots[snapshot.id] = snapshot
            self._known[snapshot.id] = manifest
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return manifest

    def _add(self, draft: Path, manifest: Manifest) -> None:
        file = self.path(manifest.snapshot.id)
        with self._placing:
            os.replace(draft, file)
            self._spare.pop(manifest.snapshot.id, None)
        try:
            self._note(manifest)
        except OSError:
            if not file.with_suffix(".json").exists():  # else it had been accepted before
                file.unlink(missing_ok=True)
            raise

    def _note(self, manifest: Manifest) -> None:
        id = manifest.snapshot.id
        note = self.folder / f".{id}.{threading.get_ident()}.{os.getpid()}.json"
        try:
            note.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
            _sync(note)
            os.replace(note, self.folder / f"{id}.json")
        finally:
            note.unlink(missing_ok=True)
        _sync(self.folder)
        self._remember(manifest)


class Draft:
    """A file inside the store's folder that is not accepted yet; gone at the end of the `with` unless adopted."""

    def __init__(self, store: SnapshotStore, blender: str) -> None:
        self._store, self._blender = store, blender
        try:
            self._handle, name = tempfile.mkstemp(prefix=".draft-", dir=store.folder)
        except OSError as error:
            raise SnapshotUnfit(f"what was saved cannot be kept: {error.strerror}") from error
        with contextlib.suppress(OSError):  # not on every disk
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that it is not a lost one
        self.path = Path(name)

    def check(self) -> None:
        """Look at what it was filled with. Raises SnapshotUnfit unless it is a file that this Blender can open."""
        _check_version(self.path, self._blender)
        self.bytes = self.path.stat().st_size
        self._sha256 = self._store._digesting.submit(_digest, self.path)  # while others look at it

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._handle)

    def adopt(self, parent: str | None, edit: Edit | None, fingerprint: FingerprintReply) -> Snapshot:
        """Accept it, on disk before this returns."""
        sha256 = self._sha256.result()
        origin = json.dumps([sha256, parent, edit and edit.model_dump()], sort_keys=True)
        snapshot = Snapshot(
            id=hashlib.sha256(origin.encode()).hexdigest(),
            parent=parent,
            edit=edit,
            blender=self._blender,
            bytes=self.bytes,
            sha256=sha256,
        )
        try:
            self._store._add(self.path, Manifest(snapshot=snapshot, fingerprint=fingerprint, reader=reader_digest()))
        except OSError as error:
            raise SnapshotUnfit(f"what was saved cannot be kept: {error.strerror}") from error
        return snapshot


@functools.cache
def reader_digest() -> str:
    """Of the code that runs inside Blender: what a fingerprint says depends on it."""
    files = sorted(READERS.glob("*.py"))
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def _digest(path: Path) -> str:
    """Of a file that is on disk when this returns."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_version(path: Path, blender: str) -> None:
    try:
        version = written_by(path)
    except NoBlendFile as error:
        raise SnapshotUnfit(f"what was saved cannot be used: {error}") from error
    if version > parse_version(blender):
        raise SnapshotUnfit(f"the file is of Blender {version[0]}.{version[1]}, newer than {blender}")


def _checked(id: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", id):
        raise SnapshotUnfit(f"{id[:80]!r} is no snapshot")
    return id


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
