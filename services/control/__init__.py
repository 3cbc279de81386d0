"""Exit control: where on the bundle's calibrated path the exits stand, held fixed or moved so that a budget is kept.

Nothing here knows a broker, a queue or a settings file: what was counted goes in, a position comes out. It sees counts,
sums and latencies alone; labels and classes never enter.
"""

from services.control.controller import PERIOD_S, Controller, Overload
from services.control.latencies import Latencies
from services.control.path import ExitPath, NotCalibratedError, SetPointError, check, mixed

__all__ = [
    "PERIOD_S",
    "Controller",
    "ExitPath",
    "Latencies",
    "NotCalibratedError",
    "Overload",
    "SetPointError",
    "check",
    "mixed",
]
