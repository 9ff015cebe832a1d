"""Settings: defaults < preset < file < command line, each bad one named."""

import pytest

from agent.config import Config, load_config, with_budget, with_model
from agent.errors import ConfigurationError, UsageError


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


def test_a_table_among_the_settings_of_a_picture_leaves_what_else_was_said():
    config = load_config({"budget.usd": 1.0, "budget.calls": 5}, own={"budget": {"calls": 9}, "rounds.geometry": 2})
    assert (config.budget.usd, config.budget.calls, config.rounds.geometry) == (1.0, 9, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rollouts": 0}, "--rollouts must be more than 0, not 0."),
        ({"rollouts": 99}, "--rollouts must be at most 16, not 99."),
        ({"budget.minutes": -1}, "--max-minutes must be more than 0, not -1."),
        ({"budget.usd": float("nan")}, "--max-cost must be more than 0, not nan."),
        ({"preset": "slow"}, "--preset must be one of 'quick', 'default' or 'fine', not 'slow'."),
    ],
)
def test_a_bad_option_is_a_usage_error_that_names_it_as_it_is_typed(options, said):
    with pytest.raises(UsageError) as caught:
        load_config(options)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rollouts = 0", "the setting 'rollouts' must be more than 0, not 0."),
        ("[budget]\nminutes = 'long'", "the setting 'budget.minutes' must be a number, not 'long'."),
        ("preset = [1]", "the setting 'preset' must be one of 'quick', 'default' or 'fine', not [1]."),
        ("rolouts = 3", "the setting 'rolouts' is not known. Did you mean 'rollouts'?"),
        ("max_minutes = 3", "the setting 'max_minutes' is not known. Did you mean 'budget.minutes'?"),
        ("[rounds]\nlightning = 2", "the setting 'rounds.lightning' is not known. Did you mean 'rounds.lighting'?"),
        ("[limits.stages.geometry]\nmemory = 3", "Did you mean 'limits.stages.geometry.memory_mib'?"),
        ("[limits.stages.geometry]\nthreads = 3", "Did you mean 'limits.threads'?"),
        ("qwerty = 2", "the setting 'qwerty' is not known. All settings are named in"),
    ],
)
def test_a_bad_setting_in_a_file_is_named_with_the_file_the_reason_and_the_way_out(tmp_path, text, said):
    file = tmp_path / "seig.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_config({"seed": 1}, file)
    assert str(caught.value).startswith(f"{file}: ") and said in str(caught.value) and caught.value.remedy


def test_a_larger_budget_changes_nothing_else():
    config = load_config({"preset": "quick", "budget.calls": 7, "limits.stages.lighting.memory_mib": 3000})
    larger = with_budget(config, {"budget.calls": 20, "budget.minutes": None})
    assert larger.budget.calls == 20
    assert larger.model_copy(update={"budget": config.budget}) == config
    with pytest.raises(UsageError, match="--max-calls must be more than 0"):
        with_budget(config, {"budget.calls": 0})


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
    with pytest.raises(ConfigurationError, match=r"nowhere.toml: no such file or directory. Check the path"):
        load_config({}, tmp_path / "nowhere.toml")


def test_claude_is_the_default_only_where_a_key_is_present(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    assert with_model(Config()).model == "offline"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    assert with_model(Config()).model == "claude"
    assert with_model(Config(model="offline")).model == "offline"
    assert with_model(Config(model="offline")).align_looks == 0 < with_model(Config(model="claude")).align_looks


@pytest.mark.parametrize("model", [{"claude_model": "house-model"}, {"claude_models.selector": "house-model"}])
def test_a_bound_in_dollars_is_refused_where_a_price_is_not_known(model):
    unbounded = with_model(load_config({"model": "claude", "budget.tokens": 9, **model}))
    with pytest.raises(ConfigurationError, match=r"'house-model' is not known.*Bound --max-tokens or --max-calls"):
        with_model(load_config({"model": "claude", "budget.usd": 1, **model}))
    with pytest.raises(ConfigurationError, match="'house-model' is not known"):
        with_budget(unbounded, {"budget.usd": 1})
    assert with_budget(unbounded, {"budget.calls": 7, "budget.usd": None}).budget.calls == 7
    assert with_model(load_config({"model": "offline", "budget.usd": 1, **model})).budget.usd == 1


def test_what_does_not_shape_the_result_does_not_change_the_settings_digest():
    assert Config(standby=False, side_by_side=1).digest() == Config().digest()
    assert Config(seed=1).digest() != Config().digest()


def test_each_role_may_have_a_model_and_an_effort_of_its_own(tmp_path):
    file = tmp_path / "seig.toml"
    file.write_text('claude_model = "big"\n[claude_models]\nverifier = "small"\n[claude_efforts]\nselector = "low"\n')
    config = load_config({"claude_models.selector": "tiny"}, file)
    assert (config.claude_model, config.claude_models) == ("big", {"verifier": "small", "selector": "tiny"})
    assert config.claude_efforts == {"selector": "low"}
    file.write_text('[claude_models]\nverifyer = "small"\n')
    with pytest.raises(ConfigurationError, match=r"'claude_models.verifyer' must be one of 'decomposer'"):
        load_config({}, file)
