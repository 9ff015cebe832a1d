"""What runs inside Blender works in each CPython that a Blender may bring, and an older one: those that are here."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from needs import lacking

from protocol.errors import SetupFailed
from sandbox.provisioning import provide
from sandbox.pythons import find

RUN_CASES = Path(__file__).parent / "run_cases.py"
CASES = 18
"""At least so many, so that none is lost unseen."""


@pytest.fixture(params=["3.7", "3.9", "3.10", "3.11", "3.13"])
def python(request):
    """(path, version). One that the machine lacks is a skip even in CI: nobody's machine has all of them."""
    found = find((request.param,))
    return (found[0].path, request.param) if found else pytest.skip(f"there is no Python {request.param} here")


def test_the_cases_pass(python):
    path, version = python
    try:
        vendor = provide(version, sysconfig.get_platform(), {})
    except SetupFailed as error:
        lacking(f"{error} {error.remedy}")
    command = [path, "-I", str(RUN_CASES), str(vendor)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    ran = re.search(rf"RAN (\d+) IN {re.escape(version)}$", said, re.MULTILINE)
    assert ran and int(ran[1]) >= CASES, said
