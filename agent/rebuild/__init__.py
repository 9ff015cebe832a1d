"""The program that builds a scene, and the proof that it does."""
