"""Owns answers that cost something, kept in files named by what was asked, so that they are asked once.

A file that cannot be read, or is not what was written, counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from agent.runs.journal import write_atomically

DIGEST_BYTES = 32


class Kept:
    def __init__(self, folder: Path) -> None:
        """Made when the first answer is kept."""
        self._folder = folder

    def get(self, question: Sequence[str]) -> bytes | None:
        try:
            content = self._path(question).read_bytes()
        except OSError:
            return None
        digest, answer = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return answer if digest == hashlib.sha256(answer).digest() else None

    def put(self, question: Sequence[str], answer: bytes) -> None:
        """Best effort: what cannot be kept is asked again."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(question), hashlib.sha256(answer).digest() + answer)

    def _path(self, question: Sequence[str]) -> Path:
        return self._folder / hashlib.sha256(json.dumps(list(question)).encode()).hexdigest()
