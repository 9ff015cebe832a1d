"""Many pictures: what a batch consists of, on one machine or handed to a farm's engine, and what came of it."""
