"""Every fault of the catalogue, at the levels that this machine offers: it costs its own edit and nothing else."""

import pytest

from tests.faults import levels
from tests.faults.catalogue import ROWS

pytestmark = [pytest.mark.blender, pytest.mark.timeout(300)]


@pytest.mark.faults
@pytest.mark.parametrize("level", levels.LEVELS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_fault_costs_only_its_own_edit(grounds, noted, row, level):
    tried(grounds, noted, row, level)


@pytest.mark.parametrize("row", [row for row in ROWS if row.ordinary], ids=lambda row: row.id)
def test_the_most_telling_faults_cost_only_their_own_edit(grounds, noted, row):
    tried(grounds, noted, row, levels.offered()[-1])


def tried(grounds, noted, row, level):
    key = "The catalogue", row.id, level
    noted[key] = "…", False
    try:
        ground = grounds.at(level, row.kind)
        with ground.watched():
            word = row.try_on(ground)
            noted[key] = word, False
            assert word in row.at(level), f"{word} instead of {' or '.join(row.at(level))}"
            assert ground.recorded(word), f"recorded: {ground.told}"
            ground.goes_on()
        ground.clean()
        noted[key] = word, True
    except BaseException:
        grounds.let_go()
        raise
