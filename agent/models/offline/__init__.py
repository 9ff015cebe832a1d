"""The built-in offline model: classical image analysis that plays every role through the same tools as any other model.

No weights, no network. What it makes is coarse, and it says so.
"""

from agent.models.offline.model import OfflineModel

__all__ = ["OfflineModel"]
