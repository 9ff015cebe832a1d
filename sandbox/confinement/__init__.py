"""Confines one Blender: `levels` names how far, `confining.confine` makes it so, `probes` shows that it holds here.

Empty on purpose: the launcher imports what it needs of this package from files, with the standard library only.
"""
