"""Owns reading the replies of a recorded run, so that it can be replayed without a key or network."""

from __future__ import annotations

from pathlib import Path

from agent.errors import ConfigurationError
from agent.models.base import ModelReply
from agent.runs.journal import read_journal

PREFIX = "reply/"


def read_replies(folder: Path) -> dict[str, ModelReply]:
    """Reply key → reply. Raises ConfigurationError when the folder holds no recording."""
    replies = {
        entry["key"].removeprefix(PREFIX): ModelReply.model_validate(entry["value"])
        for entry in read_journal(folder / "journal.jsonl")
        if entry["event"] == "step" and entry["key"].startswith(PREFIX)
    }
    if not replies:
        raise ConfigurationError(f"{folder} holds no recorded replies.", "Name the folder of a finished run.")
    return replies
