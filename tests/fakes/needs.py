"""What a test needs of the machine: where it is lacking a test is skipped on a user's machine and fails in CI."""

import os

import pytest


def absent(what):
    """Of hardware, or its driver, that not even CI has to have. Never returns."""
    pytest.skip(what)


def lacking(what):
    """Never returns."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have what its tests need: {what}", pytrace=False)
    pytest.skip(what)
