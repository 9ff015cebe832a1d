"""Owns the manifest: one row per picture, as CSV or JSON lines, checked as a whole before anything is started.

Row K of a manifest is task K of the farm, so a batch keeps the digest of its rows and refuses another manifest.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from agent.errors import InputUnreadable, UsageError
from agent.farm.path_map import PathMap
from protocol.models import Value

COLUMNS = ("id", "image", "seed", "settings")
"""Beside them a CSV may have columns of any setting by its dotted name ("preset", "budget.usd"); in JSON lines these
stand in an object "settings"."""
FROZEN = "manifest.jsonl"
"""A batch's own copy, a line for each row."""
MOST_ROWS = 100_000
RESERVED = frozenset({"farm", "batch.json", "batch.csv", "batch.html", "template.json"})
"""No ids: what a batch's folder holds beside the rows' folders."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_TOLD_AT_MOST = 5


class Row(Value):
    """One picture to be turned into a scene."""

    index: int
    """From 1, as farms count tasks."""
    id: str
    """Names the run's folder."""
    image: Path
    """As this machine reads it: absolute, or relative to where we are."""
    seed: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    """Dotted name → value, over those of the batch."""


class Manifest(Value):
    rows: tuple[Row, ...]
    digest: str
    """Of what the file says, so not of where this machine keeps the pictures."""

    def row(self, index: int) -> Row:
        """Raises UsageError for an index that no row has."""
        if not 1 <= index <= len(self.rows):
            raise _no_such_row(len(self.rows), index)
        return self.rows[index - 1]


def read_manifest(path: Path, path_map: PathMap | None = None) -> Manifest:
    """Raises InputUnreadable for a file that cannot be read, UsageError for rows that cannot be meant.

    Pictures are relative to the manifest's folder; whether they are there is `missing_pictures`'s to tell.
    """
    text = _text(path)
    entries = list(_json_lines(path, text) if _is_json(path, text) else _csv_lines(path, text))
    if not entries:
        raise UsageError(f"the manifest {path} has no rows.", "Give it a line for each picture: image=photo.jpg")
    if len(entries) > MOST_ROWS:
        raise UsageError(f"the manifest {path} has {len(entries):,} rows, and {MOST_ROWS:,} is the most.", "Split it.")
    rows = [_row(path, number, line, entry, path_map) for number, (line, entry) in enumerate(entries, start=1)]
    _refuse_duplicates(path, rows, [line for line, _ in entries])
    said = json.dumps([entry for _, entry in entries], sort_keys=True, ensure_ascii=False)
    return Manifest(rows=tuple(rows), digest=hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest())


def read_row(path: Path, index: int, path_map: PathMap | None = None) -> Row:
    """One row of a manifest. Of a batch's own, which was checked as a whole when it was frozen, no other is looked at:
    to read it takes no longer the more rows there are. Raises as `read_manifest` and `Manifest.row` do."""
    if path.name != FROZEN or not path.with_name("batch.json").exists():
        return read_manifest(path, path_map).row(index)
    lines = _text(path).splitlines()
    if not 1 <= index <= len(lines):
        raise _no_such_row(len(lines), index)
    (_, entry), *_ = _json_lines(path, lines[index - 1])
    return _row(path, index, index, entry, path_map)


def refuse_missing_pictures(path: Path, rows: Iterable[Row]) -> None:
    """Raises InputUnreadable that names the first few pictures which are not there."""
    missing = [row for row in rows if not _is_there(row.image)]
    if missing:
        named = ", ".join(f"{row.image} (row {row.index})" for row in missing[:_TOLD_AT_MOST])
        more = f" and {len(missing) - _TOLD_AT_MOST} more" if len(missing) > _TOLD_AT_MOST else ""
        pictures = "1 picture" if len(missing) == 1 else f"{len(missing)} pictures"
        remedy = "Paths are relative to the manifest; correct them there."
        raise InputUnreadable(f"{pictures} of {path} cannot be found: {named}{more}.", remedy)


def _is_there(picture: Path) -> bool:
    try:
        return picture.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _no_such_row(rows: int, index: int) -> UsageError:
    return UsageError(f"the manifest has rows 1 to {rows}, and no row {index}.", "Correct --index.")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputUnreadable(f"the manifest {path}: {(error.strerror or str(error)).lower()}.", "Check it.") from None
    except UnicodeDecodeError as error:
        message = f"the manifest {path} is no UTF-8 text (byte {error.start + 1:,})."
        raise InputUnreadable(message, "Save it as UTF-8.") from None


def _is_json(path: Path, text: str) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson", ".json") or text.lstrip().startswith("{")


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}, line {number}: no JSON ({error}).", "Each line is one object.") from None
        if not isinstance(entry, dict):
            raise UsageError(f"{path}, line {number}: is no object.", 'Write {"image": "photo.jpg"}.')
        if unknown := sorted(entry.keys() - set(COLUMNS)):
            hint = f'There are {", ".join(COLUMNS)}; settings stand in an object "settings".'
            raise UsageError(f"{path}, line {number}: {unknown[0]!r} is not known.", hint)
        yield number, entry


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        while names and not names[-1]:  # columns that a spreadsheet ends each line with
            del names[-1]
        if names and "image" not in names:
            message = f"the manifest {path} has no column 'image', only {', '.join(map(repr, names))[:200]}."
            raise UsageError(message, "Its first line names the columns: id,image,seed")
        if repeated := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"the manifest {path} has two columns {repeated[0]!r}.", "Remove one.")
        reader.fieldnames = names
        for entry in reader:
            if any(entry.get("", ())):
                raise UsageError(f"{path}, line {reader.line_num}: has more fields than columns.", "Quote commas.")
            yield reader.line_num, _nested({name: text.strip() for name, text in entry.items() if name and text})
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}.", "Correct the quotes there.") from None


def _nested(cells: Mapping[str, str]) -> dict[str, Any]:
    """What is no column of its own is a setting."""
    known = {name: text for name, text in cells.items() if name in COLUMNS and name != "settings"}
    settings = {name: _value(text) for name, text in cells.items() if name not in COLUMNS}
    return {**known, "settings": settings} if settings else dict(known)


def _value(text: str) -> Any:
    """A cell as a setting takes it: a number, true, false, else text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _row(path: Path, number: int, line: int, entry: Mapping[str, Any], path_map: PathMap | None) -> Row:
    image, where = entry.get("image", ""), f"{path}, line {line}"
    if not isinstance(image, str) or not image:
        raise UsageError(f"{where}: names no picture.", "Fill in its image.")
    mapped = path_map.mapped(image) if path_map else image
    id = entry.get("id") or re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(image).stem).strip("-.") or f"row-{number}"
    if not isinstance(id, str) or not _ID.fullmatch(id):
        remedy = "An id is 1 to 80 letters, digits, '_', '.' or '-', and begins with a letter or digit."
        raise UsageError(f"{where}: the id {str(id)[:80]!r} cannot name a folder.", remedy)
    if id.casefold() in RESERVED:
        raise UsageError(f"{where}: {id!r} is the name of a file of the batch's own.", "Give the row another id.")
    settings = entry.get("settings") or {}
    if not isinstance(settings, dict):
        raise UsageError(f"{where}: its settings are no object.", 'Write {"preset": "quick"}.')
    return Row(index=number, id=id, image=path.parent / mapped, seed=_seed(where, entry), settings=settings)


def _seed(where: str, entry: Mapping[str, Any]) -> int | None:
    seed = entry.get("seed", "")
    try:
        number = None if seed in ("", None) else int(str(seed))
    except ValueError:
        raise UsageError(f"{where}: the seed {str(seed)[:40]!r} is no whole number.", "Correct it there.") from None
    if number is not None and number < 0:
        raise UsageError(f"{where}: the seed {number} is below 0.", "Correct it there.")
    return number


def _refuse_duplicates(path: Path, rows: list[Row], lines: list[int]) -> None:
    """Folders on some disks do not tell capitals from small letters."""
    seen: dict[str, int] = {}
    for row, line in zip(rows, lines, strict=True):
        if (first := seen.setdefault(row.id.casefold(), line)) != line:
            message = f"{path}, line {line}: the id {row.id!r} is taken by line {first}."
            raise UsageError(message, "Give each row an id of its own; without one it is the picture's name.")
