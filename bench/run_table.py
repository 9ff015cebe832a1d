"""Tells of finished runs, stage by stage: what each scored, asked, cost and ran into, as Markdown. Usage:

    .venv/bin/python bench/run_table.py runs/NAME …

All of it is read from the run folders: metrics.json, ledger.jsonl and journal.jsonl. Dollars are list prices; tokens
are what the service reported, or what stood in for it estimated. Minutes are those between a stage's first call and
its last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.evaluation.stagewise import ORDER, Call, minutes_of

HEAD = (
    "| stage | PSNR dB | SSIM | IoU | calls | input tokens | from cache | output tokens | $ | min | edits | refused "
    "| faults |\n|" + " --- |" * 13
)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(run: Path) -> Iterator[str]:
    metrics = json.loads((run / "metrics.json").read_text())
    scored = {one["stage"]: one["measures"] for one in metrics["stages"]}
    ledger, journal = lines_of(run / "ledger.jsonl"), lines_of(run / "journal.jsonl")
    scored |= _aligned(journal)
    edits, faults = _edits(journal), _faults(journal)
    stages = {call["place"]["stage"] for call in ledger} | scored.keys()
    for stage in sorted(stages, key=ORDER.index):
        calls = [call for call in ledger if call["place"]["stage"] == stage]
        yield _row(stage, scored.get(stage), calls, edits.get(stage, Counter()), faults[stage])
    yield _row("**all**", metrics["final"], ledger, sum(edits.values(), Counter()), sum(faults.values()))


def _row(
    stage: str, measures: dict[str, Any] | None, calls: list[dict[str, Any]], edits: Counter[str], faults: int
) -> str:
    tokens: Counter[str] = Counter()
    for call in calls:
        tokens.update(call["tokens"])
    told = tokens["input_tokens"] + tokens["cache_read_tokens"] + tokens["cache_write_tokens"]
    figures = ["", "", ""]
    if measures:
        iou = "" if measures["iou"] is None else f"{measures['iou']:.3f}"
        figures = [f"{measures['psnr_db']:.2f}", f"{measures['ssim']:.3f}", iou]
    usd = [call["usd"] for call in calls]
    cost = "?" if None in usd else f"{sum(usd):.2f}"
    minutes = minutes_of(map(Call.model_validate, calls))
    refused = ", ".join(
        f"{count} {kind}" for kind, count in sorted(edits.items()) if kind not in ("committed", "no_change")
    )
    cells = [stage, *figures, str(len(calls))]
    cells += (
        [f"{told:,}", f"{tokens['cache_read_tokens'] / told:.0%}", f"{tokens['output_tokens']:,}", cost]
        if told
        else [""] * 4
    )
    cells += [f"{minutes:.0f}" if calls else "", str(sum(edits.values())), refused, str(faults or "")]
    return f"| {' | '.join(cells)} |"


def _edits(journal: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Stage → how its edits came out: run_code and fit."""
    found: dict[str, Counter[str]] = {}
    for entry in journal:
        if entry.get("tool") in ("run_code", "fit"):
            told = json.loads(entry["value"]["content"][0]["text"])
            outcome = told.get("result", "not run")
            found.setdefault(entry["key"].split("/")[2], Counter())[outcome] += 1
    return found


def _faults(journal: list[dict[str, Any]]) -> Counter[str]:
    """Stage → Blenders lost in it, by what was asked last before."""
    stage, faults = "decomposition", Counter[str]()
    for entry in journal:
        parts = str(entry.get("key", "")).split("/")
        if parts[0] in ("asking", "reply", "tool") and len(parts) > 3:
            stage = parts[2]
        if entry["event"] == "fault":
            faults[stage] += 1
    return faults


def _aligned(journal: list[dict[str, Any]]) -> dict[str, Any]:
    results = [entry["value"] for entry in journal if str(entry.get("key", "")).startswith("align/")]
    return {"alignment": results[-1]["after"]} if results and results[-1]["committed"] else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+")
    for run in parser.parse_args().run:
        print(f"\n### {run.name}\n\n{HEAD}", *rows(run), sep="\n")


if __name__ == "__main__":
    main()
