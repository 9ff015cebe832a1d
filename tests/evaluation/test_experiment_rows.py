"""An experiment runs what is missing and nothing twice, whatever becomes of its rows and of its file meanwhile."""

import json
import sys

import pytest
from evaluated_runs import begun, failed
from scripted_runs import draw_box

from agent.cli import parse
from agent.errors import ConfigurationError, InputUnreadable, UsageError
from agent.experiments.command import experiment
from agent.farm import commands as farm
from agent.farm import local
from agent.farm.batch import open_batch
from sandbox.folders import ROOT

STUB = ROOT / "tests" / "fakes" / "stub_row.py"
TWO = ("done-1", "done-2")


class Trial:
    """An experiment whose rows do at once what the picture's name says: see stub_row.py."""

    def __init__(self, folder, capsys):
        self.folder, self.out, self._capsys = folder, folder / "out", capsys

    def write(self, pictures=TWO, methods=("staged",), more="", model="offline"):
        for name in pictures:
            if not (self.folder / f"{name}.png").exists():
                draw_box(self.folder / f"{name}.png")
        listed = json.dumps([f"{name}.png" for name in pictures])
        said = f"pictures = {listed}\nmethods = {json.dumps(methods)}\nmodel = {json.dumps(model)}\n{more}"
        (self.folder / "trial.toml").write_text(said)
        return self

    def run(self, *options, at_once=("--at-once", "2")):
        """The exit code, and what was printed."""
        file = str(self.folder / "trial.toml")
        code = experiment(parse(["experiment", file, "--out", str(self.out), *at_once, *options]))
        return code, self._capsys.readouterr().out

    def starts(self):
        """Run's name without its digest → how often it was started, of all that ever were."""
        found = {path.parent.name: path.read_text() for path in self.out.glob("batch/*/started")}
        return {name.rpartition(".")[0]: len(text.splitlines()) for name, text in sorted(found.items())}

    def report(self):
        return json.loads((self.out / "report.json").read_text())

    def states(self):
        return {(run["item"], run["method"], run["seed"]): run["state"] for run in self.report()["runs"]}

    def told(self):
        return (self.out / "report.md").read_text()


@pytest.fixture
def trial(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(local, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(local, "LOOK_S", 0.02)
    monkeypatch.setattr(farm, "row_command", lambda *options: [sys.executable, str(STUB), *options])
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY_FILE", raising=False)
    return Trial(tmp_path, capsys)


# ── what is run ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_each_picture_is_run_by_each_method_with_each_seed_and_only_once(trial):
    trial.write(methods=("staged", "monolithic"), more="seeds = [0, 7]")
    code, said = trial.run()
    assert code == 0 and "8 of 8 rows final, 0 of them failed" in said and str(trial.out / "report.md") in said
    rows = {(item, method, seed) for item in TWO for method in ("staged", "monolithic") for seed in (0, 7)}
    assert trial.states() == dict.fromkeys(rows, "accepted")
    assert trial.starts() == {f"{item}.{method}.s{seed}": 1 for item, method, seed in rows}
    frozen = open_batch(trial.out / "batch").rows
    assert {row.seed for row in frozen} == {0, 7} and {"monolithic": True, "model": "offline"} in [
        row.settings for row in frozen
    ]
    assert trial.run()[0] == 0 and set(trial.starts().values()) == {1}


def test_methods_that_come_to_the_same_settings_share_their_runs_and_it_is_said(trial):
    trial.write(methods=("staged", "one_rollout", "no_verifier"), more='preset = "quick"')
    code, said = trial.run()
    assert code == 0 and "6 of 6 rows final" in said
    assert trial.starts() == {f"{item}.{method}.s0": 1 for item in TWO for method in ("staged", "no_verifier")}
    assert [method["same_as"] for method in trial.report()["methods"]] == ["", "staged", ""]
    assert "the same settings as staged here: these are its runs" in trial.told()
    scores = trial.told().partition("## Scores")[2].replace("\\", "")
    assert "no_verifier" in scores and "one_rollout" not in scores, "it would be compared with itself"


def test_a_row_that_failed_for_good_stays_a_failure_when_the_experiment_goes_on(trial):
    trial.write(pictures=("broken-1", "done-1"))
    for _ in range(2):
        code, said = trial.run()
        assert code == 0 and "2 of 2 rows final, 1 of them failed" in said
        assert trial.states()["broken-1", "staged", 0] == "failed"
        assert "| broken-1 | staged | 0 | bug | a defect. |" in trial.told()
    assert trial.starts() == {"broken-1.staged.s0": 1, "done-1.staged.s0": 1}
    assert trial.run("--strict")[0] == 3
    assert trial.run("--retry-failed")[0] == 0
    assert trial.starts() == {"broken-1.staged.s0": 2, "done-1.staged.s0": 1}


def test_rows_that_are_not_final_are_told_and_done_by_the_same_command_again(trial):
    trial.write(pictures=("unfit-1", "done-1"))
    code, said = trial.run()
    assert code == 75 and "1 of 2 rows final" in said
    assert "**Not finished: 1 of 2 rows are final.**" in trial.told()
    assert "- unfit-1, staged, seed 0: stopped there is no Blender." in trial.told()
    assert trial.run("--strict")[0] == 75
    assert trial.starts() == {"done-1.staged.s0": 1, "unfit-1.staged.s0": 2}


def test_a_row_counts_for_its_own_picture_whether_or_not_it_kept_one_and_though_two_are_alike(trial):
    trial.write(pictures=("broken-1", "done-1", "done-2"))
    assert (trial.folder / "done-1.png").read_bytes() == (trial.folder / "done-2.png").read_bytes()
    trial.run()
    for folder in trial.out.glob("batch/done-*"):
        begun(folder, trial.folder / "done-1.png")
    trial.run()
    said = json.loads((trial.out / "evaluation" / "evaluation.json").read_text())
    own = {row["picture"]: row["id"].partition(".")[0] for row in said["rows"] if not row["trivial"]}
    assert own == {name: name for name in ("broken-1", "done-1", "done-2")}
    assert said["unmatched"] == said["without_run"] == []


def test_failed_rows_that_are_tried_again_need_a_key_as_new_ones_do(trial):
    trial.write(pictures=("broken-1",), model="claude")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ANTHROPIC_API_KEY", "of no use")
        assert trial.run()[0] == 0
    with pytest.raises(ConfigurationError, match="needs a key"):
        trial.run("--retry-failed")
    assert trial.starts() == {"broken-1.staged.s0": 1}


# ── a file that changes ───────────────────────────────────────────────────────────────────────────────────────────────
def test_what_still_applies_is_kept_and_what_is_new_is_added_behind_it(trial):
    trial.write(pictures=("done-1",)).run()
    before = open_batch(trial.out / "batch").rows
    trial.write(methods=("monolithic", "staged"), more="seeds = [0, 1]")
    code, said = trial.run()
    assert code == 0 and "8 of 8 rows final" in said and "stale" not in said
    assert set(trial.starts().values()) == {1} and len(trial.starts()) == 8
    after = open_batch(trial.out / "batch").rows
    assert after[:1] == before and [row.index for row in after] == list(range(1, 9))


def test_a_bound_that_changes_makes_nothing_stale(trial):
    trial.write(more="[budget.run]\ncalls = 5").run()
    trial.write(more="[budget.run]\ncalls = 50\nminutes = 3").run()
    assert set(trial.starts().values()) == {1} and len(trial.starts()) == 2


def test_what_a_change_makes_stale_is_told_with_the_reason_kept_and_not_counted(trial):
    trial.write(methods=("staged", "monolithic")).run()
    trial.write(pictures=("done-1",), more="[settings]\nrollouts = 3")
    code, said = trial.run()
    assert code == 0
    named = [line.split(maxsplit=2)[1:] for line in said.splitlines() if line.startswith("stale ")]
    gone = "the file no longer names it"
    assert {name.rpartition(".")[0]: why for name, why in named} == {
        "done-1.staged.s0": "rollouts changed", "done-2.staged.s0": gone,
        "done-1.monolithic.s0": gone, "done-2.monolithic.s0": gone,
    }  # fmt: skip
    assert list(trial.states()) == [("done-1", "staged", 0)] and len(trial.report()["stale"]) == 4
    assert "rollouts changed" in trial.told() and len(list(trial.out.glob("batch/*/result.json"))) == 5


def test_what_was_stale_counts_again_when_the_file_is_as_it_was(trial):
    trial.write(methods=("staged", "monolithic")).run()
    trial.write().run()
    trial.write(methods=("staged", "monolithic")).run()
    assert set(trial.starts().values()) == {1} and trial.report()["stale"] == [] and len(trial.states()) == 4


def test_a_picture_that_changed_is_another_one(trial):
    trial.write().run()
    with (trial.folder / "done-1.png").open("ab") as file:
        file.write(b"more")
    code, said = trial.run()
    assert code == 0 and "stale      done-1.staged.s0." in said and "its picture, the prompts or" in said
    assert len(list(trial.out.glob("batch/*/started"))) == 3


def test_what_is_said_to_each_run_stands_above_the_file_but_not_above_a_method(trial):
    trial.write(methods=("staged", "one_rollout"), more='preset = "fine"')
    assert trial.run("--", "--preset", "quick", "--rollouts", "5")[0] == 0
    assert [row.settings for row in open_batch(trial.out / "batch").rows[:2]] == [
        {"model": "offline"}, {"model": "offline", "rollouts": 1},
    ]  # fmt: skip
    assert trial.report()["preset"] == "quick"


def test_a_kill_while_the_batch_grows_loses_nothing(trial, monkeypatch):
    from agent.farm import batch

    trial.write(pictures=("done-1",)).run()
    trial.write(pictures=("done-1", "done-2"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(batch, "write_atomically", _killed)
        trial.run()
    assert len(open_batch(trial.out / "batch").rows) == 1
    assert trial.run()[0] == 0 and len(open_batch(trial.out / "batch").rows) == 2
    assert set(trial.starts().values()) == {1}


def _killed(*given):
    raise KeyboardInterrupt


def test_a_picture_that_cannot_be_read_is_told_before_anything_is_written(trial):
    trial.write()
    (trial.folder / "done-2.png").write_bytes(b"")
    with pytest.raises(InputUnreadable, match=r"done-2\.png: the file is empty"):
        trial.run()
    assert not trial.out.exists()


# ── whose folder it is ────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_folder_of_something_else_is_refused(trial):
    trial.write().run()
    (trial.folder / "trial.toml").rename(trial.folder / "other.toml")
    with pytest.raises(UsageError, match="is the folder of another experiment, 'trial'"):
        experiment(parse(["experiment", str(trial.folder / "other.toml"), "--out", str(trial.out)]))
    trial.out = trial.folder
    trial.write()
    with pytest.raises(UsageError, match="is not empty and holds no experiment"):
        trial.run()
    trial.out = trial.folder / "trial.toml" / "below"
    with pytest.raises(UsageError, match="is, or lies below, a file"):
        trial.run()


def test_a_damaged_record_is_told(trial):
    trial.write().run()
    (trial.out / "experiment.json").write_text("{")
    with pytest.raises(InputUnreadable, match=r"experiment\.json cannot be read"):
        trial.run()


# ── what it may cost ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_experiment_that_may_cost_too_much_is_refused_before_anything_is_written(trial):
    bounds = "[budget.run]\nusd = 2\n[budget.total]\nusd = "
    trial.write(methods=("staged", "monolithic", "offline"), model="claude", more=f"{bounds}7.99")
    with pytest.raises(UsageError, match=r"may cost \$8.00, more than the \$7.99"):
        trial.run()
    trial.write(methods=("staged", "monolithic", "offline"), model="claude", more=f"{bounds}8")
    with pytest.raises(ConfigurationError, match="needs a key"):
        trial.run()
    assert not trial.out.exists()


def test_a_dry_run_tells_what_is_missing_and_what_it_may_cost_and_writes_nothing(trial):
    trial.write(pictures=("done-1",)).run()
    trial.write(methods=("staged", "monolithic", "offline"), more="[budget.run]\nusd = 2")
    text = (trial.folder / "trial.toml").read_text().replace('model = "offline"', 'model = "claude"')
    (trial.folder / "trial.toml").write_text(text)
    before = sorted(trial.folder.rglob("*"))
    code, said = trial.run("--dry-run")
    assert code == 0 and sorted(trial.folder.rglob("*")) == before
    assert "2 pictures, 3 methods, 1 seeds: 6 runs" in said and "missing    5 of 6 runs" in said
    assert "done-1  offline  seed 0  accepted, has cost $0.00" in said, "the same settings as the staged run before"
    assert "done-2  monolithic  seed 0  not begun, at most $2.00" in said
    assert "at most    $8.00, 32,000,000 tokens" in said


def test_the_report_counts_a_run_that_methods_share_once(trial):
    trial.write(methods=("staged", "one_rollout"), more='preset = "quick"').run()
    for folder in trial.out.glob("batch/done-*"):
        tokens = {"input": 100, "output": 20}
        line = json.dumps({"tokens": tokens, "usd": 0.25, "minutes": 1.0})
        (folder / "ledger.jsonl").write_text(f"{line}\n{line}\n")
    trial.run()
    report = trial.report()
    assert report["cost"] == {"usd": 1.0, "tokens": 480} and report["calls"] == 4
    assert [method["cost"]["usd"] for method in report["methods"]] == [1.0, 1.0]
    assert "Spent: $1.00, 480 tokens, 4 model calls" in trial.told()


# ── on a farm ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_rows_can_be_handed_in_and_are_not_final_before_they_are_done(trial, monkeypatch):
    trial.write()
    stub = farm.row_command
    monkeypatch.setattr(farm, "row_command", local.row_command)
    code, said = trial.run("--engine", "openjd", "--write-only", "--cpus", "1", at_once=())
    assert code == 75 and "template.json" in said and "0 of 2 rows final" in said
    assert "--max-cost" not in (trial.out / "batch" / "template.json").read_text()
    assert "Nothing to evaluate yet" in trial.told()
    monkeypatch.setattr(farm, "row_command", stub)
    assert trial.run()[0] == 0, "what was handed in can be done here as well"


def test_failed_rows_are_handed_in_again_although_the_file_asks_for_others_than_it_began_with(trial, monkeypatch):
    trial.write(pictures=("done-1", "broken-1")).run()
    trial.write(pictures=("broken-1", "broken-2")).run()
    states = {path.parent.name.partition(".")[0]: path for path in trial.out.glob("batch/*/result.json")}
    assert states.keys() == {"done-1", "broken-1", "broken-2"}
    for name in ("broken-1", "broken-2"):
        failed(states[name].parent)
    monkeypatch.setattr(farm, "row_command", local.row_command)
    code, _ = trial.run("--engine", "openjd", "--write-only", "--retry-failed", at_once=())
    assert code == 75
    assert {name for name, path in states.items() if path.exists()} == {"done-1"}, "only what failed is forgotten"
