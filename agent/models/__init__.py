"""The models that may play the parts: Claude, the built-in offline model, and replay of a recorded run."""
