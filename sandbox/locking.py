"""Owns how requirements/*.txt are made: resolved by uv, each file with hashes, none with an address.

python -m sandbox.locking
"""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

from sandbox import wheels
from sandbox.folders import REQUIREMENTS, ROOT

_COMPILE = [
    *("-m", "uv", "pip", "compile", "--quiet", "--no-config", "--upgrade", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--only-binary", ":all:", "--custom-compile-command", "make lock"),
]


class Lock(NamedTuple):
    """One file of pins."""

    name: str
    python: str
    arguments: tuple[str, ...]
    """Of uv; "-" reads what is wanted from its input."""
    wanted: str = ""
    """That input: "bpy==4.2.*"."""


TORCH = "torch==2.13.0"
CPU_TORCH_HASH = "sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
"""Of torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl: PyTorch's own build for processors alone, which no package
index has, but perhaps a folder that pip is told of."""
CPU_TORCH_LOCK = "torch-cpu.txt"
_AGENT, _DEV, _EVALUATION = (("-c", f"requirements/{name}.txt") for name in ("agent", "dev", "evaluation"))
_NO_TORCH = ("--no-emit-package", "torch", "--excludes", "requirements/cuda.in")
_VENDOR = ("requirements/vendor.in",)
LOCKS = (
    Lock("agent.txt", "3.11", ("--universal", "pyproject.toml")),
    Lock("dev.txt", "3.11", ("--universal", "-c", "requirements/agent.txt", "--group", "dev", "pyproject.toml")),
    Lock(
        "evaluation.txt", "3.11", ("--universal", *_AGENT, *_DEV, *_NO_TORCH, "--extra", "evaluation", "pyproject.toml")
    ),
    Lock("evaluation-files.txt", "3.11", ("--universal", "--no-deps", "requirements/evaluation-files.in")),
    Lock("torch.txt", "3.11", ("--universal", "--no-deps", "-"), TORCH),
    Lock("torch-cuda.txt", "3.11", ("--universal", *_EVALUATION, "--no-emit-package", "torch", "-"), TORCH),
    *(Lock(f"bpy-{version}.txt", python, ("-",), f"bpy=={version}.*") for version, python in wheels.PYTHONS.items()),
    Lock("vendor.txt", "3.10", _VENDOR),
    Lock("vendor-cp39.txt", "3.9", _VENDOR),
    Lock("vendor-cp37.txt", "3.7", _VENDOR),
    Lock("uv.txt", "3.9", ("requirements/uv.in",)),
)


def main() -> int:
    for lock in LOCKS:
        print(f"requirements/{lock.name}", flush=True)
        options = ["--python-version", lock.python, *lock.arguments, "-o", str(REQUIREMENTS / lock.name)]
        subprocess.run([sys.executable, *_COMPILE, *options], cwd=ROOT, input=lock.wanted.encode(), check=True)
    pin = f"# By `make lock`.\n{TORCH}+cpu \\\n    --hash={CPU_TORCH_HASH}\n"
    (REQUIREMENTS / CPU_TORCH_LOCK).write_text(pin, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
