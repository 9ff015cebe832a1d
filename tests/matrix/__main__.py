"""Tries what a run needs with every Blender that is supported and here, and writes down what came of it.

    python -m tests.matrix [--only 4.2] [--write docs/blenders.md]

The same tests for each: those marked `matrix`, whose argument names the capability. Exit code 1 where any failed, or
told nothing, 69 where one of WANTED is not here; then nothing is written.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from sandbox.discovery import Blender, find_blenders
from tests.matrix import table
from tests.tables import write_into

WANTED = ("3.4", "4.2", "4.5", "5.0", "5.2")
"""What `make matrix` fetches: Debian's, and the wheels."""
ACROSS = "tests/agent/test_across_versions.py"
LONGEST_S = 25 * 60
"""For the tests of one Blender, and for those across."""
GRACE_S = 60
"""For pytest to end what it runs, once it is interrupted."""
NODE_UNFIT = 69


def main(arguments=None):
    options = _options(arguments)
    found = _found(options.only)
    missing = [version for version in options.only if version not in found]
    for version in missing:
        print(f"matrix: no Blender {version} here. `make matrix` fetches those that it needs.", file=sys.stderr)
    rows = [_tried(found[version]) for version in options.only if version in found]
    across = _outcomes([ACROSS], {}) if not missing else {}
    text = table.written(rows, across)
    print("\n" + text)
    failed = any(row.failed for row in rows) or not (missing or table.passed(across))
    if options.write and (missing or failed):
        print(f"matrix: {options.write} stays as it is, for not everything passed.", file=sys.stderr)
    elif options.write:
        write_into(Path(options.write), "matrix", text)
    return NODE_UNFIT if missing else int(failed)


def _found(only):
    """version → the first Blender of it."""
    found = {}
    for each in find_blenders():
        if isinstance(each, Blender):
            found.setdefault(".".join(each.version.split(".")[:2]), each)
    return {version: found[version] for version in only if version in found}


def _tried(blender):
    began = time.monotonic()
    print(f"Blender {blender.version} ({blender.executable}) …", flush=True)
    outcomes = _outcomes(["-m", "matrix", "tests"], {"BLENDER": str(blender.executable)})
    row = table.Row(blender, outcomes, time.monotonic() - began)
    print(row.summary(), flush=True)
    return row


def _outcomes(selection, environment):
    """capability → its cases; none where pytest did not come to its end. What failed is shown as pytest shows it."""
    with tempfile.TemporaryDirectory(prefix="seig-matrix-") as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "--tb=short", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *selection]
        returncode, said = _ended(command, {**os.environ, **environment})
        cases = table.read(report) if returncode in (0, 1) and report.exists() else {}
    if returncode or not cases:
        print(said)
    return cases


def _ended(command, environment):
    """Exit code and output of a command; it is interrupted when its time is up, so that it ends what it has started."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            killing = threading.Timer(GRACE_S, process.kill)
            killing.start()
            said, _ = process.communicate()
            killing.cancel()
            said += f"\nmatrix: not finished in {LONGEST_S / 60:g} minutes"
    return process.returncode, said


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description="What each Blender comes to.")
    parser.add_argument("--only", action="append", metavar="VERSION", help="major.minor; may be repeated")
    parser.add_argument("--write", default="", help="a Markdown file to write the table into")
    options = parser.parse_args(arguments)
    options.only = options.only or list(WANTED)
    return options


if __name__ == "__main__":
    sys.exit(main())
