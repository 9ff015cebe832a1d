"""What the server's tests share: one Blender of each kind for all of them. BLENDER=path tests that one instead."""

import os

import pytest
from box_helpers import a_blender

from tests.blender_server.servers import Server


@pytest.fixture(scope="session", params=["named"] if os.environ.get("BLENDER") else ["wheel", "binary"])
def kind(request):
    """A Blender of one kind: the wheel; a binary where the machine has one. Or the one that BLENDER names."""
    return a_blender(request.param)


@pytest.fixture(scope="session")
def shared(kind):
    server = Server(kind)
    yield server
    server.close()


@pytest.fixture
def server(shared):
    """The Blender of its kind that all tests share, with the empty scene in it."""
    shared.fresh()
    return shared


@pytest.fixture
def another(kind):
    """A second process of the same Blender."""
    server = Server(kind)
    yield server
    server.close()
