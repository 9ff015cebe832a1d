"""An agent to be killed: `orchestrator.py manifest|asleep LEVEL FOLDER`. Prints its pool's folder and last state."""

import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]

from box_helpers import Editor  # noqa: E402

from sandbox.confinement.levels import Level  # noqa: E402
from sandbox.pool import Pool  # noqa: E402
from sandbox.snapshots import SnapshotStore  # noqa: E402
from tests.faults.ground import CUP, LIMITS, MOVE, a_blender  # noqa: E402


def main(how, level, folder):
    store = SnapshotStore(Path(folder) / "snapshots")
    pool = Pool(a_blender("wheel"), LIMITS, store, Path(folder) / "logs", level=Level.parse(level))
    with pool, pool.session() as scene:
        edit = Editor(scene)
        assert edit(CUP).kind == "committed"
        print(f"{pool.folder}\n{scene.head.id}", flush=True)
        if how == "manifest":
            store._note = lambda manifest: os.kill(os.getpid(), signal.SIGKILL)
            edit(MOVE)
        edit("import time; time.sleep(600)", timeout_s=600)


if __name__ == "__main__":
    main(*sys.argv[1:])
