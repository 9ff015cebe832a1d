"""Proves that prices are data and that an unknown one is never guessed."""

import pytest

from agent.models.prices import AS_OF, DEFAULT_MODEL, PRICES, dollars, price_of


def test_the_default_model_has_a_price_row():
    assert DEFAULT_MODEL in PRICES
    assert AS_OF.startswith("20")


def test_the_papers_model_costs_what_it_costs():
    assert dollars("claude-opus-4-7", input=1_000_000, output=0) == 5
    assert dollars("claude-opus-4-7", input=0, output=1_000_000) == 25
    assert dollars("claude-opus-4-7", input=0, output=0, cache_read=1_000_000) == 0.5
    assert dollars("claude-opus-4-7", input=0, output=0, cache_write_5m=1_000_000) == 6.25
    assert dollars("claude-opus-4-7", input=0, output=0, cache_write_1h=1_000_000) == 10


def test_a_dated_snapshot_costs_what_its_model_does():
    assert price_of("claude-opus-4-5-20251101") == PRICES["claude-opus-4-5"]


@pytest.mark.parametrize("model", ["gpt-9", "claude-opus-9", "us.anthropic.claude-opus-4-7-v1:0", ""])
def test_an_unknown_model_has_no_price(model):
    assert price_of(model) is None
    assert dollars(model, input=1, output=1) is None


@pytest.mark.parametrize("model", PRICES)
def test_prices_are_ordered_as_they_always_are(model):
    price = PRICES[model]
    assert price.cache_read < price.input < price.cache_write_5m < price.cache_write_1h < price.output
