"""Clusters for the tests of a module, and batches on them; a run that nothing has disturbed."""

import getpass
import tempfile
from pathlib import Path

import pytest
from box_helpers import eventually
from farm_batches import FarmBatch, a_cluster
from scripted_runs import draw_box, start
from small_disk import QUICK


@pytest.fixture(scope="module")
def cluster():
    with a_cluster(licenses="vlm:2", settings={"SlurmdTimeout": "5"}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def plain_cluster():
    """One that does not requeue by exit code, and takes small arrays only."""
    with a_cluster(nodes=1, settings={"RequeueExit": "", "MaxArraySize": "4"}) as cluster:
        yield cluster


@pytest.fixture
def a_batch(cluster, tmp_path):
    """Makes batches on the module's cluster, and ends what a test leaves in the queue."""
    yield from _batches(cluster, tmp_path)


@pytest.fixture
def a_plain_batch(plain_cluster, tmp_path):
    yield from _batches(plain_cluster, tmp_path)


def _batches(cluster, tmp_path):
    def make(rows=1, folder=tmp_path, **more):
        return FarmBatch(cluster, folder, rows, **more)

    yield make
    cluster.call("scancel", f"--user={getpass.getuser()}")
    eventually(lambda: not cluster.call("squeue", "--noheader"))
    eventually(lambda: not cluster.job_processes())


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    return draw_box(tmp_path_factory.mktemp("picture") / "box.png")


@pytest.fixture(scope="session")
def undisturbed(blender, picture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    ended = start("run", picture, "--out", folder / "run", *QUICK, asked=folder / "asked")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture
def short_path():
    """A folder that may be TMPDIR: a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as folder:
        yield Path(folder)
