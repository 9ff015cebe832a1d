"""Owns changes that are undone: values set and put back exactly, datablocks made and removed, latest first."""

import contextlib


class Temporary(contextlib.ExitStack):
    """A `with` block at whose end the scene is what it was."""

    def set(self, owner, **values):
        for name, value in values.items():
            before = getattr(owner, name)
            if before == value:
                continue
            if getattr(owner.bl_rna.properties[name], "is_array", False):
                before = tuple(before)
            setattr(owner, name, value)
            self.callback(setattr, owner, name, before)

    def set_where_known(self, owner, **values):
        """Leaves out what this Blender does not have."""
        known = owner.bl_rna.properties.keys()
        self.set(owner, **{name: value for name, value in values.items() if name in known})

    def made(self, collection, datablock):
        """Removed from bpy.data's `collection` at the end."""
        self.callback(collection.remove, datablock)
        return datablock
