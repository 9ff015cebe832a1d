"""What tests of the box share: edits by number, the look for what was left behind, waiting for a condition."""

import os
import time

import psutil
from needs import lacking

from sandbox.discovery import Blender, find_blender, find_blenders
from sandbox.pool import Pool
from sandbox.snapshots import Edit, SnapshotStore
from sandbox.transaction import FACTORS

ALL = frozenset(FACTORS) - {"host"}
KINDS = ("named",) if os.environ.get("BLENDER") else ("wheel", "binary")
"""The Blenders that tests of the box are run with: the one that BLENDER names, or one of each kind."""


class Editor:
    """Numbers the edits of a session."""

    def __init__(self, session):
        self.session, self._index = session, 0

    def __call__(self, source, scope=ALL, required=(), timeout_s=20, stage="geometry", keep_slots=False):
        self._index += 1
        fields = {"label": f"e{self._index}", "stage": stage, "round": 1, "seed": self._index, "keep_slots": keep_slots}
        edit = Edit(index=self._index, source=source, **fields)
        return self.session.edit(edit, frozenset(scope), frozenset(required), timeout_s)


def processes_of(folder):
    """All that was started in a pool's folder and still runs, wherever it went. A Blender and its nanny are two."""
    found = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("HOME", "")
            if home.startswith(str(folder)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def assert_nothing_left(folder):
    assert not processes_of(folder)
    assert not folder.exists()


def eventually(condition, patience_s=20.0):
    """Poll until it holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s} s: {condition}"
        time.sleep(0.02)


def a_blender(kind):
    """The first of a kind ("wheel", "binary") that this machine has, or the one that BLENDER names ("named")."""
    if kind == "named":
        return find_blender()
    found = [each for each in find_blenders() if isinstance(each, Blender) and each.kind == kind]
    return find_blender(str(found[0].executable)) if found else lacking(f"no Blender of kind {kind} here")


def real_pool(kind, limits, folder):
    return Pool(a_blender(kind), limits, SnapshotStore(folder / "snapshots"), folder / "logs")
