"""Code that forges, lies, waits, plants and races: no accepted state changes, nothing goes unnoticed."""

import pytest

from tests.faults import levels, trying
from tests.faults.adversary import ROWS

pytestmark = [pytest.mark.blender, pytest.mark.timeout(300)]
TABLE = "An adversary"


@pytest.mark.faults
@pytest.mark.parametrize("level", levels.LEVELS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_an_adversary_changes_nothing_that_was_accepted(grounds, noted, row, level):
    trying.tried(grounds, noted, TABLE, row, level)


@pytest.mark.parametrize("row", [row for row in ROWS if row.ordinary], ids=lambda row: row.id)
def test_the_most_telling_attacks_change_nothing_that_was_accepted(grounds, noted, row):
    trying.tried(grounds, noted, TABLE, row, levels.offered()[-1])
