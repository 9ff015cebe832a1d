"""Tries what a run needs with every Blender that is supported and here, and writes down what came of it.

    python -m tests.matrix [--only 4.2] [--write docs/blenders.md]

The same tests for each: those marked `matrix`, whose argument names the capability. Exit code 1 where any failed, 69
where one of WANTED is not here.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sandbox.discovery import Blender, find_blenders
from tests.matrix import table
from tests.tables import write_into

WANTED = ("3.4", "4.2", "4.5", "5.0", "5.2")
"""What `make matrix` fetches: Debian's, and the wheels."""
ACROSS = "tests/agent/test_across_versions.py"
NODE_UNFIT = 69


def main():
    options = _options()
    found = _found(options.only)
    missing = [version for version in options.only if version not in found]
    for version in missing:
        print(f"matrix: no Blender {version} here. `make matrix` fetches those that it needs.", file=sys.stderr)
    rows = [_tried(found[version]) for version in options.only if version in found]
    across = _outcomes([ACROSS], {}) if not missing else {}
    text = table.written(rows, across)
    print("\n" + text)
    if options.write:
        write_into(Path(options.write), "matrix", text)
    failed = any(row.failed for row in rows) or any(not case.passed for cases in across.values() for case in cases)
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
    """capability → its cases. What failed is shown as pytest shows it."""
    with tempfile.TemporaryDirectory(prefix="seig-matrix-") as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "--tb=short", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *selection]
        ended = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
        cases = table.read(report) if report.exists() else {}
    if ended.returncode or not cases:
        print(ended.stdout)
    return cases


def _options():
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description="What each Blender comes to.")
    parser.add_argument("--only", action="append", metavar="VERSION", help="major.minor; may be repeated")
    parser.add_argument("--write", default="", help="a Markdown file to write the table into")
    options = parser.parse_args()
    options.only = options.only or list(WANTED)
    return options


if __name__ == "__main__":
    sys.exit(main())
