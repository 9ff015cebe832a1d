"""An experiment file says what is wrong with it, with the documented exit code, before anything is run or written."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripted_runs import draw_box

from agent.cli import parse
from agent.config import NOT_SHAPING
from agent.errors import ConfigurationError, RunError, UsageError
from agent.evaluation.other_systems import OTHER_SYSTEMS
from agent.experiments.command import experiment
from agent.experiments.file import find_file, read_file, shipped
from agent.experiments.methods import SHIPPED
from agent.failures import failure_of
from sandbox.folders import ROOT

GOOD = 'pictures = ["box.png"]\nmethods = ["staged"]\nmodel = "offline"\n'


@pytest.fixture
def folder(tmp_path):
    draw_box(tmp_path / "box.png")
    return tmp_path


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """The exit code and what is said; nothing is written, and there is no key."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY_FILE", raising=False)

    def refused(file, *arguments):
        with pytest.raises((RunError, SystemExit)) as caught:
            experiment(parse(["experiment", str(file), "--out", str(folder / "out"), *arguments]))
        assert not (folder / "out").exists()
        said = capsys.readouterr()
        assert said.out == ""
        if isinstance(caught.value, SystemExit):
            return caught.value.code, said.err
        return failure_of(caught.value).exit_code, str(caught.value)

    return refused


def written(folder, text):
    path = folder / "trial.toml"
    path.write_text(text)
    return path


# ── what cannot be is refused ─────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods = [", "is not valid TOML"),
        (GOOD + 'presett = "quick"\n', "'presett' is not known. Did you mean 'preset'?"),
        (GOOD + "[budget]\nusd = 3\n", "'budget.usd' is not known. There are run, total"),
        (GOOD + "[budget.run]\ndollars = 3\n", "'budget.run.dollars' is not known. There are usd, tokens"),
        (GOOD + "[budget.run]\nusd = 0\n", "'budget.run.usd' must be more than 0, not 0"),
        (GOOD + "[budget.total]\ntokens = 1.5\n", "'budget.total.tokens' must be a whole number, not 1.5"),
        (GOOD + "seeds = 3\n", "'seeds' must be a list, not 3"),
        (GOOD + "seeds = []\n", "'seeds' must have at least one"),
        (GOOD + "seeds = [0, -1]\n", "'seeds.1' must be at least 0, not -1"),
        (GOOD + "seeds = [1, 1]\n", "a seed is named twice"),
        (GOOD.replace('["staged"]', "[]"), "'methods' must have at least one"),
        (GOOD.replace('methods = ["staged"]', ""), "'methods' is missing"),
        (GOOD.replace("staged", "stagd"), "there is no method 'stagd'. Did you mean 'staged'?"),
        (GOOD.replace('["staged"]', '["staged", "staged"]'), "the method 'staged' is named twice"),
        (GOOD.replace("offline", "gpt"), "'model' must be one of"),
        (GOOD.replace('model = "offline"', ""), "no model is named"),
        (GOOD.replace("offline", "recorded"), "and a recording go together"),
        (GOOD + 'data = "x"\n', "there are both data and pictures"),
        (GOOD.replace('pictures = ["box.png"]', ""), "names no pictures"),
        (GOOD.replace('["box.png"]', "[]"), "names no pictures"),
        (GOOD.replace('["box.png"]', '["box.png", "../x/../box.png"]'), "two pictures are called 'box'"),
        (GOOD + "[settings]\nrolouts = 2\n", "the setting 'rolouts' is not known. Did you mean 'rollouts'?"),
        (GOOD + "[settings]\nrollouts = 99\n", "the setting 'rollouts' must be at most 16, not 99"),
        (GOOD + "[settings]\nseed = 2\n", "[settings]: 'seed' has a place of its own. Say it as seeds"),
        (GOOD + "[settings.budget]\nusd = 2\n", "[settings]: 'budget' makes no other result"),
        (GOOD + "[method.mine]\nrollouts = 2\n", "[method.mine] is not among the methods"),
        (GOOD + "[method.staged]\nrollouts = 2\n", "[method.staged] is the name of a method that there is already"),
        (GOOD.replace("staged", "m") + "[method.m]\nseed = 2\n", "'seed' is the same for all methods. Say it as seeds"),
        (GOOD.replace("staged", "m") + '[method.m]\nblender = "4.2"\n', "'blender' makes no other result"),
        (GOOD.replace("staged", "m") + "[method.m]\nverifier = 3\n", "method 'm': the setting 'verifier' must be true"),
        (
            GOOD.replace("staged", "m") + "[method.m]\nrounds = 3\n[settings]\nrounds.geometry = 2\n",
            "method 'm': the setting 'rounds' is a table of settings, and is said as one value too",
        ),
        (GOOD + "[settings]\nrounds = 3\n", "the setting 'rounds' must be a table of settings, not 3"),
        (GOOD.replace("staged", "a b") + '[method."a b"]\nrollouts = 2\n', "'a b' cannot name a method"),
        (GOOD.replace("staged", "text_only_scaffold"), "the offline model builds from the picture alone"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_78_and_nothing_is_written(folder, refused, text, said):
    (folder / "x").mkdir()
    code, message = refused(written(folder, text))
    assert code == 78 and said in message and str(folder / "trial.toml") in message


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (GOOD.replace("box.png", "none.png"), 65, "none.png"),
        (GOOD.replace("box.png", "none.csv"), 65, "none.csv"),
        (GOOD.replace('pictures = ["box.png"]', 'data = "none/at/all"'), 65, "none/at/all"),
        (GOOD.replace('pictures = ["box.png"]', 'data = "scenes:"'), 64, "--data scenes:/path/to/it"),
    ],
)
def test_pictures_that_are_not_there_are_named(folder, refused, text, code, said):
    ended, message = refused(written(folder, text))
    assert ended == code and said in message


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none.toml"], 78, "experiment file none.toml: no such file"),
        (["tabel1"], 64, "none of that name is shipped. Did you mean 'table1'?"),
        (["table1"], 64, "--data nerf-paper:/path/to/it"),
        (["table1", "--data", "/nowhere/at/all"], 65, "/nowhere/at/all"),
        (["TRIAL", "--gres", "gpu:1"], 64, "--gres is for rows that are handed in. Name the --engine"),
        (["TRIAL", "--gres", "gpu:1", "--engine", "openjd"], 64, "--gres is for --engine slurm"),
        (["TRIAL", "--", "--seed", "3"], 64, "--seed is not said to the runs of an experiment"),
        (["TRIAL", "--", "--out", "x"], 64, "--out cannot be said to the runs"),
        (["TRIAL", "--", "--rolouts", "x"], 64, "unrecognized arguments: --rolouts"),
    ],
)
def test_a_bad_command_line_is_refused(folder, refused, arguments, code, said):
    trial = written(folder, GOOD)
    ended, message = refused(*(str(trial) if text == "TRIAL" else text for text in arguments))
    assert ended == code and said in message


def test_the_command_ends_with_the_code_and_without_a_traceback(folder):
    command = [sys.executable, "-m", "agent", "experiment", str(written(folder, GOOD + "x = 1\n"))]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (78, "")
    assert ended.stderr.startswith("seig: ") and "'x' is not known" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["viga", "VIGA_full", "our-v-i-g-a", "scene_language", "IR3D_Bench", "blender-mcp"])
def test_no_setting_of_ours_goes_by_the_name_of_another_system(folder, name):
    text = GOOD.replace("staged", name) + f"[method.{name}]\nmonolithic = true\n"
    with pytest.raises(ConfigurationError, match="would carry the name of another system"):
        read_file(written(folder, text))


def test_no_shipped_method_goes_by_the_name_of_another_system():
    names = "".join(SHIPPED).replace("_", "").casefold()
    assert not [system for system in OTHER_SYSTEMS if system.replace(" ", "").casefold() in names]


# ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_file_is_read_with_its_paths_beside_it(folder):
    text = (
        'methods = ["staged", "deep"]\nmodel = "claude"\npreset = "quick"\nseeds = [3, 1]\n'
        '[method.deep]\nrounds.geometry = 8\nclaude_models.verifier = "claude-haiku-4-5"\n'
        "[settings]\nrollouts = 2\nrounds.material = 1\n[budget.run]\nusd = 1.5\nminutes = 20\n"
    )
    file = read_file(written(folder, text))
    assert file.settings == {"model": "claude", "preset": "quick", "rollouts": 2, "rounds.material": 1}
    deep = {"rounds.geometry": 8, "claude_models.verifier": "claude-haiku-4-5"}
    assert [method.settings for method in file.methods] == [{}, deep]
    assert file.told == ["--max-cost", "1.5", "--max-minutes", "20.0"] and file.written.seeds == (3, 1)
    assert file.beside("a/b.png") == folder / "a" / "b.png" and file.beside("/c.png") == Path("/c.png")


def test_every_method_is_one_setting_that_shapes_the_result():
    assert SHIPPED.keys() == {
        "staged", "monolithic", "one_rollout", "no_verifier", "no_hints", "no_scopes", "text_only_scaffold", "offline",
    }  # fmt: skip
    assert all(len(method.settings) == (method.name != "staged") for method in SHIPPED.values())
    assert not any(method.settings.keys() & NOT_SHAPING for method in SHIPPED.values())


def test_shipped_files_are_found_by_name_and_can_be_read(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped().keys() == {"table1", "table2", "ablations", "offline"}
    files = {name: read_file(find_file(name)) for name in shipped()}
    assert files["table1"].written.data == "nerf-paper:" and files["table2"].written.data == "edit3d:"
    assert [method.name for method in files["offline"].methods] == ["offline"]
    assert {method.name for method in files["ablations"].methods} == SHIPPED.keys() - {"offline"}
    with pytest.raises(UsageError, match="There are ablations, offline, table1, table2"):
        find_file("nothing-like-it")


def test_a_file_of_ones_own_comes_before_a_shipped_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("table1").write_text(GOOD)
    assert find_file("table1") == Path("table1")
