"""Calibration of a bundle's exits: temperatures, thresholds along a path, and the test of what they promise.

It needs both halves of a trained network and two splits of labelled samples, and knows nothing of how it was trained.
"""

from hybrid_model.calibration.routine import calibrate, samples_to_run
from hybrid_model.calibration.wish import CalibrationError, OperatingPoint, operating_point, wish_of

__all__ = ["CalibrationError", "OperatingPoint", "calibrate", "operating_point", "samples_to_run", "wish_of"]
