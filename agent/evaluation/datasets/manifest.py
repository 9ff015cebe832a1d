"""Owns the list that a user writes: a line for each picture, as CSV or JSON lines, with what is known of it.

Columns: id, group, image, mask, mesh, camera, novel; only image is needed, and paths are relative to the list. Pictures
of one `group` show the same scene. `camera` names a file in the form of `cameras.json` (in JSON lines it may be the
object itself); `novel` names pictures, in a CSV with ";" between them, whose cameras are in that file under their
names. What a manifest of a batch has beside them is left alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from agent.errors import InputUnreadable
from agent.evaluation.data import Dataset, Item, MeshFile, View
from agent.evaluation.datasets.files import (
    Foreign,
    checked,
    distinct,
    id_from,
    is_file,
    parsed,
    read_json,
    read_text,
    told,
)
from agent.evaluation.datasets.scenes import StoredCameras

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".json")
COLUMNS = ("id", "group", "image", "mask", "mesh", "camera", "novel")
_OF_A_BATCH = ("seed", "settings")
_MESHES = (".glb", ".gltf")
_MOST_ROWS = 100_000


class _Row(Foreign):
    id: str = ""
    group: str = Field("", max_length=80)
    image: str = Field(min_length=1)
    mask: str = ""
    mesh: str = ""
    camera: str | StoredCameras = ""
    novel: tuple[str, ...] = ()


def looks_like(path: Path) -> bool:
    return is_file(path) and path.suffix.lower() in SUFFIXES


def read(path: Path) -> Dataset:
    """Raises InputUnreadable."""
    text = read_text(path)
    is_json = path.suffix.lower() in SUFFIXES[1:] or text.lstrip().startswith("{")
    lines = list(_json_lines(path, text) if is_json else _csv_lines(path, text))
    if not 1 <= len(lines) <= _MOST_ROWS:
        message = f"{path} has {len(lines):,} rows, and should have between 1 and {_MOST_ROWS:,}."
        raise InputUnreadable(message, "Give it a line for each picture, below a first line: id,image")
    rows = [(f"{path}, line {line}", checked(f"{path}, line {line}", cells, _Row)) for line, cells in lines]
    _refuse_repeated([(where, row.id) for where, row in rows if row.id])
    ids = _ids([row for _, row in rows])
    items = tuple(_item(id, where, row, path.parent) for id, (where, row) in zip(ids, rows, strict=True))
    unread = dict.fromkeys(name for _, cells in lines for name in cells if name not in COLUMNS + _OF_A_BATCH)
    return Dataset(name=path.stem, items=items, notes=tuple(told("columns that are not read", unread)))


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            value = parsed(where, line)
            if not isinstance(value, dict):
                raise InputUnreadable(f"{where} is no object.", 'Write {"image": "photo.jpg"}.')
            yield number, value


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if "image" not in names:
            message = f"{path} has no column 'image', only {', '.join(map(repr, names))[:200] or 'nothing'}."
            raise InputUnreadable(message, f"Its first line names the columns: {','.join(COLUMNS)}")
        reader.fieldnames = names
        for entry in reader:
            if any(entry.pop("", None) or ()):
                raise InputUnreadable(f"{path}, line {reader.line_num} has more fields than columns.", "Quote commas.")
            cells = {name: cell.strip() for name, cell in entry.items() if cell and cell.strip()}
            yield (
                reader.line_num,
                {**cells, "novel": [part.strip() for part in cells.get("novel", "").split(";") if part]},
            )
    except csv.Error as error:
        message = f"{path}, line {reader.line_num}: {error}."
        raise InputUnreadable(message, "Correct the quotes there.") from error


def _refuse_repeated(ids: list[tuple[str, str]]) -> None:
    seen = dict[str, str]()
    for where, id in ids:
        if id_from(id) != id:
            remedy = "An id is 1 to 80 letters, digits, '_', '.' or '-', and begins with a letter or digit."
            raise InputUnreadable(f"{where}: the id {id[:80]!r} cannot name a folder.", remedy)
        if (first := seen.setdefault(id.casefold(), where)) != where:
            raise InputUnreadable(f"{where}: the id {id!r} is taken by {first}.", "Give each row an id of its own.")


def _ids(rows: list[_Row]) -> list[str]:
    """As they are given; else by the picture's name, where no row is given it."""
    given = [row.id for row in rows if row.id]
    made = iter(distinct([id_from(Path(row.image).stem) for row in rows if not row.id], given))
    return [row.id or next(made) for row in rows]


def _item(id: str, where: str, row: _Row, folder: Path) -> Item:
    cameras = _cameras(where, row, folder)
    mask = _there(where, "mask", row.mask, folder) if row.mask else None
    picture = _there(where, "image", row.image, folder)
    camera = cameras.reference.camera(f"{where}, camera", picture) if cameras else None
    reference = View(name=picture.name, picture=picture, mask=mask, camera=camera)
    novel = tuple(_novel(where, row, cameras, folder))
    return Item(id=id, group=row.group, reference=reference, novel=novel, mesh=_mesh(where, row, folder))


def _cameras(where: str, row: _Row, folder: Path) -> StoredCameras | None:
    if isinstance(row.camera, StoredCameras):
        return row.camera
    return read_json(_there(where, "camera", row.camera, folder), StoredCameras) if row.camera else None


def _novel(where: str, row: _Row, cameras: StoredCameras | None, folder: Path) -> Iterator[View]:
    for name in row.novel:
        picture = _there(where, "novel view", name, folder)
        stored = cameras.novel.get(picture.name) if cameras else None
        if stored is None:
            remedy = f'The file in the column camera has it as "novel": {{"{picture.name}": …}}.'
            raise InputUnreadable(f"{where}: the novel view {name} has no camera.", remedy)
        camera = stored.camera(f"{where}, camera of {picture.name}", picture)
        yield View(name=picture.name, picture=picture, camera=camera)


def _mesh(where: str, row: _Row, folder: Path) -> MeshFile | None:
    if not row.mesh:
        return None
    path = _there(where, "mesh", row.mesh, folder)
    if path.suffix.lower() not in _MESHES:
        message = f"{where}: the mesh {row.mesh} is no glTF, of which alone it is known which way is up."
        raise InputUnreadable(message, "Convert it to .glb.")
    return MeshFile(path=path, up="Y")


def _there(where: str, what: str, stored: str, folder: Path) -> Path:
    path = folder / stored
    if not is_file(path):
        raise InputUnreadable(
            f"{where}: there is no {what} {path}.", "Paths are relative to the list; correct it there."
        )
    return path
