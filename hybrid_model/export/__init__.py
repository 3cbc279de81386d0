"""A trained network becomes a bundle: the edge half a graph of operations, the cloud half tensors, both calibrated."""

from hybrid_model.export.bundle import export_bundle

__all__ = ["export_bundle"]
