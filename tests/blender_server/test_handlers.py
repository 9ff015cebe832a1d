"""Every handler answers, whatever the Blender."""

import json

import pytest

from protocol.models import (
    DescribeRequest,
    DumpRequest,
    ExecuteRequest,
    FingerprintRequest,
    HelloRequest,
    InspectRequest,
    PlainRequest,
    RenderRequest,
    RestoreRequest,
    SettleRequest,
    ShutdownRequest,
    SnapshotRequest,
    SurfacesRequest,
    WarpRequest,
)
from tests.blender_server.scenes import SMALL

pytestmark = [pytest.mark.blender, pytest.mark.matrix("handlers")]

INSPECTED = [("scene", ""), ("object", "Cup"), ("material", "Red"), ("contacts", ""), ("world", "")]
REQUESTS = [
    HelloRequest(),
    ExecuteRequest(source="bpy.data.objects['Cup'].location.x = 1"),
    SettleRequest(),
    *(
        InspectRequest(subject=subject, name=name, short=short)
        for subject, name in INSPECTED
        for short in (True, False)
    ),
    *(RenderRequest(width_px=24, height_px=16, samples=2, picture=name) for name in ("color", "object_id", "linear")),
    FingerprintRequest(),
    DescribeRequest(keys=(("geometry", "mesh:Cup"),)),
    DumpRequest(),
    PlainRequest(),
    SurfacesRequest(),
    WarpRequest(objects={}),
    SnapshotRequest(file="here.blend"),
    RestoreRequest(),
]


@pytest.fixture(scope="session")
def small(shared):
    shared.fresh()
    shared.edit(SMALL)
    shared.call(SnapshotRequest(file="small.blend"))
    return "small.blend"


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.model_dump_json()[:60])
def test_a_handler_answers(shared, small, request_):
    shared.fresh(small)
    assert shared.call(request_)


def test_no_handler_is_left_untried(server):
    handlers = json.loads(
        server.evaluate("__import__('json').dumps([*__import__('sys').modules['blender_server.server'].HANDLERS])")
    )
    assert {request.method for request in REQUESTS} | {ShutdownRequest.method} == set(handlers)


def test_pictures_show_the_scene(shared, small):
    shared.fresh(small)
    _, payloads = shared.client.call(RenderRequest(width_px=24, height_px=16, samples=4), 60)
    assert payloads[0].startswith(b"\x89PNG") and len(payloads[0]) > 300
