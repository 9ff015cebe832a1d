"""What the sandbox's tests share: a store, limits, and a pool on the fake Blender."""

import pytest
from box_helpers import Editor, assert_nothing_left
from fake_blender import fake

from sandbox.limits import GIB, MIB, Limits
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore


@pytest.fixture
def store(tmp_path):
    return SnapshotStore(tmp_path / "snapshots")


@pytest.fixture
def limits():
    return Limits(
        memory_bytes=GIB, output_bytes=MIB, folder_bytes=64 * MIB, file_bytes=32 * MIB, processes=16, boot_s=20
    )


@pytest.fixture
def fake_blender(tmp_path):
    return fake(tmp_path)


@pytest.fixture
def pool(fake_blender, limits, store, tmp_path):
    with Pool(fake_blender, limits, store, tmp_path / "logs") as pool:
        yield pool
    assert_nothing_left(pool.folder)


@pytest.fixture
def scene(pool):
    with pool.session() as session:
        yield session


@pytest.fixture
def edit(scene):
    return Editor(scene)
