"""Owns an evaluation's tables as words, from which Markdown, LaTeX, the page and the terminal are laid out.

Trivial answers are rows of each, for no score can be read without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.evaluation.report import Difference, Gain, Mean, Rates, Report, Row, StageRow, Summary
from agent.evaluation.score import MetricFacts
from agent.evaluation.trivial import ANOTHER

NONE = "–"
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    trivial: frozenset[int] = frozenset()
    """Which rows are of trivial answers."""
    words: int = 1
    """So many of the first columns hold words, the others figures."""
    is_long: bool = False
    """Grows with the pictures."""


def tables_of(report: Report) -> tuple[Table, ...]:
    return (*main_tables(report), per_picture(report), metrics_table(report))


def main_tables(report: Report) -> tuple[Table, ...]:
    """Those that say what came of it, not how."""
    both = [means(report, as_worst=False)]
    if _has_failures(report):
        both.append(means(report, as_worst=True))
    return (*both, *_comparisons(report), *_stages(report))


def _has_failures(report: Report) -> bool:
    return any(one.failed or one.unfinished for one in report.summaries)


# ── means ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def means(report: Report, as_worst: bool) -> Table:
    if as_worst:
        title = "Means, failures as the worst value"
        note = "Failed and unfinished runs count with each metric's worst value (see the metrics below)."
    else:
        title = "Means, failures left out"
        note = (
            "In brackets the 95 % percentile interval of the bootstrap over pictures or, where the data set groups "
            f"them, scenes ({report.resamples:,} resamples, seed {report.seed}); with few pictures it is too narrow."
        )
        note += "" if _has_failures(report) else " No run failed, so failures as the worst value give the same table."
    rows = [_mean_row(one, report.metrics, as_worst) for one in report.summaries]
    head = ("method", "scored", *map(_column, report.metrics))
    return Table(title, head, tuple(rows), note, _trivial(one.trivial for one in report.summaries))


def short_means(report: Report) -> Table:
    """Without intervals, failures left out."""
    rows = [(one.method, _counts(one), *map(_plain, report.metrics, one.left_out)) for one in report.summaries]
    return Table("Means, failures left out", ("method", "scored", *map(_column, report.metrics)), tuple(rows))


def _mean_row(summary: Summary, metrics: Sequence[MetricFacts], as_worst: bool) -> tuple[str, ...]:
    found = summary.as_worst if as_worst else summary.left_out
    most = max((mean.pictures for mean in found), default=0)
    cells = [_mean(facts, mean) + _of_fewer(mean, most) for facts, mean in zip(metrics, found, strict=True)]
    return (summary.method, _counts(summary), *cells)


def _of_fewer(mean: Mean, most: int) -> str:
    """Where a metric says nothing of some pictures, of how many the mean is."""
    return f" (n={mean.pictures})" if 0 < mean.pictures < most else ""


def _counts(summary: Summary) -> str:
    """Of how many, and what became of the others."""
    others = {name: getattr(summary, name) for name in ("failed", "unfinished", "unscored")}
    told = ", ".join(f"{count} {name}" for name, count in others.items() if count)
    return f"{summary.scored}/{summary.runs}" + (f" ({told})" if told else "")


def _mean(facts: MetricFacts, mean: Mean | Difference, signed: bool = False) -> str:
    if mean.value is None:
        return NONE
    text = figure(facts, mean.value, signed)
    if mean.low is not None and mean.high is not None:
        text += f" [{figure(facts, mean.low, signed)}, {figure(facts, mean.high, signed)}]"
    return text


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _comparisons(report: Report) -> Iterator[Table]:
    for as_worst in (False, True) if _has_failures(report) else (False,):
        if report.comparisons:
            yield _comparison(report, as_worst)


def _comparison(report: Report, as_worst: bool) -> Table:
    """Differences on the same pictures."""
    rows = []
    for one in report.comparisons:
        found = one.as_worst if as_worst else one.left_out
        pictures = max((difference.pictures for difference in found), default=0)
        cells = [_difference(facts, each) for facts, each in zip(report.metrics, found, strict=True)]
        rows.append((f"{one.first} − {one.second}", str(pictures), *cells))
    counted = "failures as the worst value" if as_worst else "failures left out"
    note = (
        "First minus second, on the pictures that both have; in brackets the paired bootstrap's interval, then on how "
        "many pictures the first is better and worse. An interval that holds 0 shows no difference."
    )
    head = ("methods", "pictures", *map(_column, report.metrics))
    trivial = _trivial(one.trivial for one in report.comparisons)
    return Table(f"The same pictures, {counted}", head, tuple(rows), note, trivial)


def _difference(facts: MetricFacts, one: Difference) -> str:
    if one.value is None:
        return NONE
    return f"{_mean(facts, one, signed=True)} {one.wins}:{one.losses}"


# ── stages ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _stages(report: Report) -> Iterator[Table]:
    if report.stages:
        yield _after_stages(report)
        yield _gains(report)


def _after_stages(report: Report) -> Table:
    rows = [(_stage(one, report), str(one.runs), *map(_plain, report.metrics, one.means)) for one in report.stages]
    trivial = [one for one in report.summaries if one.trivial]
    rows += [(one.method, str(one.scored), *map(_plain, report.metrics, one.left_out)) for one in trivial]
    head = ("after the stage", "runs", *map(_column, report.metrics))
    note = "Means over the finished runs, of each stage's own render."
    return Table("Stage by stage", head, tuple(rows), note, frozenset(range(len(report.stages), len(rows))))


def _gains(report: Report) -> Table:
    """What each stage adds, beside what it costs."""
    first = report.metrics[0]
    rates = ("false approval", "false rejection") if report.calibration else ()
    head = ("stage", *(f"{one.title} gain" for one in report.metrics), "calls", "min", "$",
            *(f"{first.unit} per {what}" for what in ("call", "min", "$")), *rates)  # fmt: skip
    rows = [
        (
            _stage(one, report),
            *(_gain(facts, one.gains) for facts in report.metrics),
            f"{one.calls:.1f}",
            f"{one.minutes:.2f}",
            "?" if one.usd is None else f"{one.usd:.2f}",
            *_per(first, one.gains),
            *(_rates(one.verifier) if rates else ()),
        )
        for one in report.stages
    ]
    note = (
        "Gain over the stage before on the same runs, with the sign turned where lower is better: more than 0 is "
        "better everywhere. Costs are means for each run; minutes are those between a stage's first and last call."
    )
    if report.calibration:
        note += (
            f" False approval: broken scenes that the stage's verifier approved; false rejection: good ones that it "
            f"sent back; from a calibration of {report.calibration}."
        )
    return Table("What each stage earns", head, tuple(rows), note)


def _stage(row: StageRow, report: Report) -> str:
    is_one = len({one.method for one in report.stages}) == 1
    return row.stage if is_one else f"{row.method}: {row.stage}"


def _gain(facts: MetricFacts, gains: Sequence[Gain]) -> str:
    found = next((gain for gain in gains if gain.metric == facts.name), None)
    return NONE if found is None or found.value is None else figure(facts, found.value, signed=True)


def _per(facts: MetricFacts, gains: Sequence[Gain]) -> Iterator[str]:
    found = next((gain for gain in gains if gain.metric == facts.name), None)
    for name in ("per_call", "per_minute", "per_usd"):
        value = getattr(found, name, None)
        yield NONE if value is None else f"{value:+.3g}"


def _rates(rates: Rates | None) -> Iterator[str]:
    for wrong, judged in (rates.false_approval, rates.false_rejection) if rates else ((0, 0), (0, 0)):
        yield f"{wrong}/{judged}" if judged else NONE


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def per_picture(report: Report) -> Table:
    rows = [(row.picture, _who(row), *_cells(row, report.metrics)) for row in report.rows]
    head = ("picture", "method", *map(_column, report.metrics))
    trivial = _trivial(row.trivial for row in report.rows)
    return Table("Every picture", head, tuple(rows), trivial=trivial, words=2, is_long=True)


def _who(row: Row) -> str:
    """The method, and the run where it is named otherwise than the picture."""
    return row.method if row.trivial or row.id == row.picture else f"{row.method}: {row.id}"


def _cells(row: Row, metrics: Sequence[MetricFacts]) -> Iterator[str]:
    for facts in metrics:
        value = row.value(facts.name)
        yield row.outcome if row.outcome != "scored" else NONE if value is None else figure(facts, value)


# ── metrics and remarks ───────────────────────────────────────────────────────────────────────────────────────────────
def metrics_table(report: Report) -> Table:
    head = ("metric", "better", "which one exactly", "at", "background", "worst")
    rows = tuple(
        (
            f"{one.title} ({one.name})",
            one.better,
            one.variant,
            one.size,
            one.background,
            NONE if one.worst is None else f"{one.worst:g} {one.unit}".strip(),
        )
        for one in report.metrics
    )
    return Table("The metrics", head, rows, words=len(head))


def remarks(report: Report) -> tuple[str, ...]:
    """What a reader of the tables has to know."""
    found = [f"{NONE} in column {one.metric}: {one.reason.rstrip('.')}." for one in report.unavailable]
    known = {one.metric for one in report.unavailable}
    found += [
        f"{NONE} in column {name}: {reason.rstrip('.')}." for name, reason in _reasons(report.rows) if name not in known
    ]
    if report.rows and not any(row.method == ANOTHER for row in report.rows):
        found.append("There is no second scene, so the trivial answer of another scene is missing.")
    for row in report.rows:
        if row.outcome != "scored":
            found.append(f"{row.method}: {row.id} ({row.picture}) {row.outcome}: {row.reason}")
    found += [f"{text}: {', '.join(runs)}." for text, runs in _by_note(report.rows)]
    found += [f"{one} is of no picture of {report.data} and was left out." for one in report.unmatched]
    if report.without_run:
        found.append(f"No run was made from {', '.join(report.without_run)} of {report.data}.")
    return (*found, *report.notes)


def _reasons(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Of single pictures without a value, each once."""
    found = ((score.metric, score.reason) for row in rows for score in row.scores if score.value is None)
    return list(dict.fromkeys(found))


def _by_note(rows: Iterable[Row]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            found.setdefault(note, []).append(f"{row.method}: {row.id}")
    return [(note[0].upper() + note[1:], runs) for note, runs in found.items()]


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def figure(facts: MetricFacts, value: float, signed: bool = False) -> str:
    decimals = 2 if facts.unit else 3
    return f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"


def _plain(facts: MetricFacts, mean: Mean) -> str:
    return NONE if mean.value is None else figure(facts, mean.value)


def _column(facts: MetricFacts) -> str:
    unit = f" {facts.unit}" if facts.unit else ""
    return f"{facts.title}{unit} {ARROWS[facts.better]}"


def _trivial(flags: Iterable[bool]) -> frozenset[int]:
    return frozenset(number for number, is_trivial in enumerate(flags) if is_trivial)
