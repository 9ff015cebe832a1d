"""Owns the names of other systems, which no setting of ours may go by: it is not what they do."""

from __future__ import annotations

import re

OTHER_SYSTEMS = (
    "VIGA", "BlenderGym", "BlenderAlchemy", "LL3M", "IR3D", "Scene Language", "SceneWeaver", "3DCode", "Vibe3DScene",
    "Blender Agent Bridge", "blender-mcp",
)  # fmt: skip
"""The nearest public ones."""


def other_system(name: str) -> str:
    """The one whose name this one would carry; empty for none."""
    return next((system for system in OTHER_SYSTEMS if _plain(system) in _plain(name)), "")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
