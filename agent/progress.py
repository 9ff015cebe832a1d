"""Owns the lines by which a farm's engine follows a run: as Open Job Description, CGRU or JSON lines.

Sources: Open Job Description, "How Jobs Are Run", stdout/stderr messages; CGRU/Afanasy, parser base class.
"""

from __future__ import annotations

import json
from typing import Literal, get_args

Progress = Literal["none", "openjd", "cgru", "jsonl"]
FORMATS: tuple[str, ...] = get_args(Progress)


def progress_lines(kind: Progress, percent: float, where: str) -> list[str]:
    """What to print when a run has come to `where`, `percent` of the whole (0 to 100)."""
    said = _one_line(where)
    if kind == "openjd":
        return [f"openjd_progress: {percent:.1f}", f"openjd_status: {said}"]
    if kind == "cgru":
        return [f"PROGRESS: {percent:.0f}%", f"ACTIVITY: {said}"]
    if kind == "jsonl":
        return [json.dumps({"percent": round(percent, 1), "where": said}, ensure_ascii=False)]
    return []


def failure_lines(kind: Progress, failure_class: str, exit_code: int, message: str) -> list[str]:
    """What to print before a run ends with an exit code other than 0."""
    said = _one_line(message)
    if kind == "openjd":
        return [f"openjd_fail: {failure_class}: {said}"]
    if kind == "cgru":
        return [f"ACTIVITY: failed, {failure_class}: {said}"]
    if kind == "jsonl":
        return [json.dumps({"failed": failure_class, "exit_code": exit_code, "message": said}, ensure_ascii=False)]
    return []


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
