"""Decides: the staged pipeline that turns one picture into an editable Blender scene."""
