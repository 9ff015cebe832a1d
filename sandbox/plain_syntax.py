"""Owns one check: that what runs inside Blender parses as the Python of the oldest Blender.

python -m sandbox.plain_syntax 3.7 FILE|FOLDER …
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def problems(files: Iterable[Path], version: tuple[int, int]) -> Iterator[str]:
    """One line for each file that does not parse."""
    for file in files:
        try:
            ast.parse(file.read_text(encoding="utf-8"), filename=str(file), feature_version=version)
        except SyntaxError as error:
            yield f"{file}:{error.lineno}: not Python {version[0]}.{version[1]}: {error.msg}"


def main(arguments: list[str]) -> int:
    major, minor = map(int, arguments[0].split("."))
    paths = [Path(name) for name in arguments[1:]]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    found = list(problems(files, (major, minor)))
    print("\n".join(found) or f"{len(files)} files parse as Python {arguments[0]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
