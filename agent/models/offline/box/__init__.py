"""What the offline model's edits carry into Blender: small functions, taken over verbatim into the code that it writes.

Plain Python 3.7 with nothing but bpy and math, because a program must run in whichever Blender builds it. Meshes
are lists of vertices and faces, made by arithmetic alone: the same in every process.
"""
