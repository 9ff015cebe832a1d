"""Owns how a set of indices is written, as Slurm and Open Job Description both read it."""

from __future__ import annotations

from collections.abc import Sequence


def ranges(indices: Sequence[int]) -> str:
    """As short as it can be said: "1-4,7,9-10"."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and index == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)
