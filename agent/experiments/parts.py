"""The seam to what reads data sets and what evaluates runs: one function each, to be replaced by theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from agent.errors import InputUnreadable
from agent.evaluation.data import Dataset, Item, View
from agent.farm.manifest import read_manifest
from agent.runs.journal import write_atomically
from protocol.models import Value

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class Evaluation(Value):
    markdown: str
    """Its tables."""
    said: dict[str, Any]


def read_dataset(text: str) -> Dataset:
    """A folder of pictures, or a manifest."""
    path = Path(text.rpartition(":")[2])
    if path.is_dir():
        found = [(one.stem, one) for one in sorted(path.iterdir()) if one.suffix.lower() in PICTURES]
    elif path.is_file():
        found = [(row.id, row.image) for row in read_manifest(path).rows]
    else:
        raise InputUnreadable(f"the data set {text}: no such file or folder.", "Check the path.")
    items = tuple(Item(id=id, reference=View(name=id, picture=picture)) for id, picture in found)
    return Dataset(name=path.stem, items=items)


def evaluate_methods(
    methods: Mapping[str, Sequence[Path]], dataset: Dataset | None, out: Path, options: Any
) -> Evaluation:
    """Mean PSNR as the runs measured it, seeds of a picture averaged first."""
    means: dict[str, float | None] = {}
    for method, runs in methods.items():
        by_picture: dict[str, list[float]] = {}
        for run in runs:
            measures = json.loads((run / "result.json").read_bytes()).get("measures") or {}
            if "psnr_db" in measures:
                by_picture.setdefault(run.name.split(".")[0], []).append(measures["psnr_db"])
        means[method] = fmean(map(fmean, by_picture.values())) if by_picture else None
    lines = [f"| {method} | {'' if mean is None else f'{mean:.2f}'} |" for method, mean in means.items()]
    markdown = "\n".join(["| method | PSNR dB |", "| --- | --- |", *lines])
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "evaluation.md", markdown + "\n")
    return Evaluation(markdown=markdown, said={"psnr_db": means})
