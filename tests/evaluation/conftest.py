"""All tests of evaluations are marked as such, but for those that a farm's tests are."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("farm") is None:
            item.add_marker(pytest.mark.evaluation)
