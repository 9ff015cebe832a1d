"""Keeps Blender alive, confined and replaceable; owns the snapshots. Knows nothing of models or stages.

`from sandbox import Box` is the box on its own, for other programs: see `box.py`.
"""

from importlib import import_module
from typing import Any

_OFFERED = {
    "Box": "sandbox.box",
    "SCENE": "sandbox.box",
    "FACTORS": "sandbox.transaction",
    "EditOutcome": "sandbox.transaction",
    "Limits": "sandbox.limits",
    "Snapshot": "sandbox.snapshots",
    "SnapshotStore": "sandbox.snapshots",
    "SetupFailed": "protocol.errors",
    "BlenderError": "protocol.errors",
    "TargetView": "protocol.models",
    "OrbitView": "protocol.models",
    "PositionView": "protocol.models",
    "PresetView": "protocol.models",
}
"""What other programs use, and where it lives. Loaded when asked for: the set-up runs parts of this package before
anything is installed."""

__all__ = list(_OFFERED)


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module 'sandbox' offers no {name!r}")
    return getattr(import_module(_OFFERED[name]), name)
