"""Open Job Description as the engine: one description that other farms take too, and a runner for one machine."""
