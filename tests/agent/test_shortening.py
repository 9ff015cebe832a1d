"""A result that is too long is cut where it is longest, stays JSON, and says what is missing."""

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.tools.shortening import LONGEST_TEXT, shortened, without_long_texts


def test_what_is_short_enough_stays_as_it_is():
    facts = {"names": ["a", "b"], "count": 2}
    assert shortened(dict(facts), 100) == facts


def test_the_longest_list_loses_its_end_and_the_result_says_how_much():
    told = shortened({"few": [1, 2, 3, 4], "inner": {"many": list(range(1000))}}, 500)
    kept = len(told["inner"]["many"])
    assert told["inner"]["many"] == list(range(kept)) and 50 < kept < 200 and told["few"] == [1, 2, 3, 4]
    assert told["cut"] == [f"inner.many: the first {kept} of 1000"]


def test_a_long_table_of_names_loses_its_end_too():
    told = shortened({"keys": {f"key {number}": 0.0 for number in range(500)}}, 1000)
    assert told["cut"][0].endswith("of 500") and len(told["keys"]) < 100


def test_a_long_text_is_cut():
    told = without_long_texts({"name": "x" * 5000, "other": ["y"]})
    assert told["other"] == ["y"] and told["name"].startswith("x" * LONGEST_TEXT) and "5000 characters" in told["name"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.text(max_size=20),
    lambda below: st.lists(below, max_size=12) | st.dictionaries(st.text(max_size=8), below, max_size=40),
    max_leaves=200,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=5), st.integers(10, 2000))
def test_anything_comes_to_an_end_and_says_so_where_something_is_missing(facts, limit):
    before = json.loads(json.dumps(facts))
    told = shortened(facts, limit)
    assert ("cut" in told and told != before) or told == before
