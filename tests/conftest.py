"""What all tests share: the fakes on the path, and a real Blender for those that are marked `blender`."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fakes"))


@pytest.fixture(scope="session")
def blender():
    """The one that BLENDER names; else the default, Blender's wheel."""
    from needs import lacking

    from protocol.errors import SetupFailed
    from sandbox.discovery import find_blender

    try:
        return find_blender(os.environ.get("BLENDER") or "wheel")
    except SetupFailed as error:
        lacking(str(error))


def pytest_collection_modifyitems(items):
    """A report of the matrix tells which capability a test is of."""
    for item in items:
        if (mark := item.get_closest_marker("matrix")) is not None:
            item.user_properties.append(("capability", mark.args[0]))
