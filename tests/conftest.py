"""What all tests share: the fakes on the path, and a real Blender for those that are marked `blender`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fakes"))


@pytest.fixture(scope="session")
def blender():
    """The embedded default, Blender's wheel."""
    from needs import lacking

    from protocol.errors import SetupFailed
    from sandbox.discovery import find_blender

    try:
        return find_blender("wheel")
    except SetupFailed as error:
        lacking(str(error))
