"""Owns the files of an evaluation but for its page: Markdown, CSV, JSON, LaTeX; and the words for a terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from agent.evaluation.remarks import remarks
from agent.evaluation.report import Report, Row
from agent.evaluation.tables import Table, short_means, tables_of
from agent.farm.collecting import harmless

FACTS = ("method", "trivial", "picture", "group", "run", "outcome", "reason", "notes", "calls", "tokens", "usd",
         "minutes", "folder")  # fmt: skip
LAST_LATIN = 0x17F
"""Letters beyond it stop a LaTeX that was not told of their fonts."""
MOST_TOLD = 12
"""Remarks on a terminal."""
_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "−": "$-$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
        "²": r"\textsuperscript{2}", "Δ": r"$\Delta$"}  # fmt: skip


def headline(report: Report) -> str:
    runs = sum(one.runs for one in report.summaries if not one.trivial)
    pictures = len({row.picture for row in report.rows})
    data = f"the references of {report.data}" if report.data else "what each was made from"
    counted = f"{_counted(runs, 'run')} of {_counted(pictures, 'picture')}"
    return f"{counted}, beside {data}; longer side {report.size_px} px, on white."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def json_text(report: Report) -> str:
    return report.model_dump_json(indent=1) + "\n"


# ── CSV ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
def csv_text(report: Report) -> str:
    """A line for each run and each trivial answer; figures in full, an empty cell where there is none."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = [one.name for one in report.metrics]
    writer.writerow([*FACTS, *names])
    for row in report.rows:
        writer.writerow([*_facts(row), *("" if row.value(name) is None else row.value(name) for name in names)])
    return text.getvalue()


def _facts(row: Row) -> Iterable[object]:
    words = (row.picture, row.group, row.id, row.outcome, row.reason, "; ".join(row.notes))
    usd = "" if row.usd is None else row.usd
    spent = ("", "", "", "") if row.trivial else (row.calls, row.tokens, usd, row.minutes)
    return (harmless(row.method), int(row.trivial), *map(harmless, words), *spent, harmless(row.folder))


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def markdown(report: Report) -> str:
    parts = ["# Evaluation", headline(report)]
    for table in tables_of(report):
        parts += [f"## {table.title}", *([table.note] if table.note else []), _pipes(table)]
    if told := remarks(report):
        parts += ["## Remarks", "\n".join(f"- {_cell(one)}" for one in told)]
    return "\n\n".join(parts) + "\n"


def _pipes(table: Table) -> str:
    rows = [table.head, tuple("---" for _ in table.head)]
    for number, row in enumerate(table.rows):
        cells = tuple(_cell(text) for text in row)
        rows.append((f"*{cells[0]}*", *cells[1:]) if number in table.trivial else cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    """Words on one line, none of which is a mark of Markdown's or HTML's."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))


# ── LaTeX ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def latex(report: Report) -> str:
    """To be \\input; needs booktabs, and longtable for the table of every picture."""
    parts = [f"% {_one_line(headline(report))}", r"% \usepackage{booktabs,longtable}"]
    for table in tables_of(report):
        parts.append(_tabular(table))
    parts += [f"% {_one_line(one)}" for one in remarks(report)]
    return "\n".join(parts) + "\n"


def _tabular(table: Table) -> str:
    columns = "l" * table.words + "r" * (len(table.head) - table.words)
    name = "longtable" if table.is_long else "tabular"
    lines = [
        f"% {_one_line(table.title)}. {_one_line(table.note)}".rstrip(),
        rf"\begin{{{name}}}{{{columns}}}",
        r"\toprule",
    ]
    lines += [_tex_row(table.head), r"\midrule", *([r"\endhead"] if table.is_long else [])]
    for number, row in enumerate(table.rows):
        if number in table.trivial and number - 1 not in table.trivial and number:
            lines.append(r"\midrule")
        lines.append(_tex_row(row))
    return "\n".join([*lines, r"\bottomrule", rf"\end{{{name}}}"])


def _tex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"


def _tex(text: str) -> str:
    """Braced where it begins with a bracket, which would be an option of the row's end before it."""
    escaped = "".join(_TEX.get(one, one if ord(one) <= LAST_LATIN else "?") for one in " ".join(text.split()))
    return f"{{{escaped}}}" if escaped.startswith(("[", "*")) else escaped


def _one_line(text: str) -> str:
    return " ".join(text.split())


# ── terminal ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def summary(report: Report) -> str:
    table, told = short_means(report), remarks(report)
    rows = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    more = [f"{len(told) - MOST_TOLD} more remarks are in the files."] if len(told) > MOST_TOLD else []
    return "\n".join([headline(report), "", *lines, "", *told[:MOST_TOLD], *more])
