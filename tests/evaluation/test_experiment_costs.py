"""What an experiment can cost at most is known before it begins; the paper's figures stand apart, or not at all."""

import pytest

from agent.config import Config, load_config, with_model
from agent.errors import UsageError
from agent.evaluation.other_systems import OTHER_SYSTEMS
from agent.evaluation.paper import COLUMNS, TABLES, paper_block
from agent.experiments.costs import Cost, refuse_too_dear, spent, worst_case
from agent.experiments.file import TotalBudget
from agent.farm.outcomes import Outcome
from agent.models.prices import PRICES


def config(**said) -> Config:
    return with_model(load_config({"model": "claude", "claude_model": "claude-opus-4-7", **said}))


# ── what it may cost ──────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("said", "usd", "tokens"),
    [
        ({"budget.usd": 2.5}, 2.5, 8_000_000),
        ({"budget.tokens": 1_000_000}, 25.0, 1_000_000),
        ({"budget.tokens": 1_000_000, "budget.usd": 30}, 25.0, 1_000_000),
        ({"budget.tokens": 1_000_000, "claude_models.verifier": "claude-fable-5"}, 50.0, 1_000_000),
        ({"claude_model": "someone-elses"}, None, 8_000_000),
        ({"claude_models.selector": "someone-elses"}, None, 8_000_000),
        ({"model": "offline", "budget.usd": 2}, 0.0, 0),
        ({"model": "recorded"}, 0.0, 0),
    ],
)
def test_a_run_can_cost_its_bound_or_all_its_tokens_at_the_dearest_rate(said, usd, tokens):
    assert max(PRICES["claude-opus-4-7"]) == 25 and max(PRICES["claude-fable-5"]) == 50
    assert worst_case(config(**said)) == Cost(usd=usd, tokens=tokens)


@pytest.mark.parametrize(
    ("most", "total", "said"),
    [
        (Cost(usd=10.01, tokens=5), {"usd": 10}, r"may cost \$10.01, more than the \$10.00"),
        (Cost(usd=1, tokens=1001), {"usd": 10, "tokens": 1000}, "may come to 1,001 tokens, more than the 1,000"),
        (Cost(usd=None, tokens=5), {"usd": 10}, "price of a model of this experiment is not known"),
    ],
)
def test_what_may_cost_more_than_the_file_allows_is_refused(most, total, said):
    with pytest.raises(UsageError, match=said):
        refuse_too_dear(most, TotalBudget(**total))


@pytest.mark.parametrize("total", [{}, {"usd": 10}, {"usd": 10, "tokens": 1000}])
def test_what_may_cost_just_as_much_is_not(total):
    refuse_too_dear(Cost(usd=10, tokens=1000), TotalBudget(**total))


def test_what_was_spent_is_unknown_as_soon_as_one_price_is(tmp_path):
    def outcome(usd):
        return Outcome(index=1, id="a", image=tmp_path, folder=tmp_path, state="accepted", usd=usd, tokens=7)

    assert spent([outcome(0.5), outcome(1.0)]) == Cost(usd=1.5, tokens=14)
    assert spent([outcome(0.5), outcome(None)]) == Cost(usd=None, tokens=14)
    assert spent([]) == Cost(usd=0.0, tokens=0)


# ── the paper's figures ───────────────────────────────────────────────────────────────────────────────────────────────
def test_the_papers_tables_are_as_it_prints_them():
    first, second = TABLES
    assert dict(first.rows)["Ours"] == ("13.58", "0.6881", "0.3493", "0.3021", "0.7188", "0.8830")
    assert dict(second.rows)["VIGA full"] == ("12.48", "0.6743", "0.4466", "0.4441", "0.4832", "0.7883")
    assert (first.number, first.pictures, second.number, second.pictures) == (1, 35, 2, 13)
    assert all(len(figures) == len(COLUMNS) for table in TABLES for _, figures in table.rows)


def scenes(pictures, count):
    return [f"scene {number % count}" for number in range(pictures)]


@pytest.mark.parametrize(("kind", "pictures", "count", "number"), [("nerf-paper", 35, 7, 1), ("edit3d", 13, 13, 2)])
def test_they_stand_beside_runs_of_their_model_on_their_pictures_with_what_differs(kind, pictures, count, number):
    block = paper_block(kind, scenes(pictures, count), ["claude-opus-4-7"])
    assert f"Table {number} of the paper" in block and "| Ours |" in block
    assert "no row of the tables above" in block and "does not say which" in block and "SSIM and LPIPS" in block
    assert "by ICP or NDP, and renders it again" in block


@pytest.mark.parametrize(
    ("kind", "pictures", "count", "models", "why"),
    [
        ("", 35, 7, ["claude-opus-4-7"], "they are of other pictures than these"),
        ("nerf", 35, 7, ["claude-opus-4-7"], "they are of other pictures than these"),
        ("nerf-paper", 34, 7, ["claude-opus-4-7"], "Table 1 is left out: it is of 35 pictures of 7 scenes, and here"),
        ("edit3d", 12, 12, ["claude-opus-4-7"], "here there are 12 of 12"),
        ("edit3d", 13, 5, ["claude-opus-4-7"], "here there are 13 of 5"),
        ("edit3d", 13, 13, ["offline"], "its runs are by Claude Opus 4.7, and here there are some by offline"),
        ("nerf-paper", 35, 7, ["claude-opus-4-7", "claude-haiku-4-5"], "some by claude-haiku-4-5"),
    ],
)
def test_beside_other_pictures_or_models_they_are_left_out_and_it_is_said_why(kind, pictures, count, models, why):
    block = paper_block(kind, scenes(pictures, count), models)
    assert why in block and "\n" not in block
    assert not [name for name in (*OTHER_SYSTEMS, "13.58", "12.65") if name in block]
