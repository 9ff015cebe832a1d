"""A disk of a test's own that fills and is freed under a command of ours; and what is read of a run meanwhile."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from box_helpers import eventually
from needs import lacking
from scripted_runs import ENVIRONMENT, SCRIPTED

QUICK = ("--preset", "quick", "--blender", "wheel", "--rollouts", "1")
MIB = 1 << 20


def settings(folder, **disk):
    file = folder / "settings.toml"
    file.write_text("[disk]\n" + "".join(f"{name} = {value}\n" for name, value in disk.items()))
    return file


class Mounted:
    """A command of ours with a small disk of its own, which is seen, filled and freed through /proc."""

    def __init__(self, process, place, ended, said):
        self.inside = Path(f"/proc/{process.pid}/root{place}")
        self._ended, self._said = ended, said

    def said(self):
        return self._said.read_text()

    def fill(self):
        with open(self.inside / "filler", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(64 << 10))

    def free(self):
        (self.inside / "filler").unlink()

    def comes_to(self, condition, patience_s=60):
        """Wait for what happens while the command works."""
        eventually(lambda: self.exit_code() is not None or condition(), patience_s)
        assert self.exit_code() is None, self.said()

    def exit_code(self):
        return int(self._ended.read_text() or -1) if self._ended.exists() else None

    def ends(self, patience_s=100):
        eventually(lambda: self.exit_code() is not None, patience_s)
        return self.exit_code()


@contextmanager
def on_a_small_disk(folder, size_mib, *arguments, disk, **environment):
    """The command line with a scripted model, and a tmpfs at `disk` that it alone sees."""
    if os.getuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lacking("root that may make a mount namespace")
    disk.mkdir(exist_ok=True)
    ended, said = folder / f"ended-{time.monotonic_ns()}", folder / "said"
    script = f'mount -t tmpfs -o size={size_mib}m tmpfs "{disk}"; "$@" </dev/null; echo $? >"{ended}"; read _'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, str(SCRIPTED), *map(str, arguments)]
    with open(said, "wb") as output:
        process = subprocess.Popen(
            command,
            env={**ENVIRONMENT, **environment},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Mounted(process, disk, ended, said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.wait()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def status_of(run):
    try:
        return json.loads((run / "status.json").read_text())
    except OSError:
        return {}
