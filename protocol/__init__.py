"""What the orchestrator and Blender say to each other.

`wire` and `errors` are plain Python 3.7 and also imported inside Blender; `models` and `client` (pydantic)
never are, which is why this file imports nothing.
"""
