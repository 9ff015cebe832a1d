"""Settings: defaults < preset < file < command line, each bad one named."""

import pytest

from agent.config import Config, choose_model, load_config
from agent.errors import ConfigurationError


def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = tmp_path / "seig.toml"
    file.write_text('preset = "quick"\nrollouts = 3\nseed = 5\n[rounds]\ngeometry = 4\n')
    config = load_config({"seed": 7, "budget.calls": 9, "rollouts": None}, file)
    assert (config.preset, config.rollouts, config.seed) == ("quick", 3, 7)
    assert (config.rounds.geometry, config.rounds.material) == (4, 1)
    assert config.budget.calls == 9


def test_the_default_has_the_papers_rounds_and_rollouts():
    config = Config()
    rounds = config.rounds
    assert (rounds.geometry, rounds.material, rounds.composition, rounds.lighting) == (5, 3, 3, 2)
    assert config.rollouts == 4


@pytest.mark.parametrize(
    ("options", "named"),
    [({"rollouts": 0}, "rollouts"), ({"budget.minutes": -1}, "budget.minutes"), ({"preset": "slow"}, "slow")],
)
def test_a_bad_setting_is_named(options, named):
    with pytest.raises(ConfigurationError, match=named):
        load_config(options)


def test_a_stage_may_have_limits_of_its_own_and_shares_the_others(tmp_path):
    file = tmp_path / "seig.toml"
    file.write_text("[limits]\nmemory_mib = 1000\nexecute_s = 30\n[limits.stages.geometry]\nexecute_s = 90\n")
    limits = load_config({}, file).limits
    assert (limits.of("geometry").execute_s, limits.of("material").execute_s) == (90, 30)
    assert limits.of_process("geometry").memory_bytes == 1000 << 20


def test_blenders_are_started_under_the_widest_limits_of_all_stages():
    limits = load_config({"limits.memory_mib": 1000, "limits.stages.lighting.memory_mib": 3000}).limits
    assert limits.of_any_process().memory_bytes == 3000 << 20
    assert limits.of_process("geometry").memory_bytes == 1000 << 20


@pytest.mark.parametrize(
    "text",
    [
        "[limits.stages.flying]\nexecute_s = 1",
        "[limits.stages.geometry]\nthreads = 3",
        "[limits.stages]\ngeometry = 3",
        "[limits]\nstages = 3",
        "rollouts = ",
        "unknown_setting = 1",
        "[rounds]\nflying = 2",
        '"\xff',
    ],
)
def test_a_bad_file_is_named_not_a_traceback(tmp_path, text):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        load_config({}, file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_config({}, tmp_path / "nowhere.toml")


def test_claude_is_the_default_only_where_a_key_is_present(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    assert choose_model(Config()) == "offline"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    assert choose_model(Config()) == "claude"
    assert choose_model(Config(model="offline")) == "offline"


def test_what_does_not_shape_the_result_does_not_change_the_settings_digest():
    assert Config(standby=False, side_by_side=1).digest() == Config().digest()
    assert Config(seed=1).digest() != Config().digest()
