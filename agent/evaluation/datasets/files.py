"""Owns what all layouts share: foreign files of a bounded size, ids that can name folders, and telling what is missing.

Nothing that a data set says is trusted: paths may be anything, and numbers are finite once they are read.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent.errors import InputUnreadable

MOST_BYTES = 64 * 2**20
"""Of one JSON file or manifest."""
_ID_CHARACTERS = 80
_TOLD_AT_MOST = 5


class Foreign(BaseModel, frozen=True, extra="ignore", allow_inf_nan=False):
    """What somebody else's file says: what we do not need is left alone."""


_Kind = TypeVar("_Kind", bound=BaseModel)


def is_file(path: Path) -> bool:
    return _mode(path) is not None and stat.S_ISREG(_mode(path) or 0)


def is_folder(path: Path) -> bool:
    return _mode(path) is not None and stat.S_ISDIR(_mode(path) or 0)


def _mode(path: Path) -> int | None:
    """None for what cannot be there: hostile names too."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def entries(folder: Path) -> list[Path]:
    """What a folder holds, by name, without what is hidden. Raises InputUnreadable."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except (OSError, ValueError) as error:
        raise InputUnreadable(f"Cannot read the folder {folder}: {reason_of(error)}.", "Check the path.") from error
    return sorted(found, key=natural)


def folders(folder: Path) -> list[Path]:
    return [path for path in entries(folder) if is_folder(path)]


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sorts "r_10" after "r_9"."""
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in re.split(r"(\d+)", path.name)]


def read_text(path: Path) -> str:
    """UTF-8 of at most MOST_BYTES. Raises InputUnreadable."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputUnreadable(f"Cannot read {path}: it is no regular file.", "Give the path of a file.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputUnreadable(f"Cannot read {path}: {reason_of(error)}.", "Check the path.") from error
    if len(content) > MOST_BYTES:
        message = f"Cannot read {path}: it has more than {MOST_BYTES // 2**20} MiB, which no data set's own file has."
        raise InputUnreadable(message, "Check that it is the right file, or split it.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputUnreadable(f"{path} is no UTF-8 text (byte {error.start + 1:,}).", "Save it as UTF-8.") from error


def read_json(path: Path, kind: type[_Kind]) -> _Kind:
    """Raises InputUnreadable."""
    return checked(str(path), parsed(str(path), read_text(path)), kind)


def parsed(where: str, text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputUnreadable(f"{where} is broken JSON: {error}.", "Copy or download it again.") from error
    return value


def checked(where: str, value: object, kind: type[_Kind]) -> _Kind:
    """`value` as `kind`; raises InputUnreadable that names the first thing that does not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = " → ".join(str(part)[:80] for part in first["loc"]) or "the whole"
        raise InputUnreadable(f"{where}, {place}: {first['msg'].lower()}.", "Correct it there.") from None


def reason_of(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).lower()


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def id_from(*parts: str) -> str:
    """Names a folder on any system: letters, digits, "_", "." and "-"."""
    text = "-".join(part for part in (re.sub(r"[^A-Za-z0-9_.-]+", "-", part).strip("-.") for part in parts) if part)
    return text.lstrip("_.-")[:_ID_CHARACTERS].rstrip("-.") or "picture"


def distinct(ids: Sequence[str], given: Iterable[str] = ()) -> list[str]:
    """The same ids, those that are there already (whatever their capitals) or `given` with a number behind them."""
    taken, result = {id.casefold() for id in given}, list[str]()
    for id in ids:
        name, number = id, 1
        while name.casefold() in taken:
            number += 1
            name = f"{id[: _ID_CHARACTERS - 8]}-{number}"
        taken.add(name.casefold())
        result.append(name)
    return result


def told(what: str, names: Iterable[object]) -> Iterator[str]:
    """A note that counts and names the first few; none for nothing."""
    listed = [str(name) for name in names]
    if listed:
        more = f" and {len(listed) - _TOLD_AT_MOST} more" if len(listed) > _TOLD_AT_MOST else ""
        yield f"{what} ({len(listed)}): {', '.join(listed[:_TOLD_AT_MOST])}{more}"
