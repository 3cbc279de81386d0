"""The demonstration: the whole pipeline on this machine, with real servers and real data, and its books kept."""

from services.demo.run import Demo, DemoOptions

__all__ = ["Demo", "DemoOptions"]
