"""Measures pictures with trained networks: where their weights lie, how each is read, and what its features say."""
