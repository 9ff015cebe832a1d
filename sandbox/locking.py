"""Owns how requirements/*.txt are made: resolved by uv, each file with hashes, none with an address.

python -m sandbox.locking
"""

from __future__ import annotations

import subprocess
import sys

from sandbox.folders import REQUIREMENTS, ROOT

_COMPILE = [
    *("-m", "uv", "pip", "compile", "--quiet", "--no-config", "--upgrade", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--only-binary", ":all:", "--custom-compile-command", "make lock"),
]

LOCKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("agent.txt", ("--universal", "--python-version", "3.11", "pyproject.toml")),
    ("dev.txt", ("--universal", "--python-version", "3.11", "-c", "requirements/agent.txt", "--group", "dev")),
    ("bpy-cp311.txt", ("--python-version", "3.11", "requirements/bpy-cp311.in")),
    ("bpy-cp313.txt", ("--python-version", "3.13", "requirements/bpy-cp313.in")),
    ("vendor.txt", ("--python-version", "3.10", "requirements/vendor.in")),
    ("vendor-cp39.txt", ("--python-version", "3.9", "requirements/vendor.in")),
    ("uv.txt", ("--python-version", "3.9", "requirements/uv.in")),
)


def main() -> int:
    for name, arguments in LOCKS:
        print(f"requirements/{name}", flush=True)
        project = ("pyproject.toml",) if name == "dev.txt" else ()
        command = [sys.executable, *_COMPILE, *arguments, *project, "-o", str(REQUIREMENTS / name)]
        subprocess.run(command, cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
