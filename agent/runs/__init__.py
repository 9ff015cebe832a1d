"""A run's folder, its journal, budget and lease: what makes it resumable."""
