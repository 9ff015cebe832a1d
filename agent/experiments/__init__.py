"""Experiments: which pictures, which methods, which seeds; run what is missing, evaluate, report."""
