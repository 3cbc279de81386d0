"""Somebody's own sensor readings: CSV or Parquet files become windows, split by device and never by row.

Windows are cut as the edge worker cuts them (`services.edge.window`), so that a network is trained on what it will see.
"""

from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.form import ReadingsForm
from hybrid_model.data.readings.load import OwnReadings, load_readings
from hybrid_model.data.readings.unseen import unseen_readings

__all__ = ["OwnReadings", "ReadingsError", "ReadingsForm", "load_readings", "unseen_readings"]
