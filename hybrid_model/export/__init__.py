"""A trained network becomes a bundle: the edge half a graph of operations, the cloud half tensors, both calibrated."""

from hybrid_model.export.bundle import export_bundle
from hybrid_model.export.split_files import split_files

__all__ = ["export_bundle", "split_files"]
