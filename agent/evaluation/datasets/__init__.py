"""Reads data sets: what pictures there are to reconstruct, and what is known of what they show.

One file for each layout on disk; `kinds.py` tells which one it is, `views.py` opens one picture with its mask.
"""

from agent.evaluation.datasets.kinds import KINDS, read_dataset
from agent.evaluation.datasets.views import reference_of

__all__ = ["KINDS", "read_dataset", "reference_of"]
