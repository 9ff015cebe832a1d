"""A commit's part in Blender stays within its figures, in processor time: a busy machine fails nothing."""

import psutil
import pytest

from protocol.models import ExecuteRequest, FingerprintRequest, RestoreRequest, SettleRequest, SnapshotRequest

pytestmark = pytest.mark.blender

GRIDS = """
def grid(name, side, location):
    vertices = [(x / side, y / side, 0.1 * (x % 3)) for y in range(side + 1) for x in range(side + 1)]
    row = side + 1
    corners = [y * row + x for y in range(side) for x in range(side)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], [(c, c + 1, c + row + 1, c + row) for c in corners])
    mesh.uv_layers.new(name="UVMap")
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    thing.location = location
    bpy.context.scene.collection.objects.link(thing)

for index in range({count}):
    grid("Grid {{:03d}}".format(index), {side}, (index % 20, index // 20, 0))
"""


def processor_s(server):
    times = psutil.Process(server.process.popen.pid).cpu_times()
    return times.user + times.system


def commit_s(server):
    started = processor_s(server)
    server.call(SettleRequest())
    server.call(SnapshotRequest(file="a.blend"))
    server.call(RestoreRequest(file="a.blend"))
    server.call(FingerprintRequest())
    return processor_s(server) - started


@pytest.mark.parametrize(
    ("count", "side", "new_s", "old_s"),
    [
        pytest.param(30, 22, 0.15, 0.15, id="30 objects, 15k faces"),
        pytest.param(200, 71, 1.0, 2.0, id="200 objects, 1M faces"),
    ],
)
def test_a_commit_is_quick(server, count, side, new_s, old_s):
    server.call(ExecuteRequest(source=GRIDS.format(count=count, side=side)), 110)
    commit_s(server)
    limit_s = new_s if server.blender.version >= "4.2" else old_s
    assert min(commit_s(server) for _ in range(3)) <= limit_s


def test_a_request_that_does_nothing_is_answered_at_once(server):
    started = processor_s(server)
    for _ in range(200):
        server.evaluate("1")
    assert processor_s(server) - started < 0.4
