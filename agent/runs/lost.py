"""Owns what was being asked when a process that worked in a run ended, and is booked by the next that can."""

from __future__ import annotations

import contextlib

from agent.models.base import ModelReply, Place, Usage
from agent.runs.budget import Ledger
from agent.runs.journal import Journal


def book_lost(journal: Journal, ledger: Ledger) -> int:
    """Book what was under way when the run was killed: replies that were stored, at what they cost, and calls that
    nobody has seen the reply of, at the most that they can have cost; how many of these."""
    for key in journal.keys("reply/"):
        if not ledger.knows(key):
            with contextlib.suppress(FileNotFoundError, ValueError):  # damaged: asked for again, and booked then
                reply = journal.recorded(key, ModelReply)
                ledger.book(key, place_of(key), reply.model, reply.usage, 0.0, http=reply.http)
    for key, entry in journal.in_flight.items():
        place, worst = Place.model_validate(entry["place"]), Usage.model_validate(entry["worst"])
        ledger.book(key, place, entry["model"], worst, 0.0, answered=False)
        journal.note("lost", key=key)
    return len(journal.in_flight)


def place_of(key: str) -> Place:
    """Where a stored reply was asked for."""
    _, rollout, stage, round_, role, ordinal, _ = key.split("/")
    said = {"rollout": int(rollout), "stage": stage, "round": int(round_), "role": role, "ordinal": int(ordinal)}
    return Place.model_validate(said)
