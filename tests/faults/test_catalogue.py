"""Every fault of the catalogue, at the levels that this machine offers: it costs its own edit and nothing else."""

import pytest

from tests.faults import levels, trying
from tests.faults.catalogue import ROWS

pytestmark = [pytest.mark.blender, pytest.mark.timeout(300)]
TABLE = "The catalogue"


@pytest.mark.faults
@pytest.mark.parametrize("level", levels.LEVELS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_fault_costs_only_its_own_edit(grounds, noted, row, level):
    trying.tried(grounds, noted, TABLE, row, level)


@pytest.mark.parametrize("row", [row for row in ROWS if row.ordinary], ids=lambda row: row.id)
def test_the_most_telling_faults_cost_only_their_own_edit(grounds, noted, row):
    trying.tried(grounds, noted, TABLE, row, levels.offered()[-1])
