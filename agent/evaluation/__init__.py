"""Measures how near a render comes to its reference, and shows it."""
