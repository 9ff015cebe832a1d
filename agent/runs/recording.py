"""Owns reading the replies of a recorded run, so that it can be replayed without a key or network, and what of a
replay differed from its recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.config import NOT_SHAPING
from agent.errors import ConfigurationError
from agent.models.asked import Asked
from agent.models.base import ModelReply
from agent.models.recorded import MOST_TOLD, RecordedReply
from agent.runs.journal import read_journal, read_lines, write_atomically
from protocol.models import Value

PREFIX = "reply/"


class Faithfulness(Value):
    """How far a replay's requests were those of its recording."""

    requests: int
    drifted: int
    """That differ from the recording; each was given the reply recorded at its place."""
    first: tuple[str, ...]
    """Where differences began first, and which: "rollout/stage/round/role/call: …"."""

    def told(self) -> str:
        """In one line: "3 of 41 requests differ from the recording: …"."""
        if not self.drifted:
            return f"all {self.requests} requests are those of the recording"
        differ = "differs" if self.drifted == 1 else "differ"
        drifted = f"{self.drifted} of {self.requests} requests {differ} from the recording"
        return f"{drifted}: {' | '.join(self.first)}"


def read_replies(folder: Path) -> dict[str, RecordedReply]:
    """Reply key → reply and what was asked. Raises ConfigurationError when the folder holds no recording."""
    replies = {
        key: RecordedReply(
            reply=ModelReply.model_validate(entry["value"]),
            asked=Asked.model_validate(entry["asked"]) if "asked" in entry else None,
        )
        for key, entry in _replies(folder / "journal.jsonl")
    }
    if not replies:
        raise ConfigurationError(f"{folder} holds no recorded replies.", "Name the folder of a finished run.")
    return replies


def recorded_settings(folder: Path) -> dict[str, Any]:
    """What the recorded run's settings made of its result, for a replay; none where the record does not tell."""
    entry = next(read_journal(folder / "journal.jsonl"), {})
    settings = entry.get("config") if entry.get("event") == "run" else None
    left_out = NOT_SHAPING | {"model"}
    return {name: value for name, value in settings.items() if name not in left_out} if isinstance(settings, dict) else {}


def pack(folder: Path, target: Path) -> None:
    """Write what a replay needs of a run into another folder: its settings and the replies, no pictures or scenes."""
    kept = (line for line, entry in read_lines(folder / "journal.jsonl") if _is_recording(entry))
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / "journal.jsonl", b"".join(kept))


def _is_recording(entry: dict[str, Any]) -> bool:
    return entry["event"] == "run" or (entry["event"] == "step" and str(entry.get("key", "")).startswith(PREFIX))


def faithfulness(journal: Path) -> Faithfulness:
    """Of a replay, from its own journal, so that it counts what earlier processes replayed too."""
    replies = {key: ModelReply.model_validate(entry["value"]) for key, entry in _replies(journal)}
    drifts = [(key.rpartition("/")[0], reply.drift) for key, reply in replies.items() if reply.drift]
    first = [f"{place}: {drift.how}" for place, drift in drifts if drift.begins_here]
    return Faithfulness(requests=len(replies), drifted=len(drifts), first=tuple(first[:MOST_TOLD]))


def _replies(journal: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in read_journal(journal):
        if entry["event"] == "step" and entry["key"].startswith(PREFIX):
            yield entry["key"].removeprefix(PREFIX), entry
