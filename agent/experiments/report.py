"""Owns the report of an experiment, report.md and report.json: what was run on what with which model, how each run
ended, what it cost, and the tables of the evaluation."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from agent.config import model_ids
from agent.evaluation.data import Dataset
from agent.evaluation.paper import paper_block
from agent.experiments.costs import Cost, dollars, spent
from agent.experiments.file import ExperimentFile
from agent.experiments.pictures import Pictures
from agent.experiments.rows import Asked, Stale
from agent.farm.outcomes import Outcome
from agent.prompting import prompts_digest
from agent.runs.folder import write_json
from agent.runs.journal import write_atomically
from protocol.models import Value
from sandbox.folders import ROOT

SEEDS_AVERAGED = (
    "Runs of one picture that differ by their seed alone are averaged before anything else is reckoned: a picture "
    "counts once, however many seeds it was tried with."
)
MODELS = {
    "claude": "live: a service was asked",
    "offline": "the built-in offline model: classical image analysis, no vision-language model",
    "recorded": "recorded: replies of earlier runs were given again, and the figures of cost are the recording's",
}
STATES = ("accepted", "best_effort", "budget_stopped", "failed")


class RunReport(Value):
    """One picture by one method with one seed."""

    item: str
    method: str
    seed: int
    run: str
    """Its folder, below the experiment's."""
    state: str
    failure_class: str = ""
    message: str = ""
    usd: float | None
    tokens: int
    calls: int
    minutes: float


class MethodReport(Value):
    name: str
    what: str
    same_as: str = ""
    """An earlier method whose settings are the same here, and whose runs these are."""
    models: tuple[str, ...]
    model_kind: str
    """"claude", "offline" or "recorded"."""
    states: dict[str, int]
    cost: Cost
    calls: int
    minutes: float
    """Of all its runs together."""


class Report(Value):
    version: int = 1
    name: str
    title: str
    data: str
    """As it was named; empty where the file lists pictures."""
    dataset: str
    notes: tuple[str, ...]
    pictures: int
    seeds: tuple[int, ...]
    preset: str
    project: str
    """Version of this program."""
    prompts: str
    """Digest."""
    blenders: tuple[str, ...]
    rows: int
    final: int
    methods: tuple[MethodReport, ...]
    runs: tuple[RunReport, ...]
    stale: tuple[Stale, ...]
    cost: Cost
    """Of the runs that the file asks for, each counted once."""
    cost_of_stale: Cost
    calls: int
    minutes: float
    scores: str
    """Tables of the evaluation, in Markdown; empty while no row is final."""
    paper: str

    @property
    def is_final(self) -> bool:
        return self.final == self.rows


class Found(Value):
    """A row and what has become of it."""

    asked: Asked
    outcome: Outcome


def report_of(
    file: ExperimentFile,
    pictures: Pictures,
    found: Sequence[Found],
    left: Sequence[tuple[Stale, Outcome]],
    scores: str,
) -> Report:
    once = list({one.outcome.id: one.outcome for one in found}.values())
    models = list(dict.fromkeys(model for one in found for model in model_ids(one.asked.config)))
    dataset: Dataset = pictures.dataset
    return Report(
        name=file.name,
        title=file.title,
        data=pictures.said,
        dataset=dataset.name,
        notes=dataset.notes,
        pictures=len(dataset.items),
        seeds=file.written.seeds,
        preset=found[0].asked.config.preset,
        project=project_version(),
        prompts=prompts_digest(),
        blenders=tuple(sorted({one.blender for one in once if one.blender})),
        rows=len(found),
        final=sum(one.outcome.is_final for one in found),
        methods=tuple(_method(method.name, method.what, found) for method in file.methods),
        runs=tuple(_run(one) for one in found),
        stale=tuple(one for one, _ in left),
        cost=spent(once),
        cost_of_stale=spent(outcome for _, outcome in left),
        calls=sum(one.calls for one in once),
        minutes=round(sum(one.minutes for one in once), 2),
        scores=scores,
        paper=paper_block(pictures.kind, [item.group or item.id for item in dataset.items], models),
    )


def write_report(out: Path, report: Report) -> None:
    write_json(out / "report.json", report.model_dump(mode="json"))
    write_atomically(out / "report.md", _markdown(report))


def project_version() -> str:
    try:
        return metadata.version("seig")
    except metadata.PackageNotFoundError:  # run from a checkout
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _method(name: str, what: str, found: Sequence[Found]) -> MethodReport:
    own = [one for one in found if one.asked.method == name]
    config, outcomes = own[0].asked.config, [one.outcome for one in own]
    shared = {one.outcome.id for one in own}
    first = next(one.asked.method for one in found if one.outcome.id in shared)
    return MethodReport(
        name=name,
        what=what,
        same_as=first if first != name else "",
        models=tuple(model_ids(config)),
        model_kind=str(config.model),
        states=dict(Counter(one.state for one in outcomes)),
        cost=spent(outcomes),
        calls=sum(one.calls for one in outcomes),
        minutes=round(sum(one.minutes for one in outcomes), 2),
    )


def _run(one: Found) -> RunReport:
    asked, outcome = one.asked, one.outcome
    return RunReport(
        item=asked.item,
        method=asked.method,
        seed=asked.seed,
        run=f"{outcome.folder.parent.name}/{outcome.id}",
        state=outcome.state,
        failure_class=outcome.failure_class,
        message=outcome.message,
        usd=outcome.usd,
        tokens=outcome.tokens,
        calls=outcome.calls,
        minutes=round(outcome.minutes, 3),
    )


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def _markdown(report: Report) -> str:
    parts = [f"# {report.title}", _state(report), "## What was run", _facts(report), _methods(report)]
    parts += ["## How the runs ended", _endings(report), *_failures(report), *_unfinished(report)]
    parts += ["## Scores", _scores(report), "## The paper's figures", report.paper]
    parts += ["## Runs that no longer belong to it", _stale(report)] if report.stale else []
    return "\n\n".join(parts) + "\n"


def _state(report: Report) -> str:
    if report.is_final:
        return f"All {report.rows} rows are final."
    return f"**Not finished: {report.final} of {report.rows} rows are final.** What follows is as it stands."


def _facts(report: Report) -> str:
    blenders = ", ".join(report.blenders) or "none yet"
    named = f"`{report.data}`" if report.data else "the pictures that its file lists"
    facts = [
        f"- Pictures: {report.pictures}, {named} ({report.dataset})",
        *(f"- Of the pictures: {note}" for note in report.notes),
        f"- Seeds: {', '.join(map(str, report.seeds))}",
        f"- Preset: {report.preset}",
        f"- Program: SEIG {report.project}, prompts {report.prompts[:12]}; Blender {blenders}",
        f"- Spent: {dollars(report.cost.usd)}, {report.cost.tokens:,} tokens, {report.calls:,} model calls, "
        f"{report.minutes:,.1f} minutes of runs",
    ]
    kinds = dict.fromkeys(method.model_kind for method in report.methods)
    return "\n".join([*facts, *(f"- Model `{kind}`: {MODELS[kind]}" for kind in kinds)])


def _methods(report: Report) -> str:
    lines = ["| method | what it is | models |", "| --- | --- | --- |"]
    for method in report.methods:
        same = f" (the same settings as {method.same_as} here: these are its runs)" if method.same_as else ""
        lines.append(f"| {method.name} | {_cell(method.what)}{same} | {', '.join(method.models)} |")
    return "\n".join(lines)


def _endings(report: Report) -> str:
    heads = [*map(_words, STATES), "not final", "calls", "tokens", "cost", "minutes"]
    lines = [f"| method | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for method in report.methods:
        counts = [method.states.get(state, 0) for state in STATES]
        rest = sum(method.states.values()) - sum(counts)
        cells = [*counts, rest, f"{method.calls:,}", f"{method.cost.tokens:,}", dollars(method.cost.usd)]
        lines.append(f"| {method.name} | {' | '.join(map(str, cells))} | {method.minutes:,.1f} |")
    return "\n".join(lines)


def _failures(report: Report) -> list[str]:
    failed = [run for run in report.runs if run.state == "failed"]
    if not failed:
        return ["No run failed."]
    cells = [(run.item, run.method, str(run.seed), run.failure_class, _cell(run.message)) for run in failed]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    head = "| picture | method | seed | class | why |\n| --- | --- | ---: | --- | --- |"
    return [f"Failed for good: {len(failed)} (`--retry-failed` tries them again).", "\n".join([head, *lines])]


def _unfinished(report: Report) -> list[str]:
    rest = [run for run in report.runs if run.state not in STATES]
    lines = [f"- {run.item}, {run.method}, seed {run.seed}: {_words(run.state)} {run.message}".rstrip() for run in rest]
    return ["Not final:\n\n" + "\n".join(lines)] if rest else []


def _scores(report: Report) -> str:
    if not report.scores:
        return "Nothing to evaluate yet: no row is final."
    below = re.sub(r"^#", "###", report.scores, flags=re.MULTILINE)
    return f"{SEEDS_AVERAGED} More in the folder `evaluation`.\n\n{below.strip()}"


def _stale(report: Report) -> str:
    lines = [f"- `{one.row.id}`: {one.why}" for one in report.stale]
    cost = f"They are kept, count nowhere above, and have cost {report.cost_of_stale.told()}."
    return "\n".join([*lines, "", cost])


def _words(state: str) -> str:
    return state.replace("_", " ")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
