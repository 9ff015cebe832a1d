"""The stages of the method: decomposition, rollouts, the four refining stages, the camera step."""
