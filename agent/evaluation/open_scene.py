"""Owns what a Blender is asked about a delivered scene: in the box, started when the first answer needs one.

What costs time is kept by content, so that a second evaluation starts none. What is asked, and what for: `views.py`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgpack

from agent.config import Config
from agent.errors import InputUnreadable
from agent.evaluation.kept import Kept
from agent.evaluation.scene_mesh import Vertices
from agent.opening import pool_of
from agent.runs.folder import RunFolder
from agent.tools.workbench import once_more
from protocol.errors import ProcessFault, RequestFailed
from protocol.models import MIB, Reply, Request, WarpRequest
from sandbox.calling import command
from sandbox.discovery import Blender
from sandbox.pool import Pool
from sandbox.scratch import temporary_folder
from sandbox.snapshots import reader_digest
from sandbox.worker import Worker

WARPED_BYTES = 15 * MIB
"""As base64, in one request."""
Answer = tuple[Reply, list[bytes]]


class SceneFailed(InputUnreadable):
    """The delivered scene cannot be opened, read or rendered."""


class OpenScene:
    """The scene of a run's folder, and the Blender that has it open. For one thread at a time."""

    def __init__(
        self,
        scene: Path,
        config: Config,
        blender: Blender,
        pool: Pool | None,
        kept: Kept | None,
        lifetime: contextlib.ExitStack,
    ) -> None:
        self._scene, self._config, self._blender = scene, config, blender
        self._pool, self._kept, self._lifetime = pool, kept, lifetime
        self._device = pool.device if pool else str(config.gpu or "CPU")
        self._worker: Worker | None = None
        self._open_as: str | None = None
        """Digest of the vertices with which it has the scene open."""

    def ask(self, request: Request, warped: Mapping[str, Vertices] = {}) -> Answer:
        """An answer about the scene, or about it with other vertices: as kept, or by a Blender."""
        digest = _digest_of(warped)
        about = (self._digest, self._blender.version, reader_digest(), self._device, digest)
        question = (*about, request.method, request.model_dump_json())
        if self._kept and (answer := _unpacked(request, self._kept.get(question))):
            return answer
        timeout_s = self._config.limits.render_s
        with self.blamed():
            answer = once_more(lambda: self._holding(warped, digest).call(request, timeout_s))
        if self._kept:
            self._kept.put(question, _packed(answer))
        return answer

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """What a Blender refuses or dies of is the scene's doing."""
        try:
            yield
        except (RequestFailed, ProcessFault) as error:
            message = f"The scene {self._scene} cannot be evaluated: {error.message[-500:]}."
            remedy = f"To see whether it is what was delivered: {command('verify', self._scene.parent)}"
            raise SceneFailed(message, remedy) from error

    def _holding(self, warped: Mapping[str, Vertices], digest: str) -> Worker:
        """A Blender that has the scene open with these vertices."""
        if self._worker is not None and self._worker.ended:
            self._open_pool.retire(self._worker)
            self._worker = None
        if self._worker is None:
            self._worker, self._open_as = self._open_pool.boot(), None
            self._lifetime.callback(self._open_pool.retire, self._worker)
        if self._open_as != digest:
            self._open_as = None
            self._worker.restore(self._scene)
            for batch in _batches(warped):
                self._worker.call(WarpRequest(objects=batch))
            self._open_as = digest
        return self._worker

    @functools.cached_property
    def _open_pool(self) -> Pool:
        if self._pool is not None:
            return self._pool
        aside = self._lifetime.enter_context(temporary_folder())
        alone = self._config.model_copy(update={"standby": False})
        return self._lifetime.enter_context(pool_of(RunFolder(aside), alone, self._blender))[0]

    @functools.cached_property
    def _digest(self) -> str:
        """Of the scene's file."""
        try:
            with self._scene.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SceneFailed(f"{self._scene} cannot be read: {error.strerror}.", "See to its rights.") from error


def _digest_of(warped: Mapping[str, Vertices]) -> str:
    """Empty for none."""
    each = [f"{name!r} {hashlib.sha256(vertices.tobytes()).hexdigest()}" for name, vertices in warped.items()]
    return hashlib.sha256("\n".join(each).encode()).hexdigest() if each else ""


def _batches(warped: Mapping[str, Vertices]) -> Iterator[dict[str, str]]:
    """What can be sent in one request each. ValueError for an object that is too large for one alone."""
    batch, size = dict[str, str](), 0
    for name, vertices in warped.items():
        text = base64.b64encode(vertices.tobytes()).decode()
        if len(text) > WARPED_BYTES:
            raise ValueError(f"{name!r} has {len(vertices):,} vertices, too many to be replaced")
        if size + len(text) > WARPED_BYTES:
            yield batch
            batch, size = {}, 0
        batch[name], size = text, size + len(text)
    if batch:
        yield batch


def _packed(answer: Answer) -> bytes:
    reply, payloads = answer
    return bytes(msgpack.packb([reply.model_dump_json(), *payloads]))


def _unpacked(request: Request, kept: bytes | None) -> Answer | None:
    """None where nothing is kept, or what another version has written."""
    if kept is None:
        return None
    try:
        reply, *payloads = msgpack.unpackb(kept)
        return type(request).reply.model_validate_json(reply), payloads
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
