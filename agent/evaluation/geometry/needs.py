"""Owns what is said where a package of the optional extra is not there."""

from __future__ import annotations

from agent.evaluation.score import Unavailable


def needs(package: str) -> Unavailable:
    return Unavailable(f"needs {package}, which is not installed: pip install 'seig[evaluation]'")
