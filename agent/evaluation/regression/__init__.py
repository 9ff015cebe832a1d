"""Makes a small data set with ground truth: our own models, rendered; nothing is loaded or downloaded.

Runs inside Blender's wheel: `make regression-set`. Standard library and bpy only, and every mesh is made of explicit
vertices and faces, so that the same seed makes the same set.
"""

import bpy  # noqa: F401 (the wheel knows mathutils only once it is there)
