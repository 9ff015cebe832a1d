"""Runs a program as an ordinary user: directly, or, where the tests run as root, as nobody in particular.

What the program needs may lie below folders that only root may enter, such as root's home. In a mount namespace of its
own those are replaced by open ones that hold just what is needed.
"""

import os
import shlex
import subprocess
from pathlib import Path

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


def run(command, home, needed, **options):
    """As `subprocess.run`; `home` is given to the user, `needed` are paths to be reachable."""
    if os.getuid() != 0:
        return subprocess.run(command, **options)
    os.chown(home, NOBODY, NOBODY)
    for folder in home.parents:  # pytest closes its own to others
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    checkout = [
        ROOT / name for name in ("agent", "sandbox", "protocol", "blender_server", "tests", "requirements", ".venv")
    ]
    script = "\n".join([*_opened([*checkout, *needed]), f"exec {_as_nobody(command, home)}"])
    return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script], **options)


def _as_nobody(command, home):
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", f"HOME={home}"]
    return shlex.join([*user, *map(str, command)])


def _opened(needed):
    """The lines of shell that put what is needed where it was, below folders that anyone may enter."""
    closed = {path: top for path in needed if (top := _closed_above(path))}
    yield "kept=$(mktemp -d); mount -t tmpfs -o mode=700 tmpfs $kept"
    for number, path in enumerate(closed):
        yield f"mkdir $kept/{number}; mount --bind {shlex.quote(str(path))} $kept/{number}"
    for top in sorted(set(closed.values())):
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}"
    for number, path in enumerate(closed):
        yield f"mkdir -p {shlex.quote(str(path))}; mount --bind $kept/{number} {shlex.quote(str(path))}"


def _closed_above(path):
    for folder in reversed(path.resolve().parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None
