"""What the server's tests share: one Blender of each kind for all of them."""

import pytest

from sandbox.discovery import Blender, find_blenders
from tests.blender_server.servers import Server


@pytest.fixture(scope="session")
def installed(blender):
    """Kind → Blender. The wheel is always there; a binary where the machine has one."""
    return {"wheel": blender, **{found.kind: found for found in find_blenders() if isinstance(found, Blender)}}


@pytest.fixture(scope="session", params=["wheel", "binary"])
def kind(request, installed):
    if request.param not in installed:
        pytest.skip(f"no Blender {request.param} here")
    return installed[request.param]


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
