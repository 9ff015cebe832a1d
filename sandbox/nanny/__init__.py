"""The nanny: a small process per Blender that alone starts, confines, watches and kills it, and owns its socket.

Whatever a Blender sends ends here: sizes, rates, deadlines and output are enforced before anything is passed on.
"""
