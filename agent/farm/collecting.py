"""Owns the report of a batch: batch.json, batch.csv, and one batch.html that needs nothing beside it.

May be made at any time, as often as one likes; an unfinished batch is reported as it stands.
"""

from __future__ import annotations

import base64
import csv
import functools
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from agent.farm.outcomes import SCENES, Outcome, State
from agent.runs.journal import write_atomically
from protocol.models import Value

THUMBNAIL_PX = 200
COLUMNS = ("index", "id", "state", "failure_class", "psnr_db", "ssim", "iou", "rebuild", "usd", "calls", "tokens",
           "minutes", "rounds", "attempts", "host", "scene", "render", "message", "log_tail")  # fmt: skip


class Totals(Value):
    rows: int
    final: int
    states: dict[str, int]
    failures: dict[str, int]
    """Failure class → rows."""
    calls: int
    tokens: int
    usd: float | None
    """None where the price of some call is not known."""
    minutes: float
    """Of all rows together."""
    psnr_db: float | None
    """Mean of the rows that have a scene."""

    @property
    def is_final(self) -> bool:
        return self.final == self.rows


def totals_of(outcomes: Sequence[Outcome]) -> Totals:
    prices = [each.usd for each in outcomes]
    scores = [each.psnr_db for each in outcomes if each.psnr_db is not None and each.scene is not None]
    return Totals(
        rows=len(outcomes),
        final=sum(each.is_final for each in outcomes),
        states=dict(Counter(each.state for each in outcomes)),
        failures=dict(Counter(each.failure_class for each in outcomes if each.failure_class)),
        calls=sum(each.calls for each in outcomes),
        tokens=sum(each.tokens for each in outcomes),
        usd=None if None in prices else round(sum(price or 0.0 for price in prices), 4),
        minutes=round(sum(each.minutes for each in outcomes), 2),
        psnr_db=round(sum(scores) / len(scores), 2) if scores else None,
    )


def collect(root: Path, title: str, outcomes: Sequence[Outcome]) -> Totals:
    """Write the three files into the batch's folder."""
    totals = totals_of(outcomes)
    rows = [{**each.model_dump(mode="json"), "scene": _below(root, each.scene)} for each in outcomes]
    said = {"title": title, "totals": totals.model_dump(mode="json"), "rows": rows}
    write_atomically(root / "batch.json", json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    write_atomically(root / "batch.csv", _csv(root, outcomes))
    write_atomically(root / "batch.html", _html(root, title, outcomes, totals))
    return totals


def _csv(root: Path, outcomes: Sequence[Outcome]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for each in outcomes:
        places = {"scene": _below(root, each.scene), "render": _below(root, each.render)}
        words = {"message": harmless(each.message), "log_tail": harmless(each.log_tail)}
        writer.writerow({**each.model_dump(mode="json"), **places, **words})
    return text.getvalue()


def harmless(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _html(root: Path, title: str, outcomes: Sequence[Outcome], totals: Totals) -> str:
    kept = root / "farm" / "thumbnails"
    kept.mkdir(exist_ok=True)
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda one: _thumbnail(one.folder / "reference.png", kept / f"{one.id}.jpg"), outcomes))
        renders = list(pool.map(lambda one: _thumbnail(one.render, kept / f"{one.id}.render.jpg"), outcomes))
    rows: list[dict[str, Any]] = [
        {"outcome": each, "image": image, "render": render, "scene": _below(root, each.scene)}
        for each, image, render in zip(outcomes, images, renders, strict=True)
    ]
    failed = [row for row in rows if row["outcome"].state == "failed"]
    scenes = [row for row in rows if row["outcome"].state in SCENES]
    under_way = [row for row in rows if not row["outcome"].is_final]
    return str(
        _template().render(
            title=title, totals=totals, failed=failed, scenes=scenes, under_way=under_way, shown=get_args(State)
        )
    )


def _thumbnail(picture: Path | None, kept: Path) -> str:
    """A small JPEG as an address that holds it; nothing where there is no picture that can be read.

    It is kept, as old as the picture is, for the next time.
    """
    if picture is None:
        return ""
    try:
        made = picture.stat().st_mtime_ns
        if not kept.exists() or kept.stat().st_mtime_ns != made:
            write_atomically(kept, _small(picture))
            os.utime(kept, ns=(made, made))
        data = kept.read_bytes()
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def _small(picture: Path) -> bytes:
    with Image.open(picture) as image:
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        seen = image.convert("RGBA")
    small = Image.new("RGB", seen.size, "white")
    small.paste(seen, mask=seen.getchannel("A"))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=80)
    return data.getvalue()


def _below(root: Path, path: Path | None) -> str:
    return path.relative_to(root).as_posix() if path is not None else ""


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(resources.files("agent.farm").joinpath("batch.html").read_text(encoding="utf-8"))
