"""Every file of an evaluation can be read back, says the same, and lets no name pass for its own marks."""

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from evaluated_runs import draw_picture, failed, finished
from needs import lacking

from agent.evaluation import evaluating
from agent.evaluation.evaluating import AddedToRun, Question, evaluate
from agent.evaluation.finding import find_runs
from agent.evaluation.report import Report
from agent.evaluation.score import MetricFacts, Score
from agent.evaluation.sheet import page
from agent.evaluation.statistics import comparisons_of, summaries_of
from agent.evaluation.tables import tables_of
from agent.evaluation.trivial import MEAN
from agent.evaluation.writers import csv_text, json_text, latex, markdown, summary

NASTY = '=x|<b>&_%$#{}~^[日"'
SHAPE = MetricFacts(
    name="shape", title="Shape", about="shapes", better="lower", variant="v", size="s", background="b", worst=1.0
)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """Two methods on two pictures, with a failure, nasty names, and figures that come of more than a render."""
    folder = tmp_path_factory.mktemp("writers")
    stages = (("initialisation", 60.0, 2, 0.1), ("geometry", 30.0, 4, 0.25))
    for seed, name in enumerate(("chair", NASTY.replace('"', ""))):
        picture = draw_picture(folder / f"{name}.png", seed)
        finished(folder / "A" / name, picture, stages=stages)
        finished(folder / "B" / name, picture, sigma=50.0, stages=stages)
    failed(folder / "B" / "chair", folder / "chair.png", "<script>alert(1)</script> |\n# no heading")

    class AddedScores:
        facts = (SHAPE,)

        def of(self, subject, seen, another, measure):
            came = AddedToRun((Score(metric="shape", value=0.25),), (("from the left", "aGVsbG8="),), ("a note of it",))
            return evaluating.AddedScores(dict.fromkeys(seen, came), {MEAN: (Score(metric="shape", value=0.5),)})

    methods = {"A": find_runs([folder / "A"]), NASTY: find_runs([folder / "B"])}
    return evaluate(Question(methods=methods, size_px=64, additions=(AddedScores(),), by_stage=True))


def test_json_reads_back_as_the_same_report(evaluation):
    assert Report.model_validate_json(json_text(evaluation.report)) == evaluation.report


def test_csv_has_a_line_for_each_row_with_its_figures_in_full(evaluation):
    text = csv_text(evaluation.report)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(evaluation.report.rows)
    for written, row in zip(rows, evaluation.report.rows, strict=True):
        for facts in evaluation.report.metrics:
            value = row.value(facts.name)
            assert written[facts.name] == ("" if value is None else str(value))
        assert written["outcome"] == row.outcome and (written["trivial"] == "1") == row.trivial
    assert not re.search(r"(^|,)[\"']?=", text.replace("'=", "")), "no formula to a spreadsheet"


def test_markdown_tables_have_as_many_cells_in_each_row_and_the_trivial_answers_in_each(evaluation):
    text = markdown(evaluation.report)
    tables = [part for part in re.split(r"\n\n", text) if part.startswith("| ")]
    assert len(tables) >= 6
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1, table
    for table in tables[:5]:
        assert "flat mean colour" in table
    assert "<script>" not in text and not re.search(r"^# no heading", text, re.M)


def test_latex_is_balanced_and_every_row_has_the_columns_of_its_table(evaluation):
    text = latex(evaluation.report)
    open_now = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        assert open_now.pop() == name if kind == "end" else open_now.append(name) is None
    assert open_now == []
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    plain = re.sub(r"\\[\\{}&%$#_]", "", body.replace(r"\\", ""))
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    assert not re.search(r"[#%&_~^<>|–−↑↓日]", re.sub(r" & ", "", plain)), "nothing is left that TeX takes for its own"
    for name, columns, rows in re.findall(r"\\begin\{(tabular|longtable)\}\{([lr]+)\}(.*?)\\end", text, re.S):
        lines = [line for line in rows.splitlines() if line.endswith(r"\\")]
        assert lines and {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(columns)}, name


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_stands_alone_runs_nothing_and_shows_each_run(evaluation):
    text = page(evaluation)
    tags = _Tags()
    tags.feed(text)
    images = [attributes["src"] for tag, attributes in tags.found if tag == "img"]
    assert len(images) == 3 * 4, "reference, result, difference and the picture that was added, of three runs"
    assert all(one.startswith("data:image/jpeg;base64,") for one in images)
    assert not [tag for tag, attributes in tags.found if tag in ("script", "link", "iframe") or "href" in attributes]
    assert "default-src 'none'" in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "from the left" in text


def test_means_say_of_how_many_pictures_they_are_and_whether_the_worst_value_makes_a_difference(evaluation):
    tables = {table.title: table for table in tables_of(evaluation.report)}
    first = tables["Means, failures left out: shapes"]
    assert first.head[:2] == ("method", "pictures") and [cells[1] for cells in first.rows] == ["2", "1", "2"]
    assert "give the same table" not in first.note
    assert [cells[1] for cells in tables["Means, failures as the worst value: shapes"].rows] == ["2", "2", "2"]


def test_a_broken_scene_alone_brings_the_table_of_worst_values(evaluation):
    """Of runs that are all scored."""
    rows = tuple(
        row.model_copy(
            update={
                "outcome": "scored",
                "scores": tuple(
                    one.model_copy(update={"value": None, "is_fault": True}) if one.metric == "shape" else one
                    for one in row.scores
                ),
            }
        )
        for row in evaluation.report.rows
        if row.method == "A"
    )
    facts = evaluation.report.metrics
    report = evaluation.report.model_copy(
        update={"rows": rows, "summaries": summaries_of(rows, facts), "comparisons": comparisons_of(rows, facts)}
    )
    tables = {table.title: table for table in tables_of(report)}
    assert "Means, failures as the worst value" not in tables
    assert [cells[-1] for cells in tables["Means, failures as the worst value: shapes"].rows] == [
        "1.000 [1.000, 1.000]"
    ]
    assert "give the same table" in tables["Means, failures left out"].note
    assert "give the same table" not in tables["Means, failures left out: shapes"].note


def test_the_page_opens_in_a_browser(evaluation, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        lacking("a Chromium, which looks at the page")
    (tmp_path / "page.html").write_text(page(evaluation))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = (tmp_path / "page.html").as_uri()
    ended = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0 and ended.stdout.count("<article>") == 4, "a card for each run, failed ones too"


def test_what_is_added_to_a_run_is_in_the_tables_like_any_metric(evaluation):
    first = evaluation.report.summaries[0]
    assert {one.metric: one.value for one in first.left_out}["shape"] == 0.25
    failing = evaluation.report.summaries[1]
    assert {one.metric: one.value for one in failing.as_worst}["shape"] == pytest.approx((0.25 + 1.0) / 2)
    assert {one.method: one.left_out for one in evaluation.report.summaries}[MEAN][-1].value == 0.5
    text = markdown(evaluation.report)
    assert "## Means, failures left out: shapes" in text and "## Every picture: shapes" in text
    assert "a note of it" in text or "A note of it" in text


def test_learned_metrics_are_measured_beside_the_others_or_say_why_not(tmp_path):
    from agent.evaluation.score import PictureMetric, Unavailable

    def absent(weights):
        raise Unavailable(f"there is no network in {weights.folder}")

    finished(tmp_path / "runs" / "chair", draw_picture(tmp_path / "chair.png"))
    facts = SHAPE.model_copy(update={"name": "mean"}), SHAPE.model_copy(update={"name": "gone"})
    nan = SHAPE.model_copy(update={"name": "nan"})
    learned = (
        PictureMetric(facts[0], lambda weights: lambda pair: float(pair.render.rgb.mean())),
        PictureMetric(facts[1], absent),
        PictureMetric(nan, lambda weights: lambda pair: float("nan")),
    )
    report = evaluate(Question(methods={"A": find_runs([tmp_path / "runs"])}, size_px=64, learned=learned)).report
    row = report.rows[0]
    assert row.value("mean") > 1 and row.value("psnr_db") is not None
    assert [(one.metric, one.reason) for one in report.unavailable if one.metric == "gone"] == [
        ("gone", "there is no network in None")
    ]
    assert next(score for score in row.scores if score.metric == "nan").reason == "came out as nan"
    assert "– in column gone: there is no network in None." in summary(report)
