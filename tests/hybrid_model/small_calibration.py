"""A calibration of a network with two exits, as a manifest has it; the third point of its path is the working point."""

from __future__ import annotations

from typing import Any

THRESHOLDS = ((0.0, 0.0), (0.1, 0.2), (0.3, 0.3), (0.5, 0.3), (1.2, 1.2))
P_VALUES = (None, 0.01, 0.04, 0.2, None)


def small_calibration() -> dict[str, Any]:
    """Points 1 and 2 passed, point 3 failed."""
    histogram = {"edges": [0.0, 0.5, 1.4], "counts": [30, 20]}
    return {
        "score": "entropy",
        "fit_temperature": True,
        "tuning": {"samples": 100, "fingerprint": "0123456789abcdef"},
        "calibration": {"samples": 50, "fingerprint": "fedcba9876543210", "independent": True, "note": ""},
        "path": [
            {
                "thresholds": list(thresholds),
                "edge_share": 0.25 * number,
                "exit_share": [0.125 * number, 0.125 * number],
                "accuracy": 0.9,
                "error_rate": [0.01 * number, 0.02 * number] if number else [None, None],
                "p_value": p_value,
            }
            for number, (thresholds, p_value) in enumerate(zip(THRESHOLDS, P_VALUES, strict=True))
        ],
        "start": 1,
        "passed": 2,
        "alpha": 0.05,
        "delta": 0.05,
        "point": 2,
        "chosen_by": {"edge_share": 0.5},
        "accuracy_cloud": 0.9,
        "histogram": [histogram, histogram],
        "guard_share_lost": 0.02,
    }
