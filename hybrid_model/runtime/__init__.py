"""The edge half without torch: a checked graph becomes a plan, and kernels on arrays run it stage by stage."""

from hybrid_model.runtime.engine import EdgeEngine
from hybrid_model.runtime.protocol import EdgeResult, Engine, ExitReadings, joined

__all__ = ["EdgeEngine", "EdgeResult", "Engine", "ExitReadings", "joined"]
