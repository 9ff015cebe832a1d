"""Slurm as the engine: what is handed to it, and a small one of our own to try it with."""
