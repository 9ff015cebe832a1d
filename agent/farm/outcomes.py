"""Owns what has become of each row of a batch, read from the rows' folders alone: an engine's word is never taken.

Reads result.json, status.json, lease.json and ledger.jsonl; whatever is missing or damaged there, a row has a state.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import FiniteFloat, ValidationError

from agent.farm.manifest import Row
from agent.runs.lease import STALE_S, Holder, RunHeld, live_holder, read_holder
from protocol.models import Value

State = Literal["accepted", "best_effort", "budget_stopped", "failed", "running", "stopped", "lost", "not_begun"]
FINAL_STATES = frozenset({"accepted", "best_effort", "budget_stopped", "failed"})
SCENES = ("accepted", "best_effort", "budget_stopped")
LOG_TAIL_BYTES = 2000
MOST = 1e15
"""Tokens, dollars or minutes: what is more is no count of them."""


class Outcome(Value):
    """One row."""

    index: int
    id: str
    image: Path
    folder: Path
    state: State
    """"stopped": in good order, goes on later; "lost": it says that it runs, but has ended or shows no sign of life."""
    failure_class: str = ""
    message: str = ""
    exit_code: int | None = None
    psnr_db: float | None = None
    """Of the scene that is handed over, or of the best so far."""
    ssim: float | None = None
    iou: float | None = None
    rebuild: str = ""
    where: str = ""
    percent: FiniteFloat = 0.0
    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    """None where the price of a call is not known."""
    minutes: float = 0.0
    rounds: int = 0
    """Of all its stages, as far as they are laid out."""
    attempts: int = 0
    host: str = ""
    job: str = ""
    blender: str = ""
    log_tail: str = ""
    """Of a row that failed, stopped or was lost."""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def scene(self) -> Path | None:
        return self.folder / "scene.blend" if self.state in SCENES else None

    @property
    def render(self) -> Path | None:
        return self.folder / "render.png" if self.state in SCENES else None


def outcomes(root: Path, rows: Iterable[Row]) -> list[Outcome]:
    return [outcome_of(root / row.id, row) for row in rows]


def outcome_of(folder: Path, row: Row) -> Outcome:
    result, status = _read(folder / "result.json"), _read(folder / "status.json")
    holder = read_holder(folder)
    facts: dict[str, Any] = {} if "calls" in _table(result, "spent") else _spent(folder / "ledger.jsonl")
    facts |= {**_of_status(status), **_of_holder(holder), **_of_result(result)}
    facts["state"] = _state(folder, result, status, holder)
    facts["rounds"] = sum(1 for _ in folder.glob("stages/*/round_*"))
    if facts["state"] not in FINAL_STATES:
        facts |= {name: status[name] for name in ("psnr_db", "ssim", "iou") if name in status}
    if facts["state"] in ("failed", "stopped", "lost"):
        facts["log_tail"] = _tail(folder / "logs" / "agent.log") or _tail(_output(folder, facts.get("job")))
    known = {name: value for name, value in facts.items() if value is not None or name == "usd"}
    known |= {"index": row.index, "id": row.id, "image": row.image, "folder": folder}
    try:
        return Outcome.model_validate(known)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors()}
        return Outcome.model_validate({name: value for name, value in known.items() if name not in wrong})


def _output(folder: Path, job: object) -> Path:
    """What a row printed that came to no log of its own: of its job on a cluster, else as `batch` keeps it."""
    return folder.parent / "farm" / "logs" / f"{Path(str(job or folder.name)).name}.out"


def _state(folder: Path, result: dict[str, Any], status: dict[str, Any], holder: Holder | None) -> State:
    said = result.get("status")
    for state in FINAL_STATES:
        if said == state:
            return state  # type: ignore[return-value]
    if not (folder / "journal.jsonl").exists() and not status:
        return "not_begun"
    if holder is None or holder.released:
        return "stopped"
    return "running" if _is_alive(folder, holder) else "lost"


def _is_alive(folder: Path, holder: Holder) -> bool:
    try:
        return live_holder(folder) is not None
    except RunHeld:  # replaced meanwhile by what another version of this program wrote
        return True
    except OSError:  # a folder that may only be read: by our own clock
        return abs(time.time() - holder.heartbeat) < STALE_S  # from the future: of before a clock was set


def _of_result(result: dict[str, Any]) -> dict[str, Any]:
    measures, spent, proof = (_table(result, name) for name in ("measures", "spent", "proof"))
    found = {
        "failure_class": result.get("failure_class"),
        "message": result.get("message") or result.get("stopped_by"),
        "exit_code": result.get("exit_code"),
        "psnr_db": measures.get("psnr_db"),
        "ssim": measures.get("ssim"),
        "iou": measures.get("iou"),
        "rebuild": proof.get("outcome"),
        "attempts": result.get("attempts"),
        "blender": result.get("blender"),
        "percent": 100.0 if any(result.get("status") == state for state in FINAL_STATES) else None,
    }
    known = {name: value for name, value in found.items() if value is not None}
    return known | {name: spent[name] for name in ("calls", "tokens", "usd", "minutes") if name in spent}


def _of_status(status: dict[str, Any]) -> dict[str, Any]:
    names = ("where", "percent", "host", "attempts", "failure_class", "message", "exit_code", "job")
    found = {name: status[name] for name in names if status.get(name) is not None}
    if "elapsed_s" in status:
        found["minutes"] = _number(status["elapsed_s"]) / 60
    return found


def _of_holder(holder: Holder | None) -> dict[str, Any]:
    return {"host": holder.host, "job": holder.job} if holder else {}


def _spent(ledger: Path) -> dict[str, Any]:
    calls, tokens, usd, minutes = 0, 0, 0.0, 0.0
    known = True
    for entry in _lines(ledger):
        calls += 1
        tokens += sum(int(_number(count)) for count in _table(entry, "tokens").values())
        minutes = max(minutes, _number(entry.get("minutes")))
        known = known and entry.get("usd") is not None
        usd += _number(entry.get("usd"))
    return {"calls": calls, "tokens": tokens, "usd": usd if known else None, "minutes": minutes}


def _table(said: dict[str, Any], name: str) -> dict[str, Any]:
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and -MOST < value < MOST else 0.0


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
