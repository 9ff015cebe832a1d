"""Owns an evaluation's tables as words, from which Markdown, LaTeX, the page and the terminal are laid out.

Trivial answers are rows of each, for no score can be read without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.evaluation.report import Comparison, Difference, Gain, Mean, Rates, Report, Row, StageRow, Summary
from agent.evaluation.score import MetricFacts

T = TypeVar("T")
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
    return (*main_tables(report), *every_picture(report), metrics_table(report))


def main_tables(report: Report) -> tuple[Table, ...]:
    """Those that say what came of it, not how."""
    found: list[Table] = []
    for columns in columns_of(report):
        found.append(means(report, columns, as_worst=False))
        if _worst_counts(report.summaries, columns):
            found.append(means(report, columns, as_worst=True))
        found += _comparisons(report, columns)
    return (*found, *_stages(report))


@dataclass(frozen=True)
class Columns:
    """The metrics that stand beside each other in a table: those of the renders, of shapes, of novel views."""

    about: str
    places: tuple[int, ...]
    """Of the report's metrics."""
    metrics: tuple[MetricFacts, ...]

    def of(self, values: Sequence[T]) -> list[T]:
        """Those of these metrics, from one for each metric of the report."""
        return [values[place] for place in self.places]

    def titled(self, title: str) -> str:
        return f"{title}: {self.about}" if self.about else title


def columns_of(report: Report) -> tuple[Columns, ...]:
    """Those of the renders first; others where anything has a value in them."""
    known = {mean.metric for one in report.summaries for mean in one.as_worst if mean.value is not None}
    found = []
    for about in dict.fromkeys(["", *(one.about for one in report.metrics)]):
        places = tuple(number for number, one in enumerate(report.metrics) if one.about == about)
        metrics = tuple(report.metrics[place] for place in places)
        if not about or any(one.name in known for one in metrics):
            found.append(Columns(about, places, metrics))
    return tuple(found)


def _worst_counts(counted: Sequence[Summary] | Sequence[Comparison], columns: Columns) -> bool:
    """Whether it makes a difference here that failures, and what is worse than the worst, count as the worst value."""
    return any(columns.of(one.left_out) != columns.of(one.as_worst) for one in counted)


# ── means ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def means(report: Report, columns: Columns, as_worst: bool) -> Table:
    if as_worst:
        title = "Means, failures as the worst value"
        note = (
            "Failed and unfinished runs, and scenes that cannot be seen, count with each metric's worst value (see the "
            "metrics below); so does a value that is worse."
        )
    else:
        title = "Means, failures left out"
        note = (
            "In brackets the 95 % percentile interval of the bootstrap over pictures or, where the data set groups "
            f"them, scenes ({report.resamples:,} resamples, seed {report.seed}); with few pictures it is too narrow."
        )
        if not _worst_counts(report.summaries, columns):
            note += " No failure counts in it, so failures as the worst value give the same table."
    shown = [one for one in report.summaries if not one.trivial or _says_something(columns, one.left_out)]
    rows = [_mean_row(one, columns, as_worst) for one in shown]
    head = ("method", "pictures" if columns.about else "scored", *map(_column, columns.metrics))
    return Table(columns.titled(title), head, tuple(rows), note, _trivial(one.trivial for one in shown))


def _says_something(columns: Columns, values: Sequence[Mean | Difference]) -> bool:
    """A trivial answer that is a picture has no shape."""
    return any(one.value is not None for one in columns.of(values))


def short_means(report: Report) -> Table:
    """Without intervals, failures left out."""
    columns = columns_of(report)[0]
    rows = [(one.method, _counts(one), *_plain_row(columns, one.left_out)) for one in report.summaries]
    return Table("Means, failures left out", ("method", "scored", *map(_column, columns.metrics)), tuple(rows))


def _plain_row(columns: Columns, means: Sequence[Mean]) -> Iterator[str]:
    return map(_plain, columns.metrics, columns.of(means))


def _mean_row(summary: Summary, columns: Columns, as_worst: bool) -> tuple[str, ...]:
    found = columns.of(summary.as_worst if as_worst else summary.left_out)
    most = max((mean.pictures for mean in found), default=0)
    cells = [_mean(facts, mean) + _of_fewer(mean, most) for facts, mean in zip(columns.metrics, found, strict=True)]
    return (summary.method, str(most) if columns.about else _counts(summary), *cells)


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
def _comparisons(report: Report, columns: Columns) -> Iterator[Table]:
    for as_worst in (False, True) if _worst_counts(report.comparisons, columns) else (False,):
        if report.comparisons:
            yield _comparison(report, columns, as_worst)


def _comparison(report: Report, columns: Columns, as_worst: bool) -> Table:
    """Differences on the same pictures."""
    rows = []
    shown = [one for one in report.comparisons if not one.trivial or _says_something(columns, one.left_out)]
    for one in shown:
        found = columns.of(one.as_worst if as_worst else one.left_out)
        pictures = max((difference.pictures for difference in found), default=0)
        cells = [_difference(facts, each) for facts, each in zip(columns.metrics, found, strict=True)]
        rows.append((f"{one.first} − {one.second}", str(pictures), *cells))
    counted = "failures as the worst value" if as_worst else "failures left out"
    note = (
        "First minus second, on the pictures that both have; in brackets the paired bootstrap's interval, then on how "
        "many pictures the first is better and worse. An interval that holds 0 shows no difference."
    )
    head = ("methods", "pictures", *map(_column, columns.metrics))
    trivial = _trivial(one.trivial for one in shown)
    return Table(columns.titled(f"The same pictures, {counted}"), head, tuple(rows), note, trivial)


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
    columns = columns_of(report)[0]
    rows = [(_stage(one, report), str(one.runs), *map(_plain, columns.metrics, one.means)) for one in report.stages]
    trivial = [one for one in report.summaries if one.trivial]
    rows += [(one.method, str(one.scored), *_plain_row(columns, one.left_out)) for one in trivial]
    head = ("after the stage", "runs", *map(_column, columns.metrics))
    note = "Means over the finished runs, of each stage's own render."
    return Table("Stage by stage", head, tuple(rows), note, frozenset(range(len(report.stages), len(rows))))


def _gains(report: Report) -> Table:
    """What each stage adds, beside what it costs."""
    metrics = columns_of(report)[0].metrics
    first = metrics[0]
    rates = ("false approval", "false rejection") if report.calibration else ()
    head = ("stage", *(f"{one.title} gain" for one in metrics), "calls", "min", "$",
            *(f"{first.unit} per {what}" for what in ("call", "min", "$")), *rates)  # fmt: skip
    rows = [
        (
            _stage(one, report),
            *(_gain(facts, one.gains) for facts in metrics),
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
def every_picture(report: Report) -> Iterator[Table]:
    for columns in columns_of(report):
        names = [one.name for one in columns.metrics]
        shown = [row for row in report.rows if not row.trivial or any(row.value(name) is not None for name in names)]
        rows = [(row.picture, _who(row), *_cells(row, columns.metrics)) for row in shown]
        head = ("picture", "method", *map(_column, columns.metrics))
        trivial = _trivial(row.trivial for row in shown)
        yield Table(columns.titled("Every picture"), head, tuple(rows), trivial=trivial, words=2, is_long=True)


def _who(row: Row) -> str:
    """The method, and the run where it is named otherwise than the picture."""
    return row.method if row.trivial or row.id == row.picture else f"{row.method}: {row.id}"


def _cells(row: Row, metrics: Sequence[MetricFacts]) -> Iterator[str]:
    for facts in metrics:
        value = row.value(facts.name)
        yield row.outcome if row.outcome != "scored" else NONE if value is None else figure(facts, value)


# ── metrics ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def metrics_table(report: Report) -> Table:
    head = ("metric", "better", "which one exactly", "at", "background", "worst")
    own = {one.title for one in report.metrics if not one.about}
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
        if not one.about or one.title not in own
    )
    note = "" if len(rows) == len(report.metrics) else "The other tables of pictures are of the same metrics."
    return Table("The metrics", head, rows, note, words=len(head))


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
