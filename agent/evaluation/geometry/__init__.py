"""Measures how near the shape of a result comes to a reference mesh: as it stands, moved and bent into place."""
