"""Keeps Blender alive, confined and replaceable; owns the snapshots. Knows nothing of models or stages."""
