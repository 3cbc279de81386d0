"""Is the edge still right? Drift of scores, and what other thresholds would do.

Arithmetic on counts and scores, without labels. NumPy alone: the edge worker imports it.
"""

from hybrid_model.monitoring.drift import Drift, ScoreWindows
from hybrid_model.monitoring.psi import QUANTILE, Reference, null_quantile
from hybrid_model.monitoring.whatif import PathWeights, WhatIfPath, WhatIfPoint, what_if_curve

__all__ = [
    "QUANTILE",
    "Drift",
    "PathWeights",
    "Reference",
    "ScoreWindows",
    "WhatIfPath",
    "WhatIfPoint",
    "null_quantile",
    "what_if_curve",
]
